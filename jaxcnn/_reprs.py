"""Values as text: short representations of objects, durations, and tables, for a REPL, a terminal and a notebook."""

import dataclasses
import enum
import functools
import html
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 60  # characters of one value
WIDTH = 100  # of a line; longer representations have one field per line
FEW = 4  # longer tuples are abbreviated
# Measures between 0 and 1 that are shown in per cent, with their abbreviations.
SHARES = {"accuracy": "acc", "mean_iou": "mIoU"}


def measure_in_words(name: str) -> str:
    """The name of a measure as it is printed.

    >>> measure_in_words("test/mean_iou")
    'mean IoU'
    """
    return name.removeprefix("test/").replace("_", " ").replace("iou", "IoU")


def short_repr(value: Any) -> str:
    """The fields of a dataclass or a NamedTuple, without those with their default value; the ``__repr__`` of a class.

    Arrays are shown by dtype and shape, functions and modules by name, long tuples and texts by their beginning.

    >>> @dataclasses.dataclass
    ... class Point:
    ...     place: tuple[int, ...]
    ...     name: str = ""
    >>> short_repr(Point((1, 2, 3, 4, 5, 6)))
    'Point(place=(1, 2, 3, ... 6 entries))'
    """
    name = type(value).__name__
    fields = [f"{field}={short_text(entry)}" for field, entry in _fields(value)]
    line = f"{name}({', '.join(fields)})"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {field},\n" for field in fields) + ")"


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    if not dataclasses.is_dataclass(value):
        return zip(value._fields, value, strict=True)
    return [
        (field.name, entry)
        for field in dataclasses.fields(value)
        if field.repr and not _is_default(entry := getattr(value, field.name), field)
    ]


def _is_default(entry: Any, field: dataclasses.Field[Any]) -> bool:
    if entry is field.default or field.default_factory is not dataclasses.MISSING:
        return True
    return isinstance(entry, str | int | float) and type(entry) is type(field.default) and entry == field.default


def fields_table(value: Any) -> str:
    """The fields that ``short_repr`` shows as a table in HTML; the ``_repr_html_`` of a class.

    >>> fields_table(dataclasses.make_dataclass("Point", ["x"])(1)).count("<td>")
    2
    """
    rows = [(field, short_text(entry)) for field, entry in _fields(value)]
    return html_table(("field", "value"), rows, caption=type(value).__name__)


def short_text(value: Any) -> str:
    """A value in at most about 60 characters.

    >>> short_text({"params": {}}), short_text("a" * 100)[-8:], short_text(short_text)
    ("{'params': ...}", "aaaa...'", 'short_text')
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}...")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: ..." for key in value) + "}"
    if isinstance(value, functools.partial):
        return f"partial({short_text(value.func)}, ...)"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return value.__name__
    if type(value) in (tuple, list) and len(value) > FEW:
        return f"({', '.join(short_text(entry) for entry in value[: FEW - 1])}, ... {len(value)} entries)"
    text = repr(value)
    if type(value).__repr__ is short_repr:
        return text.replace("\n", "\n    ")
    return text if len(text) <= LONGEST and "\n" not in text else f"{type(value).__name__}(...)"


def duration(seconds: float) -> str:
    """A duration in hours, minutes and seconds.

    >>> duration(7.4), duration(75), duration(3750)
    ('0:07', '1:15', '1:02:30')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def setting_text(value: Any) -> str:
    """A value of a setting as ``--set`` takes it, or as a table shows it.

    >>> setting_text((8, 16)), setting_text(None), setting_text(True)
    ('8,16', 'none', 'true')
    """
    if isinstance(value, tuple | list):
        return ",".join(map(setting_text, value))
    if isinstance(value, enum.Enum):
        return value.name
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def text_table(rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> list[str]:
    """The lines of a table with aligned columns; ``right`` selects the columns that are aligned to the right.

    >>> text_table([["layer", "size"], ["c1", "156"]], right=[False, True])
    ['layer  size', 'c1      156']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(right))]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """A table in HTML, as ``_repr_html_`` of a notebook returns it.

    >>> html_table(["a"], [["<1>"]])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;1&gt;</td></tr></tbody></table>'
    """

    def line(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    head = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "".join(line("td", row) for row in rows)
    return f"<table>{head}<thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>"
