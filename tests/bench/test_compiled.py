"""Programs compiled for chips that are not present: the scripts, and the tables of the page."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.bench import compiled_for_chips
from docs.bench.compiled_experiments import FILES, PAGE, ROWS, page, tables
from docs.bench.compiled_for_chips import Program, Worker, compiled, counts, programs, write
from jaxcnn.functional import conv
from jaxcnn.train import Parallel
from tests.functional.cases import collect

CHILD = """
import json, os, sys, time
for line in sys.stdin:
    question = json.loads(line)
    if question == "abort":
        print("F0000 compiler.cc:1] Check failed: /folder/of/a/file.cc", file=sys.stderr, flush=True)
        os.abort()
    if question == "wait":
        time.sleep(600)
    print(json.dumps({"answer": question}), flush=True)
"""


def test_a_compiler_that_ends_its_process_is_a_result() -> None:
    worker = Worker([sys.executable, "-c", CHILD])
    assert worker.result(1, 600) == {"answer": 1}
    ended = worker.result("abort", 600)["error"]
    assert ended == "the compiler ended the process (status -6): F0000 compiler.cc:1] Check failed: file.cc"
    assert worker.result(2, 600) == {"answer": 2}
    assert worker.result("wait", 0.2)["error"].startswith("the compiler ended the process (status -9)")
    worker.close()


def test_every_row_of_the_table_is_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = "depthwise 3x3, two for each channel"
    monkeypatch.setattr(compiled_for_chips, "LAYERS", {layer: compiled_for_chips.LAYERS[layer]})
    one, four = programs(1), programs(4)
    for row in collect():
        assert f"{row.id}, forward" in one and (f"{row.id}, forward" in four) == any(row.batched)
    assert "nms, gradient" not in one and "max_pool_with_indices, gradient" in one
    assert one[f"convolution {layer}, forward, xla"].dtypes == ["float32", "bfloat16", "int8"]
    assert f"convolution {layer}, kernel_grad, grouped" in one and f"convolution {layer}, kernel_grad, auto" in four
    assert not any("winograd" in name for name in one)  # it does not support groups


def test_the_figures_of_a_program() -> None:
    program = Program(conv, ((8, 4, 4, 2), (3, 3, 2, 4)), (True, False), (), ["float32"])
    found = compiled(program, Parallel.over(2).mesh, "float32")
    assert found["flops"] > 0 and found["bytes"] > 4 * 8 * 16 * 6 / 2
    assert list(found) == ["flops", "bytes", "temporaries", "seconds", "algorithms"]


def test_a_file_has_a_line_for_each_program(tmp_path: Path) -> None:
    content = {"v5e:1x1": {"versions": {"jax": "1"}, "programs": {"a": {"float32": {"error": "no"}}, "b": {}}}}
    write(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and len(text.splitlines()) == 6


def test_the_page_shows_the_files() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run python -m docs.bench.compiled_experiments --page"
    experiments, chips, *_ = (json.loads(file.read_text(encoding="utf-8")) for file in FILES.values())
    for found in chips.values():
        assert found["counts"] == counts(found["programs"])
    assert set(experiments["programs"]) <= {row.command for row in ROWS}
    for text in (file.read_text(encoding="utf-8") for file in FILES.values()):
        assert not re.search(r"[\" ]/\w+/", text), "no folder of a machine"


def test_what_failed_is_shown() -> None:
    about = {"experiment": "a", "topology": "v5e:2x2", "options": ["--fsdp"], "versions": {}}
    step = {"batch_size": 256, "processor_seconds": 3.2, "fits": False, "too_large": "too large"}
    old = (
        about | step | {"fits": True, "memory": 1000, "flops": 2000.0, "collectives": {}}
    )  # without its memory traffic
    experiments = {"programs": {"one": about | step, "two": about | {"error": "no such experiment"}, "three": old}}
    chips = {"v5e:1x1": {"versions": {"jax": "1"}, "counts": {"float32": {"compiled": 1000, "failed": 2}}}}
    stock: dict[str, Any] = {
        "megabytes": 2000.0,
        "accessed_megabytes": 5000.0,
        "megaflops": 5,
        "temporary_megabytes": 5,
    }
    stock |= {"instructions": {"copy": 1, "transpose": 0}}
    ours = stock | {"megabytes": 3000.0, "accessed_megabytes": 6000.0, "temporary_megabytes": 4}
    ours |= {"estimated_megacycles": 0.126}
    steps = {"programs": {"net, block, v5e:1x1, bfloat16": {"ours": ours, "stock": stock}}}
    shown = tables(experiments, chips, steps, {"programs": {"net": {"as it is": ours}}})
    assert "| net, block | v5e:1x1 | 3,000 | 2,000 | 1.500 | - | 1.200 | - | 1.000 | 4 | 5 | 1 | 1 |" in shown["steps"]
    assert "| as it is | 3,000 | 6,000 | 0.01 | 4 | 0.13 |" in shown["ways"]
    assert "| `a`, FSDP | v5e:2x2 | 256 | too large | - | - | - | - | 3 s |" in shown["experiments"]
    assert "| - | no such experiment |" in shown["experiments"]
    assert "| `a`, FSDP | v5e:2x2 | 256 | 1 kB | 2 kFLOP | - |  | - | 3 s |" in shown["experiments"]
    assert "| v5e:1x1 | jax 1 | 1,000 compiled, 2 not | - | - |" in shown["functions"]
