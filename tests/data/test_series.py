"""Time series from files: reading, padding and errors."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxcnn import data

HEADER = "# comment\n@problemName Two\n@timeStamps false\n@univariate false\n@classLabel true b a\n@data\n"
TRAIN = HEADER + "1,2,3:10,20,30:a\n4,5:40,50:b\n"
TEST = HEADER + "7:70:b\n\n1,1,1,1:2,2,2,2:a\n"
UCR = Path(__file__).parents[3] / "shared" / "data" / "ucr.zip"


def write(folder: Path, train: str, test: str, suffix: str = ".ts") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"Two_TRAIN{suffix}").write_text(train, encoding="utf-8")
    (folder / f"Two_TEST{suffix}").write_text(test, encoding="utf-8")
    return folder


def test_channels_unequal_lengths_and_labels_in_the_order_of_the_header(tmp_path: Path) -> None:
    found = data.series(write(tmp_path, TRAIN, TEST), name="Two", z_normalize=False)
    assert found.class_names == ("b", "a")
    np.testing.assert_array_equal(found.train["label"], [1, 0])
    np.testing.assert_array_equal(found.test["label"], [0, 1])
    np.testing.assert_array_equal(
        found.train["series"], [[[1, 10], [2, 20], [3, 30], [0, 0]], [[4, 40], [5, 50], [0, 0], [0, 0]]]
    )
    np.testing.assert_array_equal(found.train["mask"], [[1, 1, 1, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(found.test["mask"], [[1, 0, 0, 0], [1, 1, 1, 1]])


def test_normalisation_is_by_the_entries_of_the_training_series(tmp_path: Path) -> None:
    found = data.series(write(tmp_path, TRAIN, TEST), name="Two")
    values = np.array([1, 2, 3, 4, 5])
    np.testing.assert_allclose(found.train["series"][0, :3, 0], (values[:3] - 3) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(found.test["series"][0, 0], [(7 - 3) / np.sqrt(2), (70 - 30) / np.sqrt(200)], rtol=1e-6)
    assert not found.train["series"][~found.train["mask"]].any() and not found.test["series"][~found.test["mask"]].any()
    constant = data.series(write(tmp_path, HEADER + "2,2:5,6:a\n2:7:b\n", TEST), name="Two")
    np.testing.assert_array_equal(constant.train["series"][..., 0], 0)


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_tables_have_the_label_first(tmp_path: Path, suffix: str, separator: str) -> None:
    train = "10,1.5,2,3\n9,4,5,NaN\n".replace(",", separator)
    found = data.series(write(tmp_path / "Two", train, train, suffix).parent, name="Two", z_normalize=False)
    assert found.class_names == ("9", "10")
    np.testing.assert_array_equal(found.train["series"][..., 0], [[1.5, 2, 3], [4, 5, 0]])
    np.testing.assert_array_equal(found.train["mask"], [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(found.train["label"], [1, 0])


@pytest.mark.parametrize(("text", "suffix"), [("10,1.5,2\n9,4,5\n", ".csv"), (TRAIN, ".ts")])
def test_a_byte_order_mark_is_no_part_of_the_first_label(tmp_path: Path, text: str, suffix: str) -> None:
    """Spreadsheets write a byte order mark in front of a table."""
    plain, marked = (write(tmp_path / name, mark + text, text, suffix) for name, mark in (("a", ""), ("b", "\ufeff")))
    expected, found = (data.series(folder, name="Two") for folder in (plain, marked))
    assert found.class_names == expected.class_names and found.fingerprint == expected.fingerprint


def test_a_zip_file_is_read_as_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as archive:
        archive.writestr("Two/Two_TRAIN.ts", TRAIN)
        archive.writestr("Two/Two_TEST.ts", TEST)
    one = data.series(tmp_path / "sets.zip", name="Two")
    assert one.fingerprint == data.series(write(tmp_path, TRAIN, TEST), name="Two").fingerprint
    with pytest.raises(FileNotFoundError, match=r"has no Too_TRAIN with a suffix .ts, .csv, .tsv. Did you mean 'Two'"):
        data.series(tmp_path / "sets.zip", name="Too")
    with zipfile.ZipFile(tmp_path / "folder.zip", "w") as archive:  # of a folder of sets
        archive.writestr("archive/Two/Two_TRAIN.ts", TRAIN)
        archive.writestr("archive/Two/Two_TEST.ts", TEST)
        archive.writestr("__MACOSX/archive/Two/._Two_TEST.ts", "")  # of macOS's own archiver
    assert data.series(tmp_path / "folder.zip", name="Two").fingerprint == one.fingerprint


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sets.zip").write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match=r"sets\.zip is neither a folder nor a zip file that can be read"):
        data.series(tmp_path / "sets.zip", name="Two")


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_lines_may_end_as_on_other_systems(tmp_path: Path, ending: str) -> None:
    table, text = "up,0,1\ndown,2,1\n", TRAIN
    for suffix, content in ((".csv", table), (".ts", text)):
        folder = write(tmp_path / suffix, content, content, suffix)
        expected = data.series(folder, name="Two").fingerprint
        for path in folder.rglob("Two_*"):
            path.write_bytes(content.replace("\n", ending).encode())
        assert data.series(folder, name="Two").fingerprint == expected


def test_a_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "sets", TRAIN, TEST)
    assert data.series("~/sets", name="Two").class_names == ("b", "a")


def test_a_comment_after_the_classes_is_no_class(tmp_path: Path) -> None:
    commented = [text.replace("@classLabel true b a", "@classLabel true b a # two") for text in (TRAIN, TEST)]
    assert data.series(write(tmp_path, *commented), name="Two").class_names == ("b", "a")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("1,2:a\n", TEST, "Two_TRAIN.ts: a .ts file has a line @data before its series"),
        (HEADER, TEST, "there is no series after @data"),
        (HEADER.replace("s false\n", "s true\n", 1), TEST, "series with time stamps are not supported"),
        ("@data\n1:a\n", TEST, "the header has no line @classLabel true NAME NAME ... with the names of the classes"),
        ("@classLabel false a b\n@data\n1:a\n", TEST, "the header has no line @classLabel true NAME"),
        ("@targetLabel true\n@data\n1:2.5\n", TEST, "the labels are numbers (@targetLabel); make a data.Dataset"),
        (HEADER + "1,?:1,2:a\n", TEST, "line 7: expected finite numbers, got '?'. Fill missing values in"),
        (HEADER + "1,1e39:1,2:a\n", TEST, "line 7: expected finite numbers, got '1e39'"),
        (HEADER + "1,2:3:a\n", TEST, "line 7: expected channels of one length, then a label, separated by ':'"),
        (HEADER + "a\n", TEST, "line 7: expected channels of one length"),
        (TRAIN, HEADER + "1:a\n", "Two_TEST has series of 1 channels, but the first has 2"),
        (TRAIN, HEADER + "1:1:c\n", "Two_TEST.ts: line 7: the label 'c' is not one of b, a"),
    ],
)
def test_files_that_do_not_follow_the_format_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        data.series(write(tmp_path, train, test), name="Two")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("label,0,1\nup,0,1\n", "up,0,1\n", "Two_TRAIN.csv: line 1 numbers the columns (label, 0, 1, ...); delete it"),
        ("up,0,1\n,2,1\n", "up,0,1\n", "line 2: there is no label before the values"),
        ("up\n", "up,0,1\n", "line 1: expected at least one number"),
        ("1,0\n1.0,2\n", "1,0\n", "Two_TRAIN: the labels '1' and '1.0' are the same number"),
        ("up,0,1\n", "down,0,1\n", "Two_TEST has the label 'down', but the labels are up"),
        ("up," + "1" * 200_000, "up,0,1\n", "Two_TRAIN.csv: field larger than field limit"),
        ("up;0;1\n", "up;0;1\n", "line 1: expected at least one number"),
    ],
)
def test_tables_that_do_not_follow_the_format_are_refused(tmp_path: Path, train: str, test: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        data.series(write(tmp_path, train, test, ".csv"), name="Two")


def test_a_ramp_is_no_header(tmp_path: Path) -> None:
    found = data.series(write(tmp_path, "up,0,1,2\n \ndown,2,1\n", "up,0,1\n", ".csv"), name="Two")
    assert found.class_names == ("down", "up") and len(found.train) == 2


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "gr\u00fcn,0,1\n", "up,0,1\n", ".csv")
    next(folder.rglob("Two_TRAIN.csv")).write_bytes("gr\u00fcn,0,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"Two_TRAIN.csv is not text in UTF-8 \(.*\); save it as UTF-8"):
        data.series(folder, name="Two")


def test_an_empty_table_and_an_absent_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Two_TRAIN\.csv: the table is empty"):
        data.series(write(tmp_path, "", "", ".csv"), name="Two")
    with pytest.raises(FileNotFoundError, match="series: there is no folder and no zip file"):
        data.series(tmp_path / "absent", name="Two")
    with pytest.raises(FileNotFoundError, match=r"has no Two_TRAIN .* It has no file NAME_TRAIN.ts"):
        data.series(Path(__file__).parent, name="Two")


@pytest.mark.skipif(not UCR.is_file(), reason="the sets of the archive are not there")
def test_real_sets() -> None:
    power = data.series(UCR, name="ItalyPowerDemand")
    assert (power.train["series"].shape, power.test["series"].shape) == ((67, 24, 1), (1029, 24, 1))
    vowels = data.series(UCR, name="JapaneseVowels")
    assert (vowels.train["series"].shape, len(vowels.class_names)) == ((270, 29, 12), 9)
    lengths = vowels.train["mask"].sum(1)
    assert lengths.min() == 7 and lengths.max() == 26


def test_a_header_line_without_a_value_and_comments_between_series(tmp_path: Path) -> None:
    train = TRAIN.replace("@timeStamps false", "@timeStamps").replace("4,5", "# another\n4,5")
    found = data.series(write(tmp_path, train, TEST), name="Two")
    assert len(found.train) == len(found.test) == 2
