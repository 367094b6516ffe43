"""Compare runs: the settings that differ, the last metrics, and the curves in one picture.

`jaxcnn compare runs/a runs/b` prints one row for each run. Runs of different experiments are compared by the metrics
that all of them have; the others are listed.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcnn._reprs import SHARES

HELP = "compare runs: settings that differ, metrics, curves in one picture"
EXAMPLES = (
    "jaxcnn compare runs/a runs/b",
    "jaxcnn compare runs/* --picture curves.pdf",
)
# Entries of a record that are no metrics.
_NOT_METRICS = ("step", "epoch", "seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, two or more")
    parser.add_argument(
        "--picture", type=Path, default=Path("comparison.png"), metavar="FILE", help="the picture (comparison.png)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints a table and draws the picture."""
    from jaxcnn import vis
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import ConfigError

    if len(options.runs) < 2:
        raise ConfigError("name two runs or more, such as: jaxcnn compare runs/a runs/b")
    found = [_read(path) for path in options.runs]
    places = [each["path"].resolve() for each in found]
    if twice := [str(path) for path, place in zip(options.runs, places, strict=True) if places.count(place) > 1]:
        raise ConfigError(f"a run is compared with itself: {' and '.join(twice)} are the same folder.")
    compared = _compare(found)
    records = {
        _label(row, compared["differing"]): each["records"] for row, each in zip(compared["runs"], found, strict=True)
    }
    picture = None
    if any("/" in name for name in compared["shared"]):
        vis.draw_comparison(records, options.picture)
        picture = compared["picture"] = str(options.picture)
    if options.json:
        print_json(compared)
        return 0
    print_table(*_table(compared))
    for name, owners in compared["not_shared"].items():
        say(f"not shared: {name}, which only {', '.join(owners)} {'has' if len(owners) == 1 else 'have'}")
    say(f"curves  {picture}" if picture else "no curves: the runs have no metric in common")
    return 0


def _read(path: Path) -> dict[str, Any]:
    """The content of a run folder.

    Raises:
        RunError: the folder holds no run.
    """
    from jaxcnn.train import RunFolder

    folder = RunFolder.open(path)
    recorded = folder.recorded()
    return {
        "path": path,
        "experiment": recorded["experiment"],
        "settings": folder.settings(),
        "records": folder.metrics.read(),
    }


def _compare(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The comparison as ``--json`` prints it; a metric is the last one that was recorded."""
    names = _names([each["path"] for each in runs])
    settings = list(dict.fromkeys(name for each in runs for name in each["settings"]))
    differing = [name for name in settings if any(_differs(runs[0], each, name) for each in runs[1:])]
    last = [_last(each["records"]) for each in runs]
    metrics = list(dict.fromkeys(name for each in last for name in each))
    owners = {metric: [name for name, each in zip(names, last, strict=True) if metric in each] for metric in metrics}
    return {
        "runs": [
            {
                "run": name,
                "folder": str(each["path"]),
                "experiment": each["experiment"],
                "epoch": each["records"][-1]["epoch"] if each["records"] else 0,
                "settings": {setting: each["settings"].get(setting) for setting in differing},
                "metrics": metrics_of,
            }
            for name, each, metrics_of in zip(names, runs, last, strict=True)
        ],
        "differing": differing,
        "shared": [metric for metric, having in owners.items() if len(having) == len(runs)],
        "not_shared": {metric: having for metric, having in owners.items() if len(having) < len(runs)},
    }


def _differs(left: Mapping[str, Any], right: Mapping[str, Any], name: str) -> bool:
    missing = object()
    return bool(left["settings"].get(name, missing) != right["settings"].get(name, missing))


def _last(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last value of each metric."""
    return {name: value for record in records for name, value in record.items() if name not in _NOT_METRICS}


def _names(paths: Sequence[Path]) -> list[str]:
    """The names of the folders; whole paths where two have the same name."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _label(row: Mapping[str, Any], differing: Sequence[str]) -> str:
    """A run in the key of the picture."""
    settings = ", ".join(f"{name}={row['settings'][name]}" for name in differing if row["settings"][name] is not None)
    return f"{row['run']}: {settings}" if settings else row["run"]


def _table(compared: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows: what differs, then the metrics of validation and test, or of training where there are none."""
    runs = compared["runs"]
    shown = [name for name in compared["shared"] if name.startswith(("val/", "test/"))]
    shown = shown or [name for name in compared["shared"] if name.startswith("train/")]
    experiments = ["experiment"] if len({each["experiment"] for each in runs}) > 1 else []
    rows: list[list[object]] = [
        [each["run"]]
        + [each[name] for name in experiments]
        + ["" if each["settings"][name] is None else str(each["settings"][name]) for name in compared["differing"]]
        + [each["epoch"]]
        + [_figure(name, each["metrics"][name]) for name in shown]
        for each in runs
    ]
    return ["run", *experiments, *compared["differing"], "epoch", *shown], rows


def _figure(name: str, value: Any) -> str:
    return f"{100 * value:.2f} %" if name.partition("/")[2] in SHARES else f"{value:.4g}"
