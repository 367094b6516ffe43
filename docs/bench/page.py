"""Prints docs/bench.md, from the root of a checkout:

    python -m docs.bench.page docs/bench/jax-0.12.json docs/bench/jax-0.10.json \\
        --notes docs/bench/notes.md --picture images/bench.png \\
        --policies docs/bench/freed_memory.json docs/bench/freed_memory_two_cores.json \\
        --above-torch docs/bench/above_torch.json --avx512 docs/bench/steps_avx512.json > docs/bench.md

The page lists every entry of the first file; further files, of other releases of JAX, add columns to the table of
targets. In the notes, the text after ``## KEY`` is the paragraph of the target with that key (``targets.py``).
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.bench.above_torch import tables
from docs.bench.targets import TARGETS, Target, bound_text, slower_than_stock, table
from jaxcnn.bench._report import summary
from jaxcnn.cli._bench_tables import (
    COLUMNS,
    STEP_COLUMNS,
    SUMMARY_COLUMNS,
    markdown,
    number,
    row,
    step_rows,
    summary_rows,
)

HEAD = """# How fast it is

<!-- written by `python -m docs.bench.page`; do not edit -->

This page compares the speed of layers and of whole training steps with stock JAX and PyTorch, on a CPU. They are
measured alternately in one process by

```bash
jaxcnn bench --json results.json --picture bench.png
```
"""
PEERS = """\
"Ours" is `jaxcnn.functional` under `jit`. Ratios are of times: stock / ours above 1, and ours / PyTorch below 1, mean
that jaxcnn is faster. "Stock" is `jax.lax.conv_general_dilated` with the transposes that JAX
derives, and Flax's pools, norms and whole models, with the same variables and initial values. "Accelerated" is that
Flax model under `jaxcnn.accelerate()`. PyTorch runs in eager mode, on all cores, in the faster of its two layouts. A
step is loss, gradients and an update by SGD with momentum, with donated state. Compile time is tracing, lowering and
compiling without caches. Memory is what XLA reports for the program, arguments and results included. Every result was
compared with stock's; `error` is the largest difference relative to the largest entry."""


POLICIES = """\
The `jaxcnn` command keeps freed memory in the process (`jaxcnn.keep_freed_memory()`); "kept" is the same for each
library. Each time is the fastest step of alternating processes, in milliseconds; the last rows are geometric means of
the five steps over the times of PyTorch. Memory is the resident set during training, in MB: when kept, up to four times
the temporary memory of a step, since a freed block does not always fit the next request."""
TUNED = """"Tuned" selects algorithms by a table of `jaxcnn bench --tune`, which includes oneDNN."""
AVX512 = """\
These steps are of a CPU with AVX-512. XLA's own kernel gradients are faster with it, and the engine selects them more
often there."""
ABOVE = """\
The layers of the table below that are slower than PyTorch's, and steps of two video networks, with freed memory kept by
all of them. "Tuned" is the fastest algorithm of `jaxcnn bench --tune`, which measures oneDNN too."""


def page(
    reports: Sequence[Mapping[str, Any]],
    notes: Mapping[str, str] | None = None,
    *,
    picture: str | None = None,
    policies: Sequence[Mapping[str, Any]] = (),
    above: Mapping[str, Any] | None = None,
    avx512: Mapping[str, Any] | None = None,
) -> str:
    """The page in Markdown.

    Args:
        reports: the JSON of ``jaxcnn bench --json``, each with another release of JAX; the first is the main one.
        notes: the paragraph of each target, by its key.
        picture: the picture's path, relative to the page.
        policies: results of ``docs/bench/freed_memory.py --json``.
        above: the JSON of ``docs/bench/above_torch.py --json``.
        avx512: the JSON of ``jaxcnn bench --only step --json`` on a CPU with AVX-512.

    Raises:
        ValueError: a note about an unknown target.
    """
    notes = notes or {}
    unknown = set(notes) - {target.key for target in TARGETS}
    if unknown:
        raise ValueError(f"bench.page: there is no target {', '.join(sorted(unknown))}.")
    results = reports[0]["results"]
    medians = summary(results, statistic="median")
    parts = [HEAD, *(machine_line(report["machine"]) for report in reports), PEERS]
    parts += ["## Targets\n", _targets(reports)]
    if policies:
        parts += ["## Steps by memory policy", policy_tables(policies)]
    if avx512 is not None:
        steps = step_rows(summary(avx512["results"], statistic="median"))
        parts += ["## Steps with AVX-512", AVX512, machine_line(avx512["machine"]), markdown(STEP_COLUMNS, steps)]
    if above is not None:
        parts += ["## What is left above PyTorch", ABOVE, tables(above)]
    parts += _paragraphs(reports, notes)
    parts += [f"## Summary, medians, {_release(reports[0])}\n", markdown(SUMMARY_COLUMNS, summary_rows(medians))]
    if medians["steps"]:
        parts += [markdown(STEP_COLUMNS, step_rows(medians))]
    parts += [f"## Every entry, {_release(reports[0])}\n", *([f"![bars]({picture})"] if picture else [])]
    parts += ["Medians in milliseconds.", markdown(COLUMNS, [row(result) for result in results])]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def policy_tables(reports: Sequence[Mapping[str, Any]]) -> str:
    """Times and memory of each step under each policy, and the means over PyTorch: a table for each measurement."""
    policies = {policy for measured in reports for step in measured["steps"].values() for policy in step}
    about = f"{POLICIES} {TUNED}" if any("tuned" in policy for policy in policies) else POLICIES
    return "\n\n".join([about, *map(_policy_table, reports)])


