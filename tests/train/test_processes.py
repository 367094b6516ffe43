"""Two real processes with four devices each are one run on eight devices."""

import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.train._checkpoints._reading import saved
from jaxcnn.train._devices import Parallel
from jaxcnn.train._distributed import join_processes, together
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._loop import train_run
from jaxcnn.train._prepare import resume_run
from jaxcnn.train._roll_back import WENT_BACK
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import EXTENDED, RunFolder
from tests.train.runs import TINY, Quiet, final_state, new_run, wait_for_epochs

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def start(
    process: int,
    port: int,
    folder: Path,
    experiment: Path,
    *,
    epochs: int,
    words: tuple[str, ...] = (),
    script: str | None = None,
    extend: bool = False,
) -> subprocess.Popen[str]:
    if extend:
        arguments = ["train", "--resume", str(folder), "--extend", f"epochs={epochs}"]
    else:
        arguments = ["train", str(experiment), "--run-dir", str(folder), "--set", f"epochs={epochs}"]
    arguments += ["--coordinator", f"localhost:{port}", "--num-processes", "2", "--process-id", str(process), *words]
    settings = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    return subprocess.Popen(
        [sys.executable, *(["-m", "jaxcnn"] if script is None else ["-c", script]), *arguments],
        env=os.environ | settings,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def two_processes(
    folder: Path,
    experiment: Path,
    *,
    epochs: int,
    words: tuple[str, ...] = (),
    scripts: tuple[str | None, str | None] = (None, None),
    extend: bool = False,
) -> Iterator[list[subprocess.Popen[str]]]:
    port = free_port()
    processes = [
        start(process, port, folder, experiment, epochs=epochs, words=words, script=script, extend=extend)
        for process, script in enumerate(scripts)
    ]
    try:
        yield processes
    finally:
        for process in processes:  # a process that hangs would survive a failed test
            process.kill()


# A clock that advances by ten minutes whenever it is read.
HASTY = """
import itertools, sys, time
looks, clock = itertools.count(), time.perf_counter
time.perf_counter = lambda: clock() + 600 * next(looks)
from jaxcnn.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("experiment_file", "epochs", "second", "saves"),
    [
        pytest.param(
            TINY.with_name("tiny_spiked.py"),
            4,
            HASTY,
            [24, 20],
            id="resident, clocks that differ, an epoch undone",
            marks=pytest.mark.gate,
        ),
        pytest.param(TINY.with_name("tiny_stream.py"), 2, None, [12, 6], id="streamed", marks=pytest.mark.gate),
    ],
)
def test_two_processes_are_one_run(
    tmp_path: Path, experiment_file: Path, epochs: int, second: str | None, saves: list[int]
) -> None:
    """Both processes hold all images, or each process streams the images of its own devices.

    If one process decides that a save in mid-epoch is due, both save at the next step on which they agree. An epoch in
    which the loss jumps is undone in both.
    """
    with two_processes(tmp_path / "two", experiment_file, epochs=epochs, scripts=(None, second)) as processes:
        said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "test accuracy" in said[0] and "test accuracy" not in said[1]

    two = RunFolder.open(tmp_path / "two")
    assert [each.step for each in saved(two.checkpoints, ["last"])] == saves
    file, _ = two.load_experiment()
    experiment = file.build(file.config_class(epochs=epochs))
    one = RunFolder.create(tmp_path / "one", file, {"epochs": epochs})
    with one.locked():
        train_run(experiment, one, progress=Quiet(), should_stop=lambda: False, parallel=Parallel.over(8))
    left, right = (run.metrics.read() for run in (two, one))
    assert [record["step"] for record in left] == [6 * epoch for epoch in range(1, epochs + 1)]  # each line once
    went_back = [record.get(WENT_BACK) for record in left]
    assert went_back == [record.get(WENT_BACK) for record in right] == [None, None, 12, None][:epochs]
    for ours, theirs in zip(left, right, strict=True):
        for name in ("train/loss", "train/accuracy", "learning_rate"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-6)
    ours, theirs = (final_state(run, experiment) for run in (two, one))
    for name in ("norm", "output"):  # the gradient of the bias before the norm consists of rounding errors
        for leaf in ours.params[name]:
            np.testing.assert_allclose(ours.params[name][leaf], theirs.params[name][leaf], atol=1e-4)
    assert json.loads((two.path / "parallel.json").read_text(encoding="utf-8"))["devices"] == 8


@pytest.mark.gate
def test_two_processes_extend_their_run_as_one_process_does(tmp_path: Path) -> None:
    """The longer run is recorded once, both processes load it, and training continues at the saved step."""
    with two_processes(tmp_path / "two", TINY, epochs=2) as processes:
        said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    with two_processes(tmp_path / "two", TINY, epochs=4, extend=True) as processes:
        said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "from step 12 on: epochs was 2 and is 4; 24 steps in all" in said[0]

    file = load_experiment(TINY)
    one = RunFolder.create(tmp_path / "one", file, dataclasses.asdict(file.config_class(epochs=2)))
    with one.locked():
        train_run(
            file.build(file.config_class(epochs=2)),
            one,
            progress=Quiet(),
            should_stop=lambda: False,
            parallel=Parallel.over(8),
        )
    longer = resume_run(one.path, extend=["epochs=4"], trust=True, devices={"devices": 8})
    with longer.run.locked():
        train_run(longer.experiment, longer.run, progress=Quiet(), should_stop=lambda: False, parallel=longer.parallel)
    two = RunFolder.open(tmp_path / "two")
    entries = two.recorded()[EXTENDED]
    assert entries == RunFolder.open(one.path).recorded()[EXTENDED] == [{"step": 12, "settings": {"epochs": 4}}]
    assert [record["step"] for record in two.metrics.read()] == [6, 12, 18, 24]
    ours, theirs = (final_state(run, longer.experiment) for run in (two, one))
    for name in ("norm", "output"):
        for leaf in ours.params[name]:
            np.testing.assert_allclose(ours.params[name][leaf], theirs.params[name][leaf], atol=1e-4)


@pytest.mark.gate
def test_a_signal_to_one_process_stops_both_at_one_step_and_one_process_goes_on(tmp_path: Path) -> None:
    """The case of one machine of several that is taken away; the remaining process continues on other devices."""
    folder, epochs = tmp_path / "two", 500
    with two_processes(folder, TINY, epochs=epochs) as processes:
        wait_for_epochs(folder, 1)
        processes[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [128 + signal.SIGINT, 128 + signal.SIGTERM], said
    stopped = re.search(r"stopped at step (\d+); everything is saved", said[0])
    assert stopped and "stopped at" not in said[1], said
    step = int(stopped[1])

    file, one = new_run(tmp_path / "one")
    two, experiment = RunFolder.open(folder), file.build(file.config_class(epochs=epochs))
    assert int(final_state(two, experiment).step) == step
    for run, more in ((two, 3), (one, step + 3)):
        asked = itertools.count()
        with run.locked():
            train_run(
                experiment,
                run,
                progress=Quiet(),
                should_stop=lambda asked=asked, more=more: next(asked) == more,
                parallel=Parallel.over(8),
            )
    ours, theirs = (final_state(run, experiment) for run in (two, one))
    assert int(ours.step) == int(theirs.step) == step + 3
    for name in ("norm", "output"):
        for leaf in ours.params[name]:
            np.testing.assert_allclose(ours.params[name][leaf], theirs.params[name][leaf], atol=1e-4)


@pytest.mark.gate
def test_when_one_process_is_killed_the_other_ends_and_the_run_goes_on(tmp_path: Path) -> None:
    """The case of a machine that is lost: the other process does not wait forever, and its checkpoints are valid."""
    folder, epochs = tmp_path / "two", 500
    deadline = time.monotonic() + 120
    with two_processes(folder, TINY, epochs=epochs, words=("--heartbeat", "5")) as processes:
        while not saved(folder / "checkpoints", ["last"]) and time.monotonic() < deadline:
            time.sleep(0.05)
        processes[1].kill()
        processes[1].communicate()
        said = processes[0].communicate(timeout=90)[0]
    assert processes[0].returncode not in (0, None), said
    run = RunFolder.open(folder)
    file = run.load_experiment()[0]
    experiment = file.build(file.config_class(epochs=epochs))
    before = int(final_state(run, experiment).step)
    asked = itertools.count()
    with run.locked():
        train_run(experiment, run, progress=Quiet(), should_stop=lambda: next(asked) == 3, parallel=Parallel.over(8))
    assert before >= 6 and int(final_state(run, experiment).step) == before + 3


TWISTED = """
import dataclasses, os
import numpy as np
from tests.train import tiny
from jaxcnn.train import cross_entropy

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tiny.Config):
    "As of the tiny experiment."

