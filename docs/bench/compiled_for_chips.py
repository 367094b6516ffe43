"""Every function compiled for accelerators that need not be present.

    pip install '.[train,tpu-compile]'
    python -m docs.bench.compiled_for_chips --topology v5e:1x1 v5e:2x2 --json docs/bench/compiled_for_chips.json

The programs are the forward pass and the gradient of each row of the table of all functions (tests/functional/cases),
and convolutions with each algorithm that supports them: by name on one chip, and by the choice of ``auto`` with the
batch split over several. Results are added to the file, and programs that the file contains are not compiled again.
Programs are compiled in a child process, since a compiler may terminate its process; the exit status is then the result
of the program.
"""

import argparse
import dataclasses
import functools
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcnn import functional as F
from jaxcnn.functional import conv_algorithms
from jaxcnn.train import target_mesh
from jaxcnn.train._compile._collectives import by_kind, collectives
from jaxcnn.train._compile._costs import costs
from tests.functional.cases import collect
from tests.functional.cases.case import Case

DTYPES = ("float32", "bfloat16", "int8")
SCOPE = re.compile(r"\b(?:forward|kernel_grad)\.(\w+)")
FOLDERS = re.compile(r"(?:/[\w.+-]+)+/")
LIMIT = 300  # seconds for one program

# The shapes of x and of the kernel, and the options.
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((8, 14, 14, 16), (3, 3, 16, 32), {}),
    "3x3 with strides": ((8, 14, 14, 16), (3, 3, 16, 32), {"strides": 2}),
    "3x3 with a dilated kernel": ((8, 14, 14, 16), (3, 3, 16, 32), {"kernel_dilation": 2}),
    "2x2 with a dilated input": ((8, 7, 7, 32), (2, 2, 32, 16), {"input_dilation": 2, "padding": 1}),
    "1x1": ((8, 14, 14, 16), (1, 1, 16, 32), {}),
    "first layer": ((8, 32, 32, 3), (7, 7, 3, 32), {"strides": 2}),
    "3x3 in 2 groups": ((8, 14, 14, 16), (3, 3, 8, 32), {"feature_group_count": 2}),
    "3x3 in 32 groups": ((8, 14, 14, 64), (3, 3, 2, 64), {"feature_group_count": 32}),
    "depthwise 3x3": ((8, 14, 14, 32), (3, 3, 1, 32), {"feature_group_count": 32}),
    "depthwise 3x3 with strides": ((8, 14, 14, 32), (3, 3, 1, 32), {"feature_group_count": 32, "strides": 2}),
    "depthwise 7x7": ((8, 14, 14, 32), (7, 7, 1, 32), {"feature_group_count": 32}),
    "depthwise 3x3, two for each channel": ((8, 14, 14, 16), (3, 3, 1, 32), {"feature_group_count": 16}),
    "one axis": ((8, 64, 16), (9, 16, 32), {}),
    "three axes": ((8, 6, 8, 8, 8), (3, 3, 3, 8, 16), {}),
}
# The first two are those that ``auto`` selects on TPUs and GPUs. It never selects ``fft``, which the table of all
# functions has.
NAMED = ("xla", "grouped", *(name for name in conv_algorithms() if name not in ("xla", "grouped", "fft")))


@dataclasses.dataclass(frozen=True)
class Program:
    """A function of arrays.

    Attributes:
        call: the function.
        shapes: of its arguments.
        batched: whether axis 0 of each argument is split over the devices.
        integers: whether each argument holds integers in any case; empty if none does.
        dtypes: the types of the other arguments that the program is compiled for.
    """

    call: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]]
    batched: Sequence[bool]
    integers: Sequence[bool]
    dtypes: Sequence[str]


def programs(devices: int) -> dict[str, Program]:
    """The programs for a number of devices, by name."""
    found: dict[str, Program] = {}
    for row in collect():
        if devices > 1 and not any(row.batched):
            continue
        integers = tuple(map(bool, row.integer))
        dtypes: Sequence[str] = DTYPES[:1]
        if row.shapes and not all(integers):
            dtypes = [dtype for dtype in DTYPES if dtype in row.dtypes]
        calls = {"forward": _forward}
        if any(yes and not integer for yes, integer in zip(row.differentiable, integers, strict=True)):
            calls["gradient"] = _gradient
        for kind, call in calls.items():
            called = functools.partial(call, row)
            found[f"{row.id}, {kind}"] = Program(called, row.shapes, row.batched, integers, dtypes)
    return found | dict(_layers(devices))


