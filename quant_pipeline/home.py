"""Where the home is, and what the settings file says, found without loading what checks the settings.

Checking them takes half a second, which ``explain`` need not wait for: it looks at what lies in the home and depends on
no other setting. ``settings`` builds on the same functions, so that there is one home.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from quant_pipeline.errors import SettingsError

SETTINGS_FILE = "quant_pipeline.toml"
DEFAULT_HOME = Path(".quant")
HOME_VARIABLE = "QUANT_HOME"


def home_in_force() -> Path:
    """The absolute path of the home: from the environment, else the settings file, else the default.

    Raises ``SettingsError`` when the settings file is not valid TOML.
    """
    named = os.environ.get(HOME_VARIABLE)
    file = settings_file(Path(named or DEFAULT_HOME))
    home = named or (read_settings_file(file).get("home") if file else None) or DEFAULT_HOME
    return Path(str(home)).expanduser().absolute()


def settings_file(home: Path) -> Path | None:
    """The settings file in force: that of a home, else that of the working directory, else None."""
    return next((path for path in (home / SETTINGS_FILE, Path(SETTINGS_FILE)) if path.is_file()), None)


def read_settings_file(path: Path) -> dict[str, object]:
    """What a settings file says. Raises ``SettingsError`` when it is not valid TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML ({error}); correct it or take it away.") from error
