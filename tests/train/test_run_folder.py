"""Run folders: one owner, odd names, links, and files that change between two starts."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from jaxcnn.train._checkpoints import _provenance as provenance
from jaxcnn.train._checkpoints._reading import restore, saved
from jaxcnn.train._checkpoints._saving import open_checkpoints
from jaxcnn.train._devices import Parallel
from jaxcnn.train._errors import ConfigError, FolderLostError, RunError
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._runs._metrics import MetricsLog, Record
from jaxcnn.train._runs._versions import git_state
from tests.tiers import default_rows
from tests.train.runs import TINY, assert_same, final_state, new_run, train, without_seconds
from tests.train.states import save_steps, state_at

# Reads the names of folders, one per line, creates a run in each, and prints the result.
CREATE = """
import sys
from pathlib import Path
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._errors import RunError
from jaxcnn.train._runs._folder import RunFolder
file, seed = load_experiment(Path(sys.argv[1])), int(sys.argv[2])
RunFolder.create(Path(sys.argv[3]), file, {"seed": seed})  # imports everything
print("ready", flush=True)
for line in sys.stdin:
    kind, path = line.split()
    try:
        place = RunFolder.unused(Path(path)) if kind == "default" else Path(path)
        RunFolder.create(place, file, {"seed": seed}, {"devices": seed})
        print(place, flush=True)
    except RunError as error:
        expected = "holds a run already" in str(error) or "another process" in str(error)
        print("refused" if expected else error, flush=True)
