"""Time series from files: the ``.ts`` format of the UEA and UCR archive, and tables with a series in each row."""

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxcnn._hints import did_you_mean
from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._file_tree import FileTree

_HEADS = ("label", "labels", "class", "target", "y")  # of the first column, where a table has a header
_SUFFIXES = {".ts": "", ".csv": ",", ".tsv": "\t"}
# The label of a series, and its values (length, channels).
_Row = tuple[str, np.ndarray]


def series(path: str | Path, *, name: str, z_normalize: bool = True) -> Dataset:
    """The time series of a set of the UEA and UCR archive, or of tables in its layout.

    The files are ``NAME_TRAIN`` and ``NAME_TEST``, in the folder or in a sub-folder ``NAME``, with one of the suffixes

    - ``.ts``: a header, then one series in each row: its channels separated by ``:``, the values of a channel by ``,``,
      and the label last. Rows may differ in length.
    - ``.csv`` and ``.tsv``: one series of one channel in each row, the label first, separated by ``,`` or tabulators.
      Empty fields and NaN at the end of a row are padding.

    The arrays of a split are ``series``, ``(n, length, channels)`` in float32, where ``length`` is that of the longest
    series; ``mask``, ``(n, length)``, true for the entries of a series and false for the zeros after it; and ``label``.

    Args:
        path: a folder, or a zip file of one.
        name: of the set.
        z_normalize: whether each channel is standardized by the mean and the standard deviation that it has over all
            entries of all training series.

    Raises:
        FileNotFoundError: no such folder, or no files of this name in it; the message lists the sets that it has.
        ValueError: a zip file that cannot be read; a file that does not follow the format, with missing values or time
            stamps, or whose series have other numbers of channels or other labels than the training series.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for part in ("TRAIN", "TEST"):
    ...     _ = (folder / f"Steps_{part}.csv").write_text("up,0,1,2\\ndown,2,1\\n")
    >>> steps = series(folder, name="Steps", z_normalize=False)
    >>> steps.train["series"][..., 0], steps.train["mask"].sum(1), steps.class_names
    (array([[0., 1., 2.],
           [2., 1., 0.]], dtype=float32), array([3, 2]), ('down', 'up'))
    """
    tree = FileTree(path)
    rows: dict[str, list[_Row]] = {}
    names: tuple[str, ...] = ()
    for part in ("TRAIN", "TEST"):
        file, suffix = _find(tree, name, part)
        content = tree.read(file)
        try:
            text = content.decode("utf-8-sig")  # spreadsheets write a byte order mark
            found, known = _read_ts(text) if suffix == ".ts" else (_read_table(text, _SUFFIXES[suffix]), ())
        except UnicodeDecodeError as error:
            raise ValueError(f"{tree.name_of(file)} is not text in UTF-8 ({error}); save it as UTF-8.") from None
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{tree.name_of(file)}: {error}") from None
        rows[part] = found
        names = names or known
    try:
        names = names or _sorted_names(label for label, _ in rows["TRAIN"])
    except ValueError as error:
        raise ValueError(f"{name}_TRAIN: {error}") from None
    channels = rows["TRAIN"][0][1].shape[1]
    for part, found in rows.items():
        if other := [values.shape[1] for _, values in found if values.shape[1] != channels]:
            raise ValueError(f"{name}_{part} has series of {other[0]} channels, but the first has {channels}.")
        if strange := sorted({label for label, _ in found} - set(names)):
            raise ValueError(f"{name}_{part} has the label {strange[0]!r}, but the labels are {', '.join(names)}.")
    length = max(len(values) for found in rows.values() for _, values in found)
    train, test = (_padded(rows[part], length, names) for part in ("TRAIN", "TEST"))
    if z_normalize:
        entries = train["series"][train["mask"]].astype(np.float64)
        mean, std = entries.mean(0), entries.std(0)
        train, test = (_normalized(split, mean, np.where(std > 0, std, 1)) for split in (train, test))
    return Dataset(name=name, train=train, test=test, class_names=names)


def _find(tree: FileTree, name: str, part: str) -> tuple[str, str]:
    """The file of a part of a set, and its suffix."""
    for folder in ("", f"{name}/"):
        for suffix in _SUFFIXES:
            file = f"{folder}{name}_{part}{suffix}"
            if tree.has(file):
                return file, suffix
    files = [file for folder in (".", *tree.folders()) for file in tree.names(folder)]
    sets = sorted({file.partition("_TRAIN.")[0] for file in files if "_TRAIN." in file})
    hint = did_you_mean(name, sets) if sets else "It has no file NAME_TRAIN.ts."
    raise FileNotFoundError(f"{tree.path} has no {name}_{part} with a suffix {', '.join(_SUFFIXES)}. {hint}")


