"""List the experiments that can be called by name, and the runs in ./runs."""

import argparse
from pathlib import Path
from typing import Any

from jaxcnn._reprs import SHARES, setting_text

HELP = "list experiments and runs"
EXAMPLES = (
    "jaxcnn list",
    "jaxcnn list --json",
)
DEPTHS = ("*", "*/*", "*/*/*")  # of the folders of runs below ./runs: `repeat` and `sweep` make folders of runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints both tables."""
    from jaxcnn.cli._output import print_json, print_table
    from jaxcnn.train import list_experiments

    experiments = [
        {"name": name, "about": _headline(path), "file": str(path)} for name, path in list_experiments().items()
    ]
    folders = sorted(path.parent for depth in DEPTHS for path in Path("runs").glob(f"{depth}/config.json"))
    runs = with_differences([_describe(folder) for folder in folders])
    if options.json:
        print_json({"experiments": experiments, "runs": runs})
        return 0
    print_table(["experiment", "about"], [[row["name"], row["about"]] for row in experiments])
    if runs:
        print()
        rows = [
            [row["run"], row["experiment"], _changes(row), row["epoch"], row["step"], _in_words(row["metric"])]
            for row in runs
        ]
        print_table(["run", "experiment", "settings that differ", "epoch", "step", "metric"], rows)
    return 0


def with_differences(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, each with those of its settings that are not the same in all runs of its experiment.

    >>> runs = [{"experiment": "a", "settings": {"rate": rate, "epochs": 3}} for rate in (0.1, 0.2)]
    >>> [run["settings"] for run in with_differences(runs)]
    [{'rate': 0.1}, {'rate': 0.2}]
    """
    found = []
    for run in runs:
        others = [other["settings"] for other in runs if other["experiment"] == run["experiment"]]
        differing = {
            name: value
            for name, value in run["settings"].items()
            if any(name in other and other[name] != value for other in others)
        }
        found.append({**run, "settings": differing})
    return found


def _headline(path: Path) -> str:
    """First line of a file's docstring, read without running the file."""
    import ast

    try:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        return f"cannot be read: {error}"
    return doc.splitlines()[0] if doc else ""


def _describe(folder: Path) -> dict[str, Any]:
    """The row of a run; of a run that cannot be read, a row with the reason."""
    from jaxcnn.train import RunError, RunFolder

    run_folder = RunFolder(folder)
    try:
        experiment = str(run_folder.recorded()["experiment"])
        settings, records = run_folder.settings(), run_folder.metrics.read()
    except (RunError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        experiment, settings, records = f"damaged: {error}", {}, []
    last = records[-1] if records else {}
    return {
        "run": str(folder),
        "experiment": experiment,
        "settings": settings,
        **{name: _number(last.get(name)) or 0 for name in ("epoch", "step")},
        "metric": _metric(last),
        "test/accuracy": _number(last.get("test/accuracy")),
    }


def _metric(record: dict[str, Any]) -> dict[str, Any] | None:
    """The accuracy of the last epoch, or else its first metric that is not a loss, or its loss.

    Of the test split; where that has not been evaluated yet, of the validation split, or of training.
    """
    for split in ("test/", "val/", "train/"):
        known = {name: _number(value) for name, value in record.items() if name.startswith(split)}
        names = [name for name, value in known.items() if value is not None and name != "train/skipped"]
        if names:
            order = sorted(names, key=lambda name: (name != f"{split}accuracy", name == f"{split}loss"))
            return {"name": order[0], "value": known[order[0]]}
    return None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _changes(row: dict[str, Any]) -> str:
    return " ".join(f"{name}={setting_text(value)}" for name, value in row["settings"].items())


def _in_words(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return ""
    name, value = metric["name"].replace("/", " ").replace("_", " "), metric["value"]
    share = metric["name"].partition("/")[2] in SHARES
    return f"{name} {100 * value:.2f} %" if share else f"{name} {value:.4g}"
