"""A power cut at any moment: saved checkpoints can be read, and a finished run stays finished."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxcnn.train._checkpoints._reading import Saved, restore, saved
from jaxcnn.train._checkpoints._saving import Checkpoints, open_checkpoints
from jaxcnn.train._errors import FolderLostError
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._runs._metrics import MetricsLog, Record
from jaxcnn.train._state import create_state
from tests.train.power import Disk, write_out
from tests.train.runs import assert_same, final_state, new_run, train, without_seconds
from tests.train.states import state_at


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.gate
def test_at_every_moment_a_whole_checkpoint_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in which everything without ``fsync`` is lost.

    After the first finished save, a whole checkpoint always exists.
    """
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", monkeypatch)
    whole: dict[Saved, dict[str, bytes]] = {}  # the content of each finished checkpoint
    promised = {"last": 0, "best": 0}  # the newest step whose save is over
    moments = 0

    def settle(self: Checkpoints, kind: str) -> None:
        original(self, kind)
        promised[kind] = max([promised[kind], *self._steps[kind]])

    def look() -> None:
        nonlocal moments
        moments += 1
        for one in saved(run.checkpoints, promised):
            if one not in whole:  # just renamed to its step
                whole[one] = {str(path.relative_to(disk.root)): path.read_bytes() for path in files_of(one.path)}
        for names_too in (False, True):
            files = disk.cut(names_too=names_too)
            for kind, step in promised.items():
                good = [one.step for one in whole if one.kind == kind and whole[one].items() <= files.items()]
                assert max(good, default=0) >= step, (names_too, kind, good, step)

    original = Checkpoints.settle
    monkeypatch.setattr(Checkpoints, "settle", settle)
    file, run = new_run(disk.root / "run")
    experiment = file.build(file.config_class(epochs=2))
    disk.after_each = look
    assert train(run, experiment).finished
    assert moments > 100 and promised["last"] == 12
    disk.after_each = lambda: None
    for names_too in (False, True):
        left = write_out(disk.cut(names_too=names_too), tmp_path / f"left_{names_too}")
        after = RunFolder.open(left / "run")
        assert_same(final_state(after, experiment), final_state(run, experiment))
        assert after.metrics.read() == run.metrics.read()


@contextlib.contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """A file system within a file, if this process may mount one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-o", "loop", str(image), str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system here; the model above is checked everywhere")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if os.geteuid() or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root mounts file systems, of mkfs.ext4; the model above is checked everywhere")
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


@pytest.mark.gate
def test_a_run_outlives_its_disk_without_power(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real file system: the disk under it is copied after each epoch and at the end, without a sync."""
    copies: list[Path] = []

    def append(log: MetricsLog, record: Record) -> None:
        original(log, record)
        copies.append(Path(shutil.copy(image, tmp_path / f"after_{record['step']}.img")))

    original = MetricsLog.append
    with mounted(image, tmp_path / "disk") as disk:
        file, run = new_run(disk / "run")
        experiment = file.build(file.config_class())
        monkeypatch.setattr(MetricsLog, "append", append)
        assert train(run, experiment).finished
        copies.append(Path(shutil.copy(image, tmp_path / "finished.img")))
        records, state = without_seconds(run), final_state(run, experiment)
    for number, copy in enumerate(copies):
        with mounted(copy, tmp_path / f"copy_{number}") as disk:
            after = RunFolder.open(disk / "run")
            steps = [record["step"] for record in after.metrics.read()]
            assert steps == [6, 12, 18][: number + 1]
            if number > 1:  # the save of an epoch continues during the next epoch
                saved = restore(after.checkpoints, "last", create_state(experiment))
                assert int(saved.step) >= 6 * (number - 1)
            if number == 3:
                assert without_seconds(after) == records
                assert_same(saved, state)


def test_a_disk_that_is_unmounted_is_not_written_below_its_mount_point(image: Path, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "disk") as disk:
        (disk / "run").mkdir()
        message = r"disk/run/checkpoints is gone: it was moved.* its disk is no longer mounted.* --resume"
        with pytest.raises(FolderLostError, match=message), open_checkpoints(disk / "run" / "checkpoints") as kept:
            kept.save("last", state_at(1))
            kept.settle("last")
            kept.save("last", state_at(2))  # this save is in progress
            subprocess.run(["umount", "-l", str(disk)], check=True)
            kept.settle("last")
        assert list(disk.iterdir()) == []
