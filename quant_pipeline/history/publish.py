"""Publishing: a copy of the history that people may open with anything, for as long as they like.

The copy is made beside its place and renamed into it, so that a reader sees the old file or the new one and keeps the
one it has open. The working file is held only while the log moves into it; the copying holds nobody up, because nothing
but another publication changes the file itself. ``History.publish`` calls this.
"""

from __future__ import annotations

from pathlib import Path

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.open_file_copy import copy_open_file
from quant_pipeline.history.working_file import WorkingFile


def publish(file: WorkingFile, target: Path) -> Path:
    """Replace ``target`` with a copy of the history as it is now; on any error the old one stays."""
    beside = target.with_name(f".{target.name}.publishing")
    with file.checkpoints():
        descriptor = file.checkpoint()
        try:
            copy_open_file(descriptor, beside, durable=True)
            beside.replace(target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise HistoryError(
                f"The history could not be published to {target} ({error.strerror}); the one published before is still "
                "there, free space or mend the cause and publish again."
            ) from error
        finally:
            file.release(descriptor)
    return target
