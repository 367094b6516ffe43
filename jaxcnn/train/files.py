"""Writing files so that a kill at any moment leaves the old one or the new one, never half of one."""

import json
import os
import re
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Replaces a file by the JSON of a value, indented for people; a list of numbers is one line."""
    text = json.dumps(value, indent=2)
    text = re.sub(
        r"\[\n[-+.,\w\s]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    write_text(path, text + "\n")
