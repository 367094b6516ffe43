"""List the experiments that can be called by name, and the runs in ./runs."""

import argparse
from pathlib import Path
from typing import Any

HELP = "list experiments and runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints both tables."""
    from jaxcnn.cli._output import print_json, print_table
    from jaxcnn.train._runs._discover import list_experiments

    experiments = [
        {"name": name, "about": _headline(path), "file": str(path)} for name, path in list_experiments().items()
    ]
    runs = [_describe(path.parent) for path in sorted(Path("runs").glob("*/config.json"))]
    if options.json:
        print_json({"experiments": experiments, "runs": runs})
        return 0
    print_table(["experiment", "about"], [[row["name"], row["about"]] for row in experiments])
    if runs:
        print()
        rows = [[row["run"], row["experiment"], row["epoch"], row["step"], _per_cent(row)] for row in runs]
        print_table(["run", "experiment", "epoch", "step", "test accuracy"], rows)
    return 0


def _headline(path: Path) -> str:
    """First line of a file's docstring, read without running the file."""
    import ast

    try:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        return f"cannot be read: {error}"
    return doc.splitlines()[0] if doc else ""


def _describe(folder: Path) -> dict[str, Any]:
    """A run in a row; one that cannot be read is a row that says so."""
    from jaxcnn.train._errors import RunError
    from jaxcnn.train._runs._folder import RunFolder

    run_folder = RunFolder(folder)
    try:
        experiment = str(run_folder.recorded()["experiment"])
        records = run_folder.metrics.read()
    except (RunError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        experiment, records = f"damaged: {error}", []
    last = records[-1] if records else {}
    return {
        "run": str(folder),
        "experiment": experiment,
        **{name: _number(last.get(name)) or 0 for name in ("epoch", "step")},
        "test/accuracy": _number(last.get("test/accuracy")),
    }


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _per_cent(row: dict[str, Any]) -> str:
    return "" if row["test/accuracy"] is None else f"{100 * row['test/accuracy']:.2f} %"