"""


@pytest.mark.gate
def test_of_two_processes_in_one_folder_one_is_refused_and_default_names_differ(tmp_path: Path) -> None:
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(TINY), str(seed), str(tmp_path / f"ready_{seed}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]

    def both(line: str) -> list[str]:
        for process in pair:
            assert process.stdin is not None
            process.stdin.write(line + "\n")
        for process in pair:
            assert process.stdin is not None
            process.stdin.flush()
        return [process.stdout.readline().strip() for process in pair if process.stdout is not None]

    try:
        assert [process.stdout.readline() for process in pair if process.stdout is not None] == ["ready\n", "ready\n"]
        for number in range(20):
            path = tmp_path / f"same_{number}"
            said = both(f"named {path}")
            assert sorted(said) == [str(path), "refused"]
            owner = said.index(str(path)) + 1
            assert json.loads((path / "config.json").read_text(encoding="utf-8"))["seed"] == owner
            assert json.loads((path / "parallel.json").read_text(encoding="utf-8"))["devices"] == owner
            made = both(f"default {tmp_path / f'default_{number}'}")
            assert len(set(made)) == 2 and "refused" not in made
            assert [json.loads((Path(each) / "config.json").read_text(encoding="utf-8"))["seed"] for each in made] == [
                1,
                2,
            ]
    finally:
        for process in pair:
            process.kill()
            process.communicate()


def test_a_deleted_lock_file_lets_no_second_process_in(tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    with run.locked():
        (run.path / ".lock").unlink()
        with pytest.raises(RunError, match=r"another process \(pid unknown\) is training into .*run"), run.locked():
            pass


@pytest.mark.parametrize(
    "name", default_rows(["m_[lr=0.1]", "[/bold]", "what?*", "with space", "x" * 200], keep=["m_[lr=0.1]", "what?*"])
)
def test_checkpoints_are_saved_under_any_name(name: str, tmp_path: Path) -> None:
    """Brackets are a pattern in the library that writes the arrays."""
    save_steps(tmp_path / name, 1, 2)
    assert_same(restore(tmp_path / name, "last", state_at(0)), state_at(2))


@pytest.mark.gate
def test_a_run_with_brackets_in_its_name_is_resumed_and_finished(tmp_path: Path) -> None:
    file, run = new_run(tmp_path / "m_[lr=0.1]")
    experiment = file.build(file.config_class(epochs=1))
    assert train(run, experiment, stop_after=4).step == 4
    assert train(run, experiment).finished
    assert int(final_state(run, experiment).step) == 6


def test_a_path_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    with pytest.raises(RunError, match=r"cannot write the run folder .*xxx: File name too long\. Name another with"):
        new_run(long)
    with pytest.raises(RunError, match=r"cannot read the run folder .*xxx: File name too long\."):
        RunFolder.open(long)
    with pytest.raises(RunError, match=r"cannot write the run folder .*: .*embedded null"):
        new_run(tmp_path / "a\0b")
    with pytest.raises(RunError, match=r"(cannot read the run folder .*: .*embedded null|there is no folder)"):
        RunFolder.open(tmp_path / "a\0b")
    with pytest.raises(ConfigError, match=r"the path '.*caf\\udce9' is not UTF-8, and XLA needs one that is"):
        new_run(tmp_path / "caf\udce9")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["run", "experiment", "experiment_file"])
def test_a_setting_cannot_take_the_name_of_another_entry(name: str, tmp_path: Path) -> None:
    file, _ = new_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=f"a setting cannot be named {name}. Rename it"):
        RunFolder.create(tmp_path / "other", file, {name: 3})


@pytest.mark.parametrize(
    "name", [".lock", "metrics.jsonl", "warnings.log", "config.json", "checkpoints", "checkpoints/last/9999", "mine"]
)
def test_a_link_in_a_run_folder_is_refused_and_its_target_is_left_alone(name: str, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    (run.checkpoints / "last").mkdir(parents=True)
    target = tmp_path / "elsewhere"
    place = run.path / name
    if place.is_dir():
        shutil.rmtree(place)
    elif place.exists():
        place.rename(target)
    if not target.exists():
        target.mkdir()
        (target / "precious").write_text("kept", encoding="utf-8")
    before = sorted((str(path), path.stat().st_mtime_ns) for path in [target, *target.rglob("*")])
    place.symlink_to(target)
    message = (
        rf"{name} is a link to .*elsewhere, which a run folder may not contain" if name != ".lock" else "levels of"
    )
    with pytest.raises(RunError, match=message), run.locked():
        pass
    with pytest.raises(RunError, match=r"is a link to .*elsewhere, .*Put the file or folder itself in its place"):
        RunFolder.open(run.path)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in [target, *target.rglob("*")]) == before


def test_a_pipe_in_a_run_folder_is_refused(tmp_path: Path) -> None:
    """Reading the pipe would block forever."""
    _, run = new_run(tmp_path / "run")
    run.metrics.path.unlink()
    os.mkfifo(run.metrics.path)
    with pytest.raises(RunError, match=r"metrics.jsonl is neither a file nor a folder, which a run folder may not"):
        RunFolder.open(run.path)


@pytest.mark.gate
def test_the_run_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    file, run = new_run(tmp_path / "real")
    (tmp_path / "link").symlink_to(run.path)
    experiment = file.build(file.config_class(epochs=1))
    assert train(RunFolder.open(tmp_path / "link"), experiment).finished
    assert saved(run.checkpoints, ["last"])


def deleted(folder: Path) -> None:
    # other threads may write to the folder at the same time
    shutil.rmtree(folder.rename(folder.with_name("moved")), ignore_errors=True)


def replaced(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    folder.mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (deleted, r"run/checkpoints is gone: it was moved, deleted or replaced"),
        (lambda folder: folder.rename(folder.with_name("moved")), r"run/checkpoints is gone: it was moved"),
        (replaced, r"run/checkpoints is gone: it was moved"),
        (lambda folder: replaced(folder / "checkpoints"), r"checkpoints is another folder than the one that the run"),
    ],
    ids=["deleted", "moved", "replaced", "checkpoints replaced"],
)
@pytest.mark.parametrize("in_flight", default_rows([False, True], keep=[True]))
def test_a_folder_that_is_lost_is_not_made_again(
    change: Callable[[Path], object], message: str, in_flight: bool, tmp_path: Path
) -> None:
    """Neither between two saves nor during a save."""
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(FolderLostError, match=message), open_checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save("last", state_at(1))
        if not in_flight:
            checkpoints.settle("last")
        change(folder)
        checkpoints.save("last", state_at(2))
        checkpoints.settle("last")
    now = folder / "checkpoints" if "another" in message else folder
    assert not now.exists() or not list(now.iterdir())


def test_metrics_are_not_written_into_another_folder(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    log = MetricsLog(place / "metrics.jsonl")
    log.append({"step": 1})
    replaced(place)
    with pytest.raises(FolderLostError, match=r"run is another folder than the one that the run was started in"):
        log.append({"step": 2})
    assert not list(place.iterdir())


def edit(run: RunFolder, **settings: object) -> None:
    path = run.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")


def test_what_changed_between_two_starts_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, run = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())
    train(run, experiment, stop_after=2)
    assert "has changed" not in caplog.text
    edit(run, peak_lr=0.5)
    (run.path / "experiment.py").write_text(TINY.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    packages = provenance.installed_packages() | {"jax": "0.0.1"}
    monkeypatch.setattr(provenance, "installed_packages", lambda: packages)
    monkeypatch.setattr(provenance, "cpu_kind", lambda: "another")
    train(run, experiment, stop_after=1, parallel=Parallel.over(1, accumulate=2))
    expected = (
        r"since the checkpoint of step 2 was saved, this run has changed: config.json: peak_lr was 0.02 and is 0.5; "
        r"experiment.py: sha256 was [0-9a-f]{64} and is [0-9a-f]{64}; devices: accumulate was 1 and is 2; "
        r"versions: jax was [0-9.]+ and is 0.0.1; hardware: cpu was .* and is another. The numbers may differ"
    )
    assert re.search(expected, caplog.text), caplog.text
    assert re.search(expected, (run.path / "warnings.log").read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**32 + 1, 2**64])
def test_a_seed_that_would_be_another_is_refused(seed: int, tmp_path: Path) -> None:
    file, _ = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())
    with pytest.raises(ValueError, match=rf"seed={seed}: expected 0 to 4294967295\. JAX's keys ignore"):
        dataclasses.replace(experiment, seed=seed)
    for good in (0, 2**32 - 1):
        assert dataclasses.replace(experiment, seed=good).seed == good
    first, last = (jax.random.key_data(jax.random.key(each)) for each in (0, 2**32 - 1))
    assert (first != last).any()


def lines(run: RunFolder) -> list[bytes]:
    return run.metrics.path.read_bytes().splitlines(keepends=True)


METRICS: dict[str, Callable[[RunFolder], object]] = {
    "last line never written": lambda run: run.metrics.path.write_bytes(b"".join(lines(run)[:-1])),
    "missing": lambda run: run.metrics.path.unlink(),
    "half a line": lambda run: os.truncate(run.metrics.path, run.metrics.path.stat().st_size - 30),
    "half a line in the middle": lambda run: run.metrics.path.write_bytes(lines(run)[0][40:] + lines(run)[1]),
    "NUL bytes": lambda run: run.metrics.path.write_bytes(lines(run)[0] + b"\0" * 300 + b"\n"),
    "NaN step": lambda run: run.metrics.path.write_bytes(lines(run)[0].replace(b'"step": 6', b'"step": NaN')),
    "another number": lambda run: run.metrics.path.write_bytes(b"".join(lines(run)).replace(b".", b".1", 8)),
    "garbage": lambda run: run.metrics.path.write_bytes(b"\xff\xfe[[[{\n"),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A run that was stopped in its third epoch, and its metrics at that point."""
    file, run = new_run(tmp_path_factory.mktemp("stopped") / "run")
    experiment = file.build(file.config_class())
    train(run, experiment, stop_after=13)
    whole = RunFolder.open(Path(shutil.copytree(run.path, run.path.with_name("whole"))))
    train(whole, experiment)
    return run.path, without_seconds(whole)