def _forward(row: Case, *arrays: Any) -> Any:
    return row.call(*arrays)


def _gradient(row: Case, *arrays: Any) -> Any:
    """Of the sum of the squares of all results."""

    def loss(*arrays: Any) -> jax.Array:
        leaves = [leaf for leaf in jax.tree.leaves(row.call(*arrays)) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        return sum((jnp.sum(jnp.square(jnp.abs(leaf).astype(jnp.float32))) for leaf in leaves), jnp.float32(0))

    pairs = zip(row.differentiable, row.integer, strict=True)
    return jax.grad(loss, tuple(index for index, (yes, bound) in enumerate(pairs) if yes and not bound))(*arrays)


def _layers(devices: int) -> Iterator[tuple[str, Program]]:
    """Convolutions: with every algorithm by name on one device, by the choice of ``auto`` on several."""
    for algorithm in NAMED if devices == 1 else ("auto",):
        for layer, (x, kernel, options) in LAYERS.items():
            structs = [jax.ShapeDtypeStruct(shape, "float32") for shape in (x, kernel)]
            y = jax.eval_shape(functools.partial(F.conv, **options), *structs).shape
            how = options | {"algorithm": algorithm}
            calls = {
                "forward": (functools.partial(F.conv, **how), (x, kernel)),
                "input_grad": (functools.partial(F.conv_input_grad, input_shape=x, **how), (y, kernel)),
                "kernel_grad": (functools.partial(F.conv_kernel_grad, window_shape=kernel[:-2], **how), (x, y)),
            }
            for operation, (call, shapes) in calls.items():
                dtypes = [dtype for dtype in DTYPES if _supports(x, kernel, how, operation, dtype)]
                if dtypes:
                    batched = (True, operation == "kernel_grad")
                    yield f"convolution {layer}, {operation}, {algorithm}", Program(call, shapes, batched, (), dtypes)


def _supports(x: Any, kernel: Any, options: Mapping[str, Any], operation: Any, dtype: str) -> bool:
    """Whether the algorithm of ``options`` supports an operation; integers have no gradients."""
    if dtype == "int8" and operation != "forward":
        return False
    try:
        F.explain_conv(x, kernel, operation=operation, dtype=dtype, platform="tpu", **options)
    except ValueError:
        return False
    return True


def compiled(program: Program, mesh: Mesh, dtype: str) -> dict[str, Any]:
    """The figures that the compiler reports for a program, for one device."""
    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(mesh.axis_names)))
    integers = program.integers or (False,) * len(program.shapes)
    arguments = [
        jax.ShapeDtypeStruct(shape, "int32" if integer else dtype, sharding=split if batched else whole)
        for shape, batched, integer in zip(program.shapes, program.batched, integers, strict=True)
    ]
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        # Without arguments, the shardings of the results determine the devices. A new function is always traced.
        outputs: dict[str, Any] = {} if arguments else {"out_shardings": whole}
        lowered = jax.jit(lambda *arrays: program.call(*arrays), **outputs).lower(*arguments)
        executable: Any = lowered.compile()
    seconds = time.perf_counter() - began
    flops, traffic = costs(lowered, executable, mesh.size)
    reported = executable.cost_analysis() or {}
    found: dict[str, Any] = {
        "flops": int(flops),
        "bytes": int(reported.get("bytes accessed", traffic)),  # with those on the chip where the compiler reports them
        "temporaries": executable.memory_analysis().temp_size_in_bytes,
        "seconds": round(seconds, 2),
    }
    if algorithms := sorted(set(SCOPE.findall(lowered.as_text(debug_info=True)))):
        found["algorithms"] = algorithms
    if exchanged := by_kind(collectives(executable.as_text())):
        found["exchanged"] = {kind: total["bytes"] for kind, total in exchanged.items()}
    return found


