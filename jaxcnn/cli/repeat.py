"""Train an experiment once per seed, and write the figures with their spread as one JSON file.

Every seed is a process of its own, so its wall time is what a user waits for, imports, compilation and pictures
included.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HELP = "train once per seed and write a results file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, or path of its file")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the runs; runs/NAME-TIME unless given")
    parser.add_argument(
        "--beside", action="append", default=[], metavar="KEY=VALUE", help="also every seed with this; repeatable"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="results file; experiments/results/NAME.json")


def run(options: argparse.Namespace) -> int:
    """Trains every seed in turn and writes the results file."""
    from jaxcnn.train.config import with_settings
    from jaxcnn.train.discover import find_experiment
    from jaxcnn.train.errors import ConfigError
    from jaxcnn.train.files import write_json

    file = find_experiment(options.experiment)
    for other in ([], *([each] for each in options.beside)):  # a misspelt setting is known before the first seed
        with_settings(file.config_class(), [*options.set, *other])
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least one run is needed.")
    output = options.output or Path("experiments") / "results" / f"{file.name}.json"
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = options.run_dir or Path("runs") / f"{file.name}-{stamp}"
    results = _repeat(options, file.name, folder, [])
    beside = {each: _repeat(options, file.name, folder / each, [each]) for each in options.beside}
    for each, found in beside.items():  # what all have in common is said once
        own = ("seeds", "wall_seconds", "runs")
        beside[each] = {name: value for name, value in found.items() if name in own or name.startswith("test/")}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, results | ({"beside": beside} if beside else {}))
    print(f"wrote {output}")
    return 0


def _repeat(options: argparse.Namespace, name: str, folder: Path, other: list[str]) -> dict[str, Any]:
    """Trains every seed with other settings on top; the figures."""
    runs = [_train(options, folder / f"seed-{seed}", [*other, f"seed={seed}"]) for seed in range(options.seeds)]
    return summarise(name, [path for path, _ in runs], [seconds for _, seconds in runs])


def _train(options: argparse.Namespace, folder: Path, more: list[str]) -> tuple[Path, float]:
    from jaxcnn.train.errors import RunError

    settings = [word for text in [*options.set, *more] for word in ("--set", text)]
    command = [sys.executable, "-m", "jaxcnn", "train", options.experiment, *settings, "--run-dir", str(folder)]
    start = time.perf_counter()
    # Each seed compiles for itself, so that its wall time is that of a first start.
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    status = subprocess.run(command, check=False, env=environment).returncode
    if status:
        raise RunError(
            f"the run with {', '.join(more)} ended with status {status}; its run folder is {folder}. No results were "
            f"written."
        )
    return folder, time.perf_counter() - start


def summarise(experiment: str, folders: list[Path], wall_seconds: list[float]) -> dict[str, Any]:
    """The content of a results file, read from finished run folders."""
    from jaxcnn.train.run_folder import RunFolder

    runs = []
    for folder, seconds in zip(folders, wall_seconds, strict=True):
        run_folder = RunFolder(folder)
        records = run_folder.metrics.read()
        last = records[-1]
        runs.append(
            {
                "seed": run_folder.recorded()["seed"],
                **{name: value for name, value in last.items() if name.startswith("test/")},
                "epochs": last["epoch"],
                "steps": last["step"],
                "wall_seconds": round(seconds, 1),
                "history": _history(records),
            }
        )
    settings = RunFolder(folders[0]).recorded()
    for name in ("experiment", "experiment_file", "seed"):
        del settings[name]
    return {
        "experiment": experiment,
        "seeds": len(runs),
        "test/accuracy": _spread([row["test/accuracy"] for row in runs]),
        "test/error": _spread([1 - row["test/accuracy"] for row in runs]),
        **({"test/mean_iou": _spread([row["test/mean_iou"] for row in runs])} if "test/mean_iou" in runs[0] else {}),
        "wall_seconds": _spread([row["wall_seconds"] for row in runs]),
        "runs": runs,
        "settings": settings,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "versions": json.loads((folders[0] / "versions.json").read_text()),
    }


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