def build(config):
    experiment = tiny.build(config)
    train, twist = experiment.data.train, os.environ.get("TWIST")
    if twist == "loss":
        return dataclasses.replace(experiment, **tiny.functions(tiny.TinyNetwork(), loss=cross_entropy(0.1)))
    if twist == "labels":
        train = train.replace(label=train["label"][::-1].copy())
    if twist == "pixel":
        images = train["image"].copy()
        images[99, 31, 31, 0] ^= 1
        train = train.replace(image=images)
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, train=train))
"""

# Both processes start a run for each line of their input; only the second process applies the change.
TWISTER = """
import importlib.metadata, json, os, sys, time
sys.path.insert(0, os.getcwd())
from jaxcnn.cli import main
from jaxcnn.train._distributed import join_processes
experiment, folder, process, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
join_processes(f"localhost:{port}", num_processes=2, process_id=process)
version = importlib.metadata.version
for name, words in json.loads(sys.argv[5]):
    second = process == 1
    os.environ["TWIST"] = name if second else ""
    importlib.metadata.version = lambda of: "0.0.1" if second and name == "versions" and of == "optax" else version(of)
    start = time.monotonic()
    print(f"<{name}>", flush=True)
    sys.stderr = sys.stdout
    status = main(["train", experiment, "--run-dir", f"{folder}/{name}", *(words if second else [])])
    print(f"status {status} after {time.monotonic() - start:.0f} s", flush=True)
