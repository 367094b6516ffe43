"""Prints docs/compile_times.md, from the root of a checkout:

python -m docs.bench.compile_page docs/bench/compile_times.json --costs docs/bench/compile_costs.json
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.bench.compile_costs import PHASES, total
from docs.bench.page import machine_line
from jaxcnn.cli._bench_tables import markdown, number
from jaxcnn.cli._compile_times import COLUMNS, medians, row

HEAD = """# How long each model compiles

<!-- written by `python -m docs.bench.compile_page`; do not edit -->

The first training step of every model at the input size of its paper, on one image (two where the model cannot be
trained on one): loss, gradients and an update by SGD with momentum. Tracing produces a jaxpr, lowering translates it to
StableHLO, and XLA compiles that. All three are measured with empty caches, and hardly depend on the number of images.
`jaxcnn train` caches compiled programs, so a second start of the same run only traces and lowers. A model that is not
listed was not measured.

```bash
jaxcnn bench --compile --json results.json
```
"""


COSTS = """## Where the time goes, next to stock Flax

Processor seconds on one core, for the five steps of [Speed](bench.md). Tracing and lowering are JAX's; `hlo` are XLA's
passes over the whole program, `mlir` the translation of each kernel (a fused loop) to LLVM's language, and `llvm` its
optimisation and machine code. Instructions are those of the program before XLA changes it. XLA compiles equal kernels
once, so that a network costs what its different layers cost.

```bash
taskset -c 1 python docs/bench/compile_costs.py --json docs/bench/compile_costs.json
```
"""
KINDS = """\
LLVM takes most of it. Its seconds by the operation that a kernel is of, and the number of kernels in brackets:"""


def page(report: Mapping[str, Any], costs: Mapping[str, Any] | None = None) -> str:
    """The page in Markdown, from the JSON of ``jaxcnn bench --compile --json`` and of ``compile_costs.py``."""
    lines = [*(row(result) for result in report["results"]), medians(report["results"])]
    parts = [HEAD.strip("\n"), machine_line(report["machine"]), markdown(COLUMNS, lines).strip("\n")]
    if costs is not None:
        parts += [COSTS.strip("\n"), phases_table(costs["costs"]), KINDS, kinds_table(costs["costs"])]
        parts.append("Measured with " + ", ".join(f"{name} {what}" for name, what in costs["versions"].items()) + ".")
    return "\n\n".join(parts) + "\n"


def phases_table(costs: Mapping[str, Any]) -> str:
    """A row for stock and for each version of ours; stock is that of the same run."""
    rows = []
    for step in costs["now"]:
        for label, found in costs.items():
            if step in found:
                version = f", {label}" if len(costs) > 1 else ""
                stock = found[step]["stock"]
                rows.append(_phases(step, f"stock{version}", stock, stock))
                rows.append(_phases(step, f"ours{version}", found[step]["ours"], stock))
    return markdown(["step", "", *PHASES, "total", "over stock", "kernels", "instructions"], rows).strip("\n")


def _phases(step: str, label: str, cost: Mapping[str, Any], stock: Mapping[str, Any]) -> list[str]:
    seconds = [number(cost[phase]) for phase in PHASES]
    ratio = number(total(cost) / total(stock))
    return [f"`{step}`", label, *seconds, number(total(cost)), ratio, str(cost["kernels"]), str(cost["instructions"])]


def kinds_table(costs: Mapping[str, Any]) -> str:
    """Seconds of LLVM and kernels of each kind of operation and peer, of the version ``now``."""
    peers = [(step, peer, found[peer]["operations"]) for step, found in costs["now"].items() for peer in found]
    weights: dict[str, float] = {}
    for _, _, operations in peers:
        for kind, each in operations.items():
            weights[kind] = weights.get(kind, 0.0) + each["seconds"]
    kinds = sorted(weights, key=lambda kind: -weights[kind])[:10]
    rows = []
    for step, peer, operations in peers:
        found = [operations.get(kind) for kind in kinds]
        rows.append(
            [f"`{step}`", peer, *("" if f is None else f"{number(f['seconds'])} ({f['kernels']})" for f in found)]
        )
    return markdown(["step", "", *kinds], rows).strip("\n")


def main() -> None:
    """Prints the page of the files named."""
    parser = argparse.ArgumentParser(prog="python -m docs.bench.compile_page", description="prints the page")
    parser.add_argument("results", type=Path, help="JSON of jaxcnn bench --compile")
    parser.add_argument("--costs", type=Path, help="JSON of docs/bench/compile_costs.py")
    options = parser.parse_args()
    costs = json.loads(options.costs.read_text(encoding="utf-8")) if options.costs else None
    print(page(json.loads(options.results.read_text(encoding="utf-8")), costs), end="")


if __name__ == "__main__":
    main()
