"""Prints docs/compile_times.md: ``python -m docs.bench.compile_page docs/bench/compile_times.json``."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.bench.page import machine_line
from jaxcnn.cli._bench_tables import markdown
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


def page(report: Mapping[str, Any]) -> str:
    """The page in Markdown, from the JSON of ``jaxcnn bench --compile --json``."""
    lines = [*(row(result) for result in report["results"]), medians(report["results"])]
    parts = [HEAD.strip("\n"), machine_line(report["machine"]), markdown(COLUMNS, lines).strip("\n")]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
