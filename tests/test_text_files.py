"""Every text file is read and written as UTF-8, whatever the encoding of the machine.

Ruff's PLW1514 finds the calls on objects whose type it recognises as a path; this test finds them on every object.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = [path for folder in ("jaxcnn", "experiments", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]


def without_encoding(source: str) -> list[int]:
    """The lines of calls of ``read_text``, ``write_text`` and ``open`` in text mode without an encoding."""
    if not any(call in source for call in ("read_text(", "write_text(", "open(")):
        return []  # these names are absent from most files, which need not be parsed
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr in {"read_text", "write_text"} or (node.func.attr == "open" and opens_text(node)))
        and not any(keyword.arg == "encoding" for keyword in node.keywords)
    ]


def opens_text(call: ast.Call) -> bool:
    """Whether a call of a method ``open`` belongs to a path, and is in text mode."""
    if not call.args:
        return not call.keywords
    mode = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
    return isinstance(mode, str) and set(mode) <= set("rwax+t")


def test_every_text_file_is_opened_with_its_encoding() -> None:
    found = {str(path.relative_to(ROOT)): without_encoding(path.read_text(encoding="utf-8")) for path in FILES}
    assert {path: lines for path, lines in found.items() if lines} == {}, 'add encoding="utf-8"'


def test_the_check_can_fail() -> None:
    assert without_encoding("path.read_text()\npath.write_text(text)\npath.open()\npath.open('a')") == [1, 2, 3, 4]
    assert without_encoding("path.open('rb')\nRunFolder.open(path)\nwrite_text(path, text)\npath.open(mode)") == []
    assert without_encoding("path.read_text(encoding='utf-8')\npath.open('w', encoding='utf-8')") == []
