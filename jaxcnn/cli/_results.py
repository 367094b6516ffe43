"""Print the results of the experiments, from their results files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "print the results of the experiments"
EXAMPLES = (
    "jaxcnn results",
    "jaxcnn results --markdown",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table, as in docs/results.md")


def run(options: argparse.Namespace) -> int:
    """Prints a row for each results file, or for each variant in it."""
    from jaxcnn.cli._output import print_json, print_table, say

    results = read_results()
    if options.json:
        print_json(results)
    elif options.markdown:
        say(markdown_table(results))
    else:
        print_table(COLUMNS, rows(results))
    return 0


COLUMNS = ("experiment", "test accuracy", "other figures", "seeds", "time of a run", "device", "jax")
_UNKNOWN = "not known"
MOST_IN_HEAD = 3  # figures of a line at the head of an experiment without accuracy
MOST_OTHERS = 4  # figures of a row in addition to accuracy and error; --json prints all


def read_results() -> list[dict[str, Any]]:
    """Every results file of the experiments that can be called by name; the first folder wins.

    ``NAME.json`` has the results of an experiment, ``NAME/VARIANT.json`` those of one variant that was trained alone.
    Other files in a folder ``NAME`` belong to reports. A file that is not one of results is left out and named on
    standard error.
    """
    from jaxcnn._errors import printable
    from jaxcnn.train import experiment_folders

    files: dict[tuple[str, ...], Path] = {}
    for folder in experiment_folders():
        results = folder / "results"
        for path in [*results.glob("*.json"), *results.glob("*/*.json")]:
            files.setdefault(path.relative_to(results).with_suffix("").parts, path)
    found = []
    for (_, *variant), path in sorted(files.items()):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            rows([result])  # whether every entry is there, of its type
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = f"it has no entry {error}" if isinstance(error, KeyError) else str(error)
            print(f"jaxcnn results: {printable(str(path))} is left out: {printable(reason)}", file=sys.stderr)
        else:
            if not variant or variant == list(result.get("variants", {})):
                found.append(result)
    return found


def rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each result, or for each of its variants."""
    return [row(each) for result in results for each in by_variant(result)]


def by_variant(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The result of each variant, named ``experiment, variant``; the result itself where there are no variants."""
    return [
        {**result, **figures, "experiment": f"{result['experiment']}, {name}"}
        for name, figures in result.get("variants", {}).items()
    ] or [result]


def row(result: dict[str, Any]) -> list[str]:
    """One result in words."""
    from jaxcnn._reprs import duration

    versions, cores = result["versions"], result["cores"]
    return [
        result["experiment"],
        in_words(result, "test/accuracy") if "test/accuracy" in result else "",
        ", ".join([*_measured(result), *_others(result)][:MOST_OTHERS]),
        str(result["seeds"]),
        duration(result["wall_seconds"]["mean"]) if "wall_seconds" in result else _UNKNOWN,
        f"{cores} core{'s' * (cores > 1)}" if versions["device"]["platform"] == "cpu" else versions["device"]["kind"],
        versions["packages"]["jax"],
    ]


def in_words(result: dict[str, Any], name: str) -> str:
    """Mean and sample standard deviation over the seeds, shares in per cent; of one seed there is no deviation."""
    from jaxcnn._reprs import SHARES

    share = name == "test/error" or name.partition("/")[2] in SHARES
    factor, digits = (100, 2) if share else (1, 4)
    spread = f" ± {factor * result[name]['std']:.{digits}f}" if result["seeds"] > 1 else ""
    return f"{factor * result[name]['mean']:.{digits}f}{spread}{' %' * share}"


def _others(result: dict[str, Any]) -> list[str]:
    """The figures of the test split but for accuracy and error, each with its name."""
    from jaxcnn._reprs import measure_in_words

    names = [name for name in result if name.startswith("test/") and name not in ("test/accuracy", "test/error")]
    return [f"{in_words(result, name)} {measure_in_words(name)}" for name in names]


def _measured(result: dict[str, Any]) -> list[str]:
    """The numbers that the experiment measured, each with its name; arrays are left out."""
    found = []
    for name, each in result.get("measured", {}).items():
        if isinstance(each["mean"], int | float):
            spread = f" ± {each['std']:.2g}" if result["seeds"] > 1 else ""
            found.append(f"{each['mean']:.4g}{spread} {name.replace('_', ' ')}")
    return found


def head_lines(result: dict[str, Any]) -> list[str]:
    """The lines ``cost`` and ``result`` at the head of the experiment's file; a line ``result`` for each variant."""
    *_, time, device, _ = row(by_variant(result)[0])
    cost = f"{time} a run on {device}" if time != _UNKNOWN else f"{time} (several starts, or a busy machine), {device}"
    return [f"cost    {cost}", *(_head_line(result, each) for each in by_variant(result))]


def _head_line(whole: dict[str, Any], result: dict[str, Any]) -> str:
    variant = result["experiment"].removeprefix(whole["experiment"]).removeprefix(", ")
    accuracy, others = row(result)[1], _others(result)
    figures = [f"{accuracy} test accuracy"] if accuracy else []
    if accuracy:
        figures += others or [f"{in_words(result, 'test/error')} error"]
    else:
        figures += [*_measured(result), *others][:MOST_IN_HEAD]
    seeds = f"over {result['seeds']} seed{'s' * (result['seeds'] > 1)}"
    return f"result  {f'{variant}: ' if variant else ''}{', '.join(figures)} {seeds}"


def markdown_table(results: list[dict[str, Any]]) -> str:
    """The table of ``docs/results.md``."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows(results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
