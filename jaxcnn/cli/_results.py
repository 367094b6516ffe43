"""Print what the experiments reached, as their results files say."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "print what the experiments reached"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table, as in the README")


def run(options: argparse.Namespace) -> int:
    """Prints one row for each results file."""
    from jaxcnn.cli._output import print_json, print_table, say

    results = read_results()
    if options.json:
        print_json(results)
    elif options.markdown:
        say(markdown_table(results))
    else:
        print_table(COLUMNS, rows(results))
    return 0


COLUMNS = ("experiment", "test accuracy", "test error", "mean IoU", "seeds", "time of a run", "device", "jax")


def read_results() -> list[dict[str, Any]]:
    """Every results file of the experiments that can be called by name; the first folder wins.

    A file that is not one of results is left out and named on standard error.
    """
    from jaxcnn._errors import printable
    from jaxcnn.train._runs._discover import experiment_folders

    files: dict[str, Path] = {}
    for folder in experiment_folders():
        for path in sorted(folder.glob("results/*.json")):
            files.setdefault(path.stem, path)
    found = []
    for _, path in sorted(files.items()):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            rows([result])  # whether every entry is there, of its type
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = f"it has no entry {error}" if isinstance(error, KeyError) else str(error)
            print(f"jaxcnn results: {printable(str(path))} is left out: {printable(reason)}", file=sys.stderr)
        else:
            found.append(result)
    return found


def rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """Each result, and below it what the experiment reached with other settings."""
    found = []
    for result in results:
        found.append(row(result))
        for setting, other in result.get("beside", {}).items():
            found.append(row({**result, **other, "experiment": f"{result['experiment']}, {setting}"}))
    return found


def row(result: dict[str, Any]) -> list[str]:
    """One result in words: mean and sample standard deviation over the seeds; of one seed there is no deviation."""
    from jaxcnn.train._reports._progress import duration

    def per_cent(name: str) -> str:
        if name not in result:
            return ""
        spread = f" ± {100 * result[name]['std']:.2f}" if result["seeds"] > 1 else ""
        return f"{100 * result[name]['mean']:.2f}{spread} %"

    versions, cores = result["versions"], result["cores"]
    return [
        result["experiment"],
        per_cent("test/accuracy"),
        per_cent("test/error"),
        per_cent("test/mean_iou"),
        str(result["seeds"]),
        duration(result["wall_seconds"]["mean"]) if "wall_seconds" in result else "not known",
        f"{cores} core{'s' * (cores > 1)}" if versions["device"]["platform"] == "cpu" else versions["device"]["kind"],
        versions["packages"]["jax"],
    ]


def head_lines(result: dict[str, Any]) -> list[str]:
    """The lines ``cost`` and ``result`` at the head of the experiment's file."""
    _, accuracy, error, overlap, seeds, time, device, _ = row(result)
    figures = f"{accuracy} test accuracy, {overlap} mean IoU" if overlap else f"{accuracy} test accuracy, {error} error"
    return [f"cost    {time} a run on {device}", f"result  {figures} over {seeds} seed{'s' * (result['seeds'] > 1)}"]


def markdown_table(results: list[dict[str, Any]]) -> str:
    """The table of the README."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows(results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
