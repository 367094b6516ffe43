"""Print what the experiments reached, as their results files say."""

import argparse
import json
from pathlib import Path
from typing import Any

HELP = "print what the experiments reached"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table, as in the README")


def run(options: argparse.Namespace) -> int:
    """Prints one row for each results file."""
    from jaxcnn.cli.output import print_json, print_table

    results = read_results()
    if options.json:
        print_json(results)
    elif options.markdown:
        print(markdown_table(results))
    else:
        print_table(COLUMNS, [row(result) for result in results])
    return 0


COLUMNS = ("experiment", "test accuracy", "test error", "seeds", "time of a run", "device", "jax")


def read_results() -> list[dict[str, Any]]:
    """Every results file beside the experiments that can be called by name; the first folder wins."""
    from jaxcnn.train.discover import experiment_folders

    files: dict[str, Path] = {}
    for folder in experiment_folders():
        for path in sorted(folder.glob("results/*.json")):
            files.setdefault(path.stem, path)
    return [json.loads(path.read_text()) for _, path in sorted(files.items())]


def row(result: dict[str, Any]) -> list[str]:
    """One result in words: mean and sample standard deviation over the seeds."""
    from jaxcnn.train.progress import duration

    def per_cent(name: str) -> str:
        return f"{100 * result[name]['mean']:.2f} ± {100 * result[name]['std']:.2f} %"

    versions = result["versions"]
    return [
        result["experiment"],
        per_cent("test/accuracy"),
        per_cent("test/error"),
        str(result["seeds"]),
        duration(result["wall_seconds"]["mean"]),
        f"{result['cores']} cores" if versions["device"]["platform"] == "cpu" else versions["device"]["kind"],
        versions["packages"]["jax"],
    ]


def head_lines(result: dict[str, Any]) -> list[str]:
    """The lines ``cost`` and ``result`` at the head of the experiment's file."""
    _, accuracy, error, seeds, time, device, _ = row(result)
    return [f"cost    {time} a run on {device}", f"result  {accuracy} test accuracy, {error} error over {seeds} seeds"]


def markdown_table(results: list[dict[str, Any]]) -> str:
    """The table of the README."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row(result) for result in results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