@pytest.mark.parametrize("name", default_rows(list(METRICS), keep=["missing", "another number"]))
def test_metrics_are_written_again_from_the_checkpoint(
    name: str, stopped: tuple[Path, list[Record]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(Path(shutil.copytree(stopped[0], tmp_path / "run")))
    METRICS[name](run)
    run = RunFolder.open(run.path)
    before = run.metrics.read()
    assert all(record in [*stopped[1]] for record in without_seconds(run)) and len(before) < 2
    file, config = run.load_experiment()
    assert train(run, file.build(config)).finished
    assert without_seconds(RunFolder(run.path)) == stopped[1]
    said = "metrics.jsonl is missing" if name == "missing" else "it is written again from the checkpoint"
    assert said in caplog.text


def test_a_run_that_is_stopped_before_its_first_metrics_lacks_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, run = new_run(tmp_path / "run")
    train(run, file.build(file.config_class()), stop_after=1)
    assert RunFolder.open(run.path).metrics.read() == [] and any(run.checkpoints.glob("last/*"))
    assert caplog.text == ""


def test_a_file_of_metrics_that_is_changed_in_mid_run_is_written_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step, change in enumerate(
        [
            lambda: None,
            log.path.unlink,
            lambda: os.truncate(log.path, 3),
            lambda: log.path.write_text("other\n" * 9, encoding="utf-8"),
        ],
        1,
    ):
        log.append({"step": step})
        change()
    log.append({"step": 5})
    assert [record["step"] for record in MetricsLog(log.path).read()] == [1, 2, 3, 4, 5]


def test_a_link_that_replaces_the_metrics_is_replaced_itself(tmp_path: Path) -> None:
    log, target = MetricsLog(tmp_path / "metrics.jsonl"), tmp_path / "target"
    log.append({"step": 1})
    log.path.rename(target)
    log.path.symlink_to(target)
    before = target.read_bytes()
    log.append({"step": 2})
    log.append({"step": 3})
    assert target.read_bytes() == before and not log.path.is_symlink()
    assert [record["step"] for record in MetricsLog(log.path).read()] == [1, 2, 3]


def test_a_whole_run_is_not_touched_by_another_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, run = new_run(tmp_path / "run")
    experiment = file.build(file.config_class(epochs=1))
    train(run, experiment)
    before, state = run.metrics.path.read_bytes(), final_state(run, experiment)
    again = RunFolder.open(run.path)
    assert train(again, experiment).finished
    assert again.metrics.path.read_bytes() == before and not caplog.text
    assert_same(final_state(again, experiment), state)


def test_the_state_of_a_checkout_with_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """With ``core.quotepath=false`` git prints such names without quoting."""

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=b", *words], check=True)

    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).touch()
    git("init", "--quiet")
    git("config", "core.quotepath", "false")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    state = git_state(tmp_path)
    assert state is not None and len(state["commit"]) == 40 and state["changed"] is False
    (tmp_path / name).write_text("changed", encoding="utf-8")
    assert git_state(tmp_path) == {**state, "changed": True}
    assert git_state(tmp_path / "nowhere") is None