def _policy_table(measured: Mapping[str, Any]) -> str:
    steps = measured["steps"]
    policies = list(next(iter(steps.values())))
    heads = [policy.replace("torch", "PyTorch") for policy in policies]
    rows = [
        [f"`{step}`", *(number(found[policy][key]) for key in ("milliseconds", "megabytes") for policy in policies)]
        for step, found in steps.items()
    ]
    for peer in (policy for policy in policies if policy.startswith("torch")):
        means = [
            statistics.geometric_mean(
                found[policy]["milliseconds"] / found[peer]["milliseconds"] for found in steps.values()
            )
            for policy in policies
        ]
        rows.append([f"mean over {peer.replace('torch', 'PyTorch')}", *map(number, means), *[""] * len(policies)])
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    cores = "one core" if measured["cores"] == 1 else f"{measured['cores']} cores"
    found = markdown(["step", *heads, *(f"{head}, MB" for head in heads)], rows)
    return f"Measured on {cores} with {versions}:\n\n{found}"


def machine_line(about: Mapping[str, Any]) -> str:
    """When, on what and with which versions a report was measured, in one sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    memory = "" if about["memory_gib"] is None else f", {about['memory_gib']:g} GiB"
    return (
        f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores{memory}; "
        f"Python {about['python']}, {versions}."
    )


def _release(report: Mapping[str, Any]) -> str:
    return f"JAX {report['machine']['versions']['jax']}"


def _targets(reports: Sequence[Mapping[str, Any]]) -> str:
    """A row for each figure that the first report has, with medians and minima of each report."""
    heads = ["figure", "target"]
    for report in reports:
        heads += [f"{_release(report)}, medians", "minima"]
    rows = []
    for target, *_ in table(reports[0]["results"], statistic="median"):
        cells = [target.text, bound_text(target)]
        for report in reports:
            median, least = (target.value(report["results"], statistic) for statistic in ("median", "min"))
            cells += [_marked(target, median), number(least)]
        rows.append(cells)
    return markdown(heads, rows) + "\n\nFigures that reach the target are in bold."


def _marked(target: Target, value: float | None) -> str:
    return number(value) if value is None or not target.is_met(value) else f"**{number(value)}**"


def _paragraphs(reports: Sequence[Mapping[str, Any]], notes: Mapping[str, str]) -> list[str]:
    """A paragraph for each target that some report does not reach, and for each that has a note anyway."""
    parts = []
    for target, *_ in table(reports[0]["results"], statistic="median"):
        values = {_release(report): target.value(report["results"], "median") for report in reports}
        if target.key not in notes and all(value is None or target.is_met(value) for value in values.values()):
            continue
        found = ", ".join(f"{number(value)} with {name}" for name, value in values.items() if value is not None)
        more = ""
        if target.key == "slowest":
            slow = slower_than_stock(reports[0]["results"], statistic="median")
            more = f" Below 0.95 are, with {_release(reports[0])}: {', '.join(slow)}." if slow else ""
        figure = f"{target.text[0].upper()}{target.text[1:]}: {found}; target {bound_text(target)}.{more}"
        parts.append(f"**{figure}** {notes.get(target.key, '')}".strip())
    return parts


def read_notes(text: str) -> dict[str, str]:
    """The paragraphs under each ``## KEY``.

    >>> read_notes("about the notes\\n## torch\\nMemory.\\n\\nMore.\\n## memory\\nLess.\\n")
    {'torch': 'Memory.\\n\\nMore.', 'memory': 'Less.'}
    """
    parts = [part.partition("\n") for part in ("\n" + text).split("\n## ")[1:]]
    return {head.strip(): body.strip() for head, _, body in parts}


def main(words: Sequence[str] | None = None) -> None:
    """Prints the page of the files named."""
    parser = argparse.ArgumentParser(prog="python -m docs.bench.page", description="prints the page in Markdown")
    parser.add_argument("results", nargs="+", type=Path, help="JSON of jaxcnn bench; the first is the main one")
    parser.add_argument("--notes", type=Path, help="paragraphs on the targets")
    parser.add_argument("--picture", help="path of the picture, relative to the page")
    parser.add_argument("--policies", nargs="*", type=Path, default=(), help="JSON of docs/bench/freed_memory.py")
    parser.add_argument("--above-torch", type=Path, help="JSON of docs/bench/above_torch.py")
    parser.add_argument("--avx512", type=Path, help="JSON of jaxcnn bench --only step on a CPU with AVX-512")
    options = parser.parse_args(words)
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
    notes = read_notes(options.notes.read_text(encoding="utf-8")) if options.notes else {}
    policies = [json.loads(path.read_text(encoding="utf-8")) for path in options.policies]
    above, avx512 = (
        json.loads(path.read_text(encoding="utf-8")) if path else None for path in (options.above_torch, options.avx512)
    )
    print(page(reports, notes, picture=options.picture, policies=policies, above=above, avx512=avx512), end="")


if __name__ == "__main__":
    main()