def _read_ts(text: str) -> tuple[list[_Row], tuple[str, ...]]:
    """The series of a ``.ts`` file, and the names of the classes in the order of its header."""
    lines = iter(enumerate(text.splitlines(), 1))
    header: dict[str, list[str]] = {}
    for _, line in lines:
        word, *values = line.strip().split() or [""]
        if word.lower() == "@data":
            break
        if word.startswith("@"):
            header[word[1:].lower()] = values
    else:
        raise ValueError("a .ts file has a line @data before its series.")
    if (header.get("timestamps") or ["false"])[0].lower() != "false":
        raise ValueError("series with time stamps are not supported; write their values at equal distances.")
    if "targetlabel" in header:
        raise ValueError("the labels are numbers (@targetLabel); make a data.Dataset with an array target of them.")
    has_names, *words = header.get("classlabel", ["false"])
    names = tuple(words[: words.index("#")] if "#" in words else words)  # a comment follows
    if has_names.lower() != "true" or not names:
        raise ValueError("the header has no line @classLabel true NAME NAME ... with the names of the classes.")
    rows = []
    for number, line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            *channels, label = line.strip().split(":")
            if label.strip() not in names:
                raise ValueError(f"line {number}: the label {label.strip()!r} is not one of {', '.join(names)}.")
            arrays = [_floats(channel.split(","), number) for channel in channels]
            if len({len(array) for array in arrays}) != 1:
                raise ValueError(f"line {number}: expected channels of one length, then a label, separated by ':'.")
            rows.append((label.strip(), np.stack(arrays, -1)))
    if not rows:
        raise ValueError("there is no series after @data.")
    return rows, names


def _read_table(text: str, delimiter: str) -> list[_Row]:
    rows = []
    for number, fields in enumerate(csv.reader(io.StringIO(text, newline=None), delimiter=delimiter), 1):
        label, *values = (field.strip() for field in fields or [""])
        while values and values[-1].lower() in ("", "nan"):
            values.pop()
        if number == 1 and label.lower() in _HEADS and values == [str(index) for index in range(len(values))]:
            raise ValueError(f"line 1 numbers the columns ({label}, 0, 1, ...); delete it, a table has no header.")
        if values and not label:
            raise ValueError(f"line {number}: there is no label before the values.")
        if label:
            rows.append((label, _floats(values, number)[:, None]))
    if not rows:
        raise ValueError("the table is empty.")
    return rows


def _floats(values: Sequence[str], number: int) -> np.ndarray:
    found = []
    for value in values:
        try:
            entry = float(value)
        except ValueError:
            entry = np.nan
        if not abs(entry) <= float(np.finfo(np.float32).max):
            raise ValueError(f"line {number}: expected finite numbers, got {value!r}. Fill missing values in.")
        found.append(entry)
    if not found:
        raise ValueError(f"line {number}: expected at least one number.")
    return np.array(found, np.float32)


def _sorted_names(labels: Iterable[str]) -> tuple[str, ...]:
    """The names of classes in the order of their numbers, where all are numbers, or of the alphabet.

    Raises:
        ValueError: two names of one number, such as ``1`` and ``1.0``.
    """
    names = sorted(set(labels))
    try:
        numbered = sorted(names, key=float)
    except ValueError:
        return tuple(names)
    for one, other in itertools.pairwise(numbered):
        if float(one) == float(other):
            raise ValueError(f"the labels {one!r} and {other!r} are the same number; write each class in one way.")
    return tuple(numbered)


def _padded(rows: Sequence[_Row], length: int, names: tuple[str, ...]) -> Split:
    array = np.zeros((len(rows), length, rows[0][1].shape[1]), np.float32)
    mask = np.zeros((len(rows), length), bool)
    for index, (_, values) in enumerate(rows):
        array[index, : len(values)], mask[index, : len(values)] = values, True
    return Split(series=array, mask=mask, label=np.array([names.index(label) for label, _ in rows]))


def _normalized(split: Split, mean: np.ndarray, std: np.ndarray) -> Split:
    values = (split["series"] - mean) / std
    return split.replace(series=np.where(split["mask"][..., None], values, 0).astype(np.float32))