def child(topology: str) -> None:
    """Compiles the programs that standard input names, a line each, and prints a result for each."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # compilers may print
    mesh = target_mesh(topology)
    table = programs(mesh.size)
    for line in sys.stdin:
        name, dtype = json.loads(line)
        try:
            result = compiled(table[name], mesh, dtype)
        except Exception as error:  # any failure is a result
            result = {"error": sentence(f"{type(error).__name__}: {error}")}
        print(json.dumps(result), file=out, flush=True)


def sentence(text: str) -> str:
    """The beginning of an error, without the folders of this machine.

    >>> sentence("INTERNAL: /a/b/compiler.cc:30 is wrong\\nStack")
    'INTERNAL: compiler.cc:30 is wrong'
    """
    lines = text.strip().splitlines() or ["no message"]
    return FOLDERS.sub("", lines[0])[:300]


class Worker:
    """A child process that is started when it is needed."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[str] | None = None
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def result(self, request: Any, limit: float) -> dict[str, Any]:
        """The result of a request; the exit status if the process ends without a result."""
        if self.process is None:
            self.errors.seek(0)
            self.errors.truncate()
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        late = threading.Timer(limit, self.process.kill)
        late.start()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        late.cancel()
        if line:
            result: dict[str, Any] = json.loads(line)
            return result
        self.process.communicate()
        status, self.process = self.process.returncode, None
        self.errors.seek(0)
        words = [line for line in self.errors.read().splitlines() if re.match(r"F\d|.*(Check failed|Error:)", line)]
        return {"error": f"the compiler ended the process (status {status}): {sentence((words or [''])[-1])}"}

    def close(self) -> None:
        """Ends the child."""
        if self.process is not None:
            self.process.communicate()
        self.errors.close()


def versions(topology: str) -> dict[str, str]:
    """Of JAX and of the compiler for a topology."""
    compiler = "libtpu" if topology.startswith("v") else "jax-cuda13-pjrt"
    return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", compiler)}


def counts(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, int]]:
    """For each type of entries the number of programs that compiled, and of those that did not.

    >>> counts({"a": {"float32": {"seconds": 1.0}, "bfloat16": {"error": "no"}}})
    {'float32': {'compiled': 1, 'failed': 0}, 'bfloat16': {'compiled': 0, 'failed': 1}}
    """
    totals: dict[str, dict[str, int]] = {}
    for results in found.values():
        for dtype, result in results.items():
            each = totals.setdefault(dtype, {"compiled": 0, "failed": 0})
            each["failed" if "error" in result else "compiled"] += 1
    return totals


def write(file: Path, content: Mapping[str, Any]) -> None:
    """The file, with a line for each program."""
    parts = []
    for topology, about in content.items():
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(row)}" for name, row in about["programs"].items())
        head = {key: value for key, value in about.items() if key != "programs"}
        parts.append(f' {json.dumps(topology)}: {json.dumps(head)[:-1]}, "programs": {{\n{lines}\n }}}}')
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Compiles what the file does not have, and prints the numbers of programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topology", nargs="+", default=["v5e:1x1"], help="as for jaxcnn compile")
    parser.add_argument("--json", type=Path, required=True, help="the file to write, or to add to")
    parser.add_argument("--only", default="", help="programs whose name has this text")
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--again", action="store_true", help="compile once more what failed, or what --only names")
    options = parser.parse_args()
    content = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    for topology in options.topology:
        about = content.setdefault(topology, {"programs": {}})
        about["versions"] = versions(topology)
        table = programs(target_mesh(topology).size)
        code = f"from docs.bench.compiled_for_chips import child; child({topology!r})"
        worker = Worker([sys.executable, "-c", code])
        for name, program in table.items():
            for dtype in program.dtypes:
                row = about["programs"].setdefault(name, {})
                done = dtype in row and not (options.again and (options.only or "error" in row[dtype]))
                if done or options.only not in name or dtype not in options.dtypes:
                    continue
                row[dtype] = worker.result([name, dtype], LIMIT)
                print(topology, name, dtype, row[dtype], flush=True)
                about["counts"] = counts(about["programs"])
                write(options.json, content)
        worker.close()
        about["programs"] = {name: about["programs"][name] for name in table if about["programs"].get(name)}
        about["counts"] = counts(about["programs"])
        write(options.json, content)
        print(topology, about["counts"], flush=True)


if __name__ == "__main__":
    main()
