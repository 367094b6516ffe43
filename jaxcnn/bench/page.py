"""Writes the page of the measurements: ``python -m jaxcnn.bench.page RESULTS.json [NOTES.md [PICTURE]]``.

In the notes, what follows ``## KEY`` is the paragraph of the target with that key (``jaxcnn/bench/targets.py``).
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.bench.report import (
    COLUMNS,
    STEP_COLUMNS,
    SUMMARY_COLUMNS,
    markdown,
    number,
    row,
    step_rows,
    summary,
    summary_rows,
)
from jaxcnn.bench.runner import Result
from jaxcnn.bench.targets import TARGETS, asked, slower_than_stock, table

HEAD = """# How fast it is

<!-- written by `python -m jaxcnn.bench.page`; do not edit -->

Each layer and each whole training step beside stock JAX and PyTorch, measured in turns within one process by

```bash
jaxcnn bench --json results.json --picture bench.png
```
"""
PEERS = """\
Ours is `jaxcnn.functional` under `jit`. Stock is `jax.lax.conv_general_dilated` with the transposes that JAX derives,
and Flax's pools, norms and whole models, which have the variables of ours and start from the same numbers.
Accelerated is that Flax model under `jaxcnn.accelerate()`. PyTorch runs in eager mode, on all cores, in the faster of
its two layouts. A step is loss, gradients and an update by SGD with momentum, its state donated. Compile time is a
cold start's: tracing, lowering, compiling. Memory is what XLA says the program needs, arguments and results included.
Every result was held against stock's; `error` is the largest difference in units of the largest entry."""


def page(report: Mapping[str, Any], notes: Mapping[str, str] | None = None, *, picture: str | None = None) -> str:
    """The page in Markdown.

    Args:
        report: the JSON of ``jaxcnn bench --json``.
        notes: paragraphs by the keys of the targets.
        picture: the picture's path, relative to the page.

    Raises:
        ValueError: a note about no target.
    """
    notes = notes or {}
    strange = set(notes) - {target.key for target in TARGETS}
    if strange:
        raise ValueError(f"bench.page: there is no target {', '.join(sorted(strange))}.")
    results = report["results"]
    medians = summary(results, statistic="median")
    parts = [
        HEAD,
        machine_line(report["machine"]),
        PEERS,
        "## What was asked, and what is reached\n",
        _targets(results),
    ]
    parts += _paragraphs(results, notes)
    parts += ["## Summary, medians\n", markdown(SUMMARY_COLUMNS, summary_rows(medians))]
    if medians["steps"]:
        parts += [markdown(STEP_COLUMNS, step_rows(medians))]
    parts += ["## Every entry\n", *([f"![bars]({picture})"] if picture else [])]
    parts += ["Medians in milliseconds.", markdown(COLUMNS, [row(result) for result in results])]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def machine_line(about: Mapping[str, Any]) -> str:
    """When, on what and with which versions a report was measured, in one sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    memory = "" if about["memory_gib"] is None else f", {about['memory_gib']:g} GiB"
    return (
        f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores{memory}; "
        f"Python {about['python']}, {versions}."
    )


def _targets(results: Sequence[Result]) -> str:
    minima = {target.key: number(value) for target, value, _ in table(results, statistic="min")}
    rows = [
        [target.text, asked(target), number(value), minima[target.key], verdict]
        for target, value, verdict in table(results, statistic="median")
    ]
    return markdown(("figure", "asked", "medians", "minima", "by medians"), rows)


def _paragraphs(results: Sequence[Result], notes: Mapping[str, str]) -> list[str]:
    """A paragraph for each target that is not reached, and for each that has a note anyway."""
    parts = []
    for target, value, verdict in table(results, statistic="median"):
        if verdict == "reached" and target.key not in notes:
            continue
        more = ""
        if target.key == "slowest" and verdict == "not reached":
            more = f" Below 0.95 are: {', '.join(slower_than_stock(results, statistic='median'))}."
        figure = f"{target.text[0].upper()}{target.text[1:]}: {number(value)}, asked {asked(target)}.{more}"
        parts.append(f"**{figure}** {notes.get(target.key, '')}".strip())
    return parts


def read_notes(text: str) -> dict[str, str]:
    """The paragraphs under each ``## KEY``.

    >>> read_notes("about the notes\\n## torch\\nMemory.\\n\\nMore.\\n## memory\\nLess.\\n")
    {'torch': 'Memory.\\n\\nMore.', 'memory': 'Less.'}
    """
    parts = [part.partition("\n") for part in ("\n" + text).split("\n## ")[1:]]
    return {head.strip(): body.strip() for head, _, body in parts}


def main(words: Sequence[str]) -> None:
    """Prints the page of the files named."""
    report = json.loads(Path(words[0]).read_text())
    notes = read_notes(Path(words[1]).read_text()) if len(words) > 1 else {}
    picture = words[2] if len(words) > 2 else None
    print(page(report, notes, picture=picture), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
