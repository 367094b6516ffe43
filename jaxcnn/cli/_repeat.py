"""Train an experiment once per seed, and write the figures with their spread as one JSON file.

Every seed is a process of its own, so its wall time is what a user waits for, imports, compilation and pictures
included. Stopped at any moment it goes on in the same ``--run-dir``: what is trained is kept, the rest is resumed.
"""

import argparse
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from jaxcnn.cli._signals import WATCHED, watched
from jaxcnn.cli._standard_output import lasting_output

HELP = "train once per seed and write a results file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, or path of its file")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="folder of the runs, or of those to go on from; runs/NAME-TIME"
    )
    parser.add_argument(
        "--beside", action="append", default=[], metavar="KEY=VALUE", help="also every seed with this; repeatable"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="results file; experiments/results/NAME.json")


class _Stopped(Exception):
    """A seed received a signal to stop, and has saved its state."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(options: argparse.Namespace) -> int:
    """Trains every seed in turn and writes the results file."""
    with lasting_output():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from jaxcnn.train._errors import ConfigError
    from jaxcnn.train._runs._config import with_settings
    from jaxcnn.train._runs._discover import find_experiment
    from jaxcnn.train._runs._files import write_json
    from jaxcnn.train._runs._folder import RunFolder

    file = find_experiment(options.experiment)
    for other in ([], *([each] for each in options.beside)):  # a misspelt setting is known before the first seed
        with_settings(file.config_class(), [*options.set, *other])
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least one run is needed.")
    output = options.output or Path("experiments") / "results" / f"{file.name}.json"
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    options.run_dir = folder = options.run_dir or RunFolder.unused(Path("runs") / f"{file.name}-{stamp}")
    try:
        results = _repeat(options, file.name, folder, [])
        beside = {each: _repeat(options, file.name, folder / each, [each]) for each in options.beside}
    except _Stopped as stopped:
        print(f"stopped; what is trained is kept. Go on with:\n  {_command(options)}")
        return stopped.status
    for each, found in beside.items():  # what all have in common is said once
        own = ("seeds", "wall_seconds", "runs")
        beside[each] = {name: value for name, value in found.items() if name in own or name.startswith("test/")}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, results | ({"beside": beside} if beside else {}))
    print(f"wrote {output}")
    return 0


def _command(options: argparse.Namespace) -> str:
    """The command that goes on from the folder of this one."""
    words = ["jaxcnn", "repeat", options.experiment, "--seeds", str(options.seeds)]
    words += [word for text in options.set for word in ("--set", text)]
    words += [word for text in options.beside for word in ("--beside", text)]
    words += ["--run-dir", str(options.run_dir)]
    return shlex.join([*words, "--output", str(options.output)] if options.output else words)


def _repeat(options: argparse.Namespace, name: str, folder: Path, other: list[str]) -> dict[str, Any]:
    """Trains every seed with other settings on top; the figures."""
    runs = [_train(options, folder / f"seed-{seed}", [*other, f"seed={seed}"]) for seed in range(options.seeds)]
    return summarise(name, [path for path, _ in runs], [seconds for _, seconds in runs])


def _train(options: argparse.Namespace, folder: Path, more: list[str]) -> tuple[Path, float | None]:
    """Trains a seed, or what is left of it; its folder, and the seconds it took if that was one start."""
    from jaxcnn.train._errors import RunError
    from jaxcnn.train._runs._files import write_json

    settings, done = [*options.set, *more], folder / "repeat.json"
    if there := (folder / "config.json").exists():
        _check_same(options.experiment, folder, settings)
        if done.exists():
            print(f"{folder} is trained")
            return folder, json.loads(done.read_text(encoding="utf-8"))["wall_seconds"]
    words = ["--resume", str(folder)] if there else [options.experiment, "--run-dir", str(folder)]
    if not there:
        words += [word for text in settings for word in ("--set", text)]
    start = time.perf_counter()
    status = _wait_for([sys.executable, "-m", "jaxcnn", "train", *words])
    seconds = None if there else round(time.perf_counter() - start, 1)
    if status in {128 + number for number in WATCHED}:
        raise _Stopped(status)
    if status:
        raise RunError(
            f"the run with {', '.join(more)} ended with status {status}; its run folder is {folder}. No results were "
            f"written. Go on with: {_command(options)}"
        )
    write_json(done, {"wall_seconds": seconds})
    return folder, seconds


def _check_same(experiment: str, folder: Path, settings: list[str]) -> None:
    """Refuses to take a run of something else for one of these seeds.

    Raises:
        RunError: its settings differ, or the text of its experiment does.
    """
    from jaxcnn.train._errors import RunError
    from jaxcnn.train._runs._config import settings_to_json, with_settings
    from jaxcnn.train._runs._discover import find_experiment
    from jaxcnn.train._runs._folder import RunFolder

    file, recorded = find_experiment(experiment), RunFolder(folder).recorded()
    wanted = settings_to_json(with_settings(file.config_class(), settings))
    differing = [name for name, value in wanted.items() if recorded.get(name) != value]
    if (folder / "experiment.py").read_text(encoding="utf-8") != file.source:
        differing.append("the text of the experiment")
    if differing:
        raise RunError(
            f"{folder} holds a run that differs in {', '.join(differing)}. Name another folder with --run-dir DIR."
        )


def _wait_for(command: Sequence[str]) -> int:
    """The exit status of a process, which receives Ctrl-C and SIGTERM and has time to save."""
    # Each seed compiles for itself, so that its wall time is that of a first start.
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    started: list[subprocess.Popen[bytes]] = []

    def tell(number: int, frame: FrameType | None) -> None:
        for process in started:
            process.send_signal(number)

    earlier = {number: signal.signal(number, tell) for number in watched()}
    try:
        # In a group of its own: a terminal would tell it of Ctrl-C a second time, which ends it at once.
        started.append(subprocess.Popen(command, env=environment, process_group=0))
        return started[0].wait()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def summarise(experiment: str, folders: list[Path], wall_seconds: list[float | None]) -> dict[str, Any]:
    """The content of a results file, read from finished run folders; no seconds where they are not known."""
    from jaxcnn.train._runs._folder import RunFolder

    runs, versions = [], [json.loads((folder / "versions.json").read_text(encoding="utf-8")) for folder in folders]
    for folder, seconds, made_with in zip(folders, wall_seconds, versions, strict=True):
        run_folder = RunFolder(folder)
        records = run_folder.metrics.read()
        last = records[-1]
        runs.append(
            {
                "seed": run_folder.recorded()["seed"],
                **{name: value for name, value in last.items() if name.startswith("test/")},
                "epochs": last["epoch"],
                "steps": last["step"],
                "wall_seconds": seconds,
                **({"measured": measured} if (measured := _measured(folder)) else {}),
                "git": made_with["git"],
                "history": _history(records),
            }
        )
    settings = RunFolder(folders[0]).settings()
    del settings["seed"]
    return {
        "experiment": experiment,
        "seeds": len(runs),
        **_figures(runs),
        **({"wall_seconds": _spread(known)} if (known := [each for each in wall_seconds if each is not None]) else {}),
        "runs": runs,
        "settings": settings,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "versions": versions[0],
    }


def _measured(folder: Path) -> dict[str, Any]:
    """What the experiment measured after the training of a run; empty where it measures nothing."""
    file = folder / "measured.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _figures(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The spread of each figure of the test split over the runs, without the loss; and of the error."""
    names = [name for name in runs[0] if name.startswith("test/") and name != "test/loss"]
    found = {name: _spread([row[name] for row in runs]) for name in names}
    if "test/accuracy" in found:
        found["test/error"] = _spread([1 - row["test/accuracy"] for row in runs])
    return found


def _history(records: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """The run's curves: a list for each figure, with a place for each epoch; null where it was not tested."""
    names = dict.fromkeys(name for record in records for name in record if "/" in name or name == "step")
    return {name: [None if name not in each else round(each[name], 6) for each in records] for name in names}


def _spread(values: list[float]) -> dict[str, float]:
    """Mean, sample standard deviation (0 for a single value), least and greatest."""
    import statistics

    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    spread = {"mean": statistics.fmean(values), "std": deviation, "min": min(values), "max": max(values)}
    return {name: round(value, 6) for name, value in spread.items()}
