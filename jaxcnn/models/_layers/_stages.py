"""Options of networks that have one entry for each stage, or for each layer."""

from collections.abc import Sequence
from typing import Any

from jaxcnn._axes import as_int


def per_stage(*, count: int | None = None, **options: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The entries of several options, stage by stage.

    Args:
        count: the number of stages that the network requires; None for any positive number.
        **options: the options by name. Entries are positive integers, or texts.

    Raises:
        TypeError: an option that is not a sequence, or an entry that is neither an integer nor a text.
        ValueError: no stage, another number of entries than ``count`` or than another option has, or an entry below 1.

    >>> per_stage(stage_sizes=(1, 2), widths=(64, 128))
    [(1, 64), (2, 128)]
    """
    entries = {name: _entries(option, name=name) for name, option in options.items()}
    lengths = {len(each) for each in entries.values()} | ({count} if count is not None else set())
    if len(lengths) != 1 or 0 in lengths:
        got = " and ".join(f"{name}={each}" for name, each in entries.items())
        expected = "one entry for each stage, at least one" if count is None else f"{count} entries, one for each stage"
        raise ValueError(f"{' and '.join(entries)} must have {expected}; got {got}.")
    return list(zip(*entries.values(), strict=True))


def _entries(option: Any, *, name: str) -> tuple[Any, ...]:
    if isinstance(option, str) or not hasattr(option, "__iter__"):
        raise TypeError(f"{name} must have one entry for each stage, such as (1, 2), not {option!r}.")
    entries = tuple(entry if isinstance(entry, str) else as_int(entry, name=name) for entry in option)
    if any(not isinstance(entry, str) and entry < 1 for entry in entries):
        raise ValueError(f"{name}={entries} must be at least 1 in every stage.")
    return entries