"""


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            {"described": {"seed": 1, "epochs": 3}},
            ConfigError,
            r"^the processes of this run were not given the same: seed is 0 in process 0 and 1 in process 1\. Start",
        ),
        ({"error": "no space is left"}, RunError, r"^process 1 could not prepare the run: no space is left$"),
    ],
    ids=["another setting", "an error"],
)
def test_what_the_other_process_answers_is_named(
    answer: dict[str, object], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a second process is simulated; two real processes are started in the gate."""
    theirs = json.dumps(answer).encode()

    def gather(array: np.ndarray) -> np.ndarray:
        if array.ndim == 0:
            return np.stack([array, np.int32(len(theirs))])
        return np.stack([array, np.frombuffer(theirs.ljust(len(array)), np.uint8)])

    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jax.experimental.multihost_utils.process_allgather", gather)
    with pytest.raises(error, match=message), together("prepare the run") as described:
        described |= {"seed": 0, "epochs": 3}


@pytest.mark.gate
@pytest.mark.parametrize(
    "differences",
    [["loss", "folder"], ["labels", "pixel", "loss", "batch", "versions", "folder", "epochs"]],
    ids=["program and folder", "each"],
)
def test_processes_that_were_given_different_things_end_and_name_the_difference(
    differences: list[str], tmp_path: Path
) -> None:
    """Both processes end within seconds.

    All runs are started in one pair of processes, since a start is slow.
    """
    both = r"jaxcnn train: the processes of this run were not given the same: "
    every: dict[str, tuple[list[str], str, str]] = {
        "labels": ([], both + r"the fingerprint of the data is \w+ in process 0 and \w+ in process 1\. Start", ""),
        "pixel": ([], both + r"the fingerprint of the data is \w+ in process 0 and \w+ in process 1\. Start", ""),
        "loss": ([], both + r"the program of a step \(objective, augmentation, optimizer\) is \w+ in process 0", ""),
        "batch": (["--set", "batch_size=32"], both + r"batch_size is 16 in process 0 and 32 in process 1\. Start", ""),
        "versions": ([], both + r"the version of optax is [\d.]+ in process 0 and 0\.0\.1 in process 1\. Start", ""),
        "folder": (
            ["--run-dir", str(tmp_path / "elsewhere")],
            r"jaxcnn train: process 1 could not find the run folder: there is no folder .*elsewhere",
            r"jaxcnn train: there is no folder .*elsewhere",
        ),
        "epochs": (
            ["--set", "epochs=0"],
            r"jaxcnn train: process 1 could not prepare the run: Experiment: epochs=0: a run needs at least one",
            r"jaxcnn train: Experiment: epochs=0: a run needs at least one",
        ),
    }
    expected = {name: every[name] for name in differences}
    experiment = tmp_path / "twisted.py"
    experiment.write_text(TWISTED, encoding="utf-8")
    scenarios = json.dumps([(name, words) for name, (words, _, _) in expected.items()])
    port = free_port()
    settings = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWISTER, str(experiment), str(tmp_path), str(process), str(port), scenarios],
            env=os.environ | settings,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    ]
    try:
        said = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in enumerate(said):
        parts = re.split(r"^<(\w+)>$", text, flags=re.MULTILINE)
        found = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert list(found) == list(expected), text
        for name, (_, first, second) in expected.items():
            assert re.search((second if process else first) or first, found[name]), (name, process, text)
            assert (ended := re.search(r"status 2 after (\d+) s", found[name])), (name, process, text)
            assert int(ended[1]) < 60
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"twisted.py", "loss", "folder"}, "what is refused before the run folder leaves nothing behind"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "localhost:1"}, r"--coordinator HOST:PORT, --num-processes N and --process-id I go together"),
        ({"coordinator": "localhost:1", "num_processes": 2, "process_id": 2}, r"--process-id 2: of 2 .* are 0 to 1"),
        ({"heartbeat_seconds": 0}, r"--heartbeat 0: processes are waited for at least one second"),
    ],
)
def test_who_is_who(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        join_processes(**arguments)  # type: ignore[arg-type]
