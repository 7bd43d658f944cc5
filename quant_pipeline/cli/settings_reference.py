"""Every setting in one table: name, default, environment variable, meaning.

What ``quant-pipeline settings`` prints and what ``docs/settings.md`` holds; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from quant_pipeline.home import SETTINGS_FILE
from quant_pipeline.settings import Settings

INTRODUCTION = f"""# Settings

Values come from the defaults below, then from `{SETTINGS_FILE}` (in `QUANT_HOME`, else in the working directory), then
from the environment, which wins. In the file a section is a table:

```toml
capital = 50000

[risk]
max_positions = 40
```

An unknown name or a contradiction is refused in one sentence before anything starts.

| setting | default | environment variable | meaning |
|---|---|---|---|
"""


def settings_reference() -> str:
    """The reference as Markdown."""
    rows = [f"| `{name}` | {default} | `{variable}` | {meaning} |" for name, default, variable, meaning in _rows()]
    return INTRODUCTION + "\n".join(rows) + "\n"


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _section(name, field.default)
        else:
            yield name, _shown(field), f"QUANT_{name.upper()}", field.description or ""


def _section(prefix: str, section: BaseModel) -> Iterator[tuple[str, str, str, str]]:
    for name, field in type(section).model_fields.items():
        path = f"{prefix}.{name}"
        if isinstance(field.default, BaseModel):
            yield from _section(path, field.default)
        else:
            variable = "QUANT_" + path.upper().replace(".", "__")
            yield path, _shown(field), variable, field.description or _in_words(name)


def _shown(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    return f"`{default}`"


def _in_words(name: str) -> str:
    return name.replace("_pct", ", in percent").replace("_", " ").capitalize()
