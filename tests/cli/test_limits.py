"""A full disk, few file handles, little memory: the error is one sentence, and finished files stay."""

import contextlib
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxcnn.cli import _show, _train, main
from jaxcnn.data import Dataset, Split
from jaxcnn.train import RunFolder
from tests.cli.conftest import TINY

ROOT = Path(__file__).parent.parent.parent


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Files cannot grow beyond 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_while_drawing_costs_the_pictures_only(
    tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = Split(image=np.zeros((3, 4, 4, 1), np.uint8), label=np.zeros(3, int))
    data = Dataset(name="blank", train=split, test=split, class_names=("background", "other"))
    outputs, targets = {"probabilities": np.full((3, 2), 0.5)}, {"label": split["label"]}
    experiment, found = SimpleNamespace(data=data, streams=False), {}
    for name in ("roomy", "full"):
        (tmp_path / name).mkdir()
        run = SimpleNamespace(path=tmp_path / name, metrics=RunFolder(tiny_run).metrics)
        # Programs compiled for the first picture may be written to JAX's compilation cache, whose disk is not full.
        with full_disk() if name == "full" else contextlib.nullcontext():
            found[name] = _train._draw(run, experiment, outputs, targets)
    assert found == {"roomy": ["curves.png", "confusion.png", "mistakes.png"], "full": []}
    assert list((tmp_path / "full").iterdir()) == [], "no half pictures"
    for name in ("curves", "confusion", "mistakes"):
        assert f"{name}.png could not be drawn (OSError: [Errno 27] File too large); the run itself is" in caplog.text


def test_few_file_handles_are_named_before_training(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "jaxcnn", "train", str(TINY), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 24; exec "$@"', "sh", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert done.stderr.startswith("jaxcnn train: this process may have 24 files open at a time, and training needs at")
    assert done.stderr.count("\n") == 1


def test_little_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def allocate(options: object) -> int:
        return len(np.ones((1 << 45,), np.uint8))

    monkeypatch.setattr(_show, "run", allocate)
    assert main(["show", "lenet5_digits"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxcnn show: there is too little memory") and error.count("\n") == 1
