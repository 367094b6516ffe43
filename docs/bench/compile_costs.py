"""The time to compile a training step on a CPU, of ours and of stock Flax: processor time by phase.

    taskset -c 1 python docs/bench/compile_costs.py --json docs/bench/compile_costs.json

Each step is compiled in a process of its own, in one part and on one core, so that the processor time of the process is
shared among the phases in proportion to the durations in XLA's own profile. ``hlo`` are the passes over the whole
program, ``mlir`` the translation of each kernel (a fused loop) to LLVM's language, and ``llvm`` its optimisation and
machine code. XLA writes an object file for each kernel, and ``llvm`` is divided among the operations of the kernels in
proportion to the time since the previous file. Equal kernels are compiled once. ``docs/bench/compile_page.py`` writes
the tables.
"""

import argparse
import collections
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STEPS = ("lenet5", "cifar_speedrun", "resnet18_cifar", "mobilenet_v2", "convnext_stage")
PEERS = ("ours", "stock")
PHASES = ("trace", "lower", "hlo", "mlir", "llvm")
PACKAGES = ("jax", "jaxlib", "flax")
FLAGS = "--xla_cpu_parallel_codegen_split_count=1 --xla_dump_hlo_as_text --xla_dump_hlo_module_re=jit_step"
ALGORITHM = re.compile(r"(?:forward|kernel_grad)\.\w+")


def cost_of_step(name: str, peer: str, folder: Path) -> dict[str, Any]:
    """Seconds of each phase, and of LLVM by operation, in this process; ``folder`` has what XLA writes."""
    import jax
    import jax.numpy as jnp

    from jaxcnn.bench import LAYERS, Step
    from jaxcnn.bench import _steps as steps
    from jaxcnn.bench._program import random_array

    step = next(layer for layer in LAYERS if layer.name == name and isinstance(layer, Step))
    model = steps.our_model(step) if peer == "ours" else steps.stock_model(step)
    x, labels = jnp.asarray(random_array("x", step.x_shape)), jnp.arange(step.x_shape[0]) % step.num_classes
    state = steps.initial_state(model, x)
    jax.clear_caches()
    clock = time.process_time
    start = clock()
    traced = jax.jit(steps.training_step(model), donate_argnums=0).trace(state, x, labels)
    after_trace = clock()
    lowered = traced.lower()
    after_lower = clock()
    with jax.profiler.trace(folder / "profile", profiler_options=_options(jax)):
        compiling, began = clock(), time.perf_counter()
        lowered.compile()
        seconds, passed = clock() - compiling, time.perf_counter() - began
    (profile,) = (folder / "profile").rglob("*.xplane.pb")
    backend = _seconds_of_backend(jax.profiler.ProfileData.from_file(str(profile)), seconds / passed)
    kernels = _kernels(folder)
    whole = sum(each["seconds"] for each in kernels.values()) or 1.0
    for each in kernels.values():
        each["seconds"] *= backend["llvm"] / whole
    return {
        "trace": after_trace - start,
        "lower": after_lower - after_trace,
        "hlo": seconds - backend["mlir"] - backend["llvm"],
        **backend,
        "kernels": sum(each["kernels"] for each in kernels.values()),
        "instructions": next(folder.glob("*before_optimizations.txt")).read_text(encoding="utf-8").count(" = "),
        "operations": kernels,
    }


def _options(jax: Any) -> Any:
    options = jax.profiler.ProfileOptions()
    options.host_tracer_level, options.python_tracer_level = 3, 0
    return options


def _seconds_of_backend(profile: Any, scale: float) -> dict[str, float]:
    """Processor seconds of both compilers of kernels; ``scale`` is processor time over wall time."""
    found = dict.fromkeys(("mlir", "llvm"), 0.0)
    for plane in profile.planes:
        for line in plane.lines:
            for event in line.events:
                kind = event.name.partition(":")[0]
                phase = {"FusionCompiler": "mlir", "TaskDispatcher": "llvm"}.get(kind)
                if phase is not None:
                    found[phase] += 1e-9 * scale * event.duration_ns
    return found


def _kernels(folder: Path) -> dict[str, dict[str, float]]:
    """The number of kernels of each operation, and the seconds between their object files."""
    (text,) = folder.glob("*cpu_after_optimizations.txt")
    operations = dict(re.findall(r'%?([\w.\-]+) = .*op_name="([^"]*)"', text.read_text(encoding="utf-8")))
    files = sorted(folder.glob("*obj-file*.o"), key=lambda file: file.stat().st_mtime_ns)
    found: dict[str, dict[str, float]] = collections.defaultdict(lambda: {"kernels": 0, "seconds": 0.0})
    previous = files[0].stat().st_mtime_ns
    for file in files:
        name = file.name.partition("obj-file.")[2].removesuffix(".o")
        name = name.removesuffix("_kernel_module").removesuffix("_computation").removeprefix("__compute_module_")
        each = found[_kind(operations.get(name, ""))]
        each["kernels"] += 1
        each["seconds"] += 1e-9 * (file.stat().st_mtime_ns - previous)
        previous = file.stat().st_mtime_ns
    return dict(found)


def _kind(path: str) -> str:
    """The operation that a kernel belongs to, from the name stack of its last instruction."""
    algorithms = ALGORITHM.findall(path)
    if algorithms:
        return algorithms[-1]
    if "norm" in path.lower():
        return "norms"
    if "extremum" in path or "reduce_window" in path or "select_and_scatter" in path:
        return "pools"
    return "update" if re.fullmatch(r"jit\(step\)/\w+", path) else "other"


def compare(names: list[str], rounds: int) -> dict[str, Any]:
    """The cheapest of several compilations of each step by each peer, in turns."""
    found: dict[str, Any] = {name: {} for name in names}
    for _ in range(rounds):
        for name in names:
            for peer in PEERS:
                with tempfile.TemporaryDirectory() as folder:
                    flags = f"{FLAGS} --xla_dump_to={folder}"
                    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false", "XLA_FLAGS": flags}
                    command = [sys.executable, __file__, "--one", name, peer, folder]
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                now = json.loads(done.stdout.splitlines()[-1])
                if peer not in found[name] or total(now) < total(found[name][peer]):
                    found[name][peer] = now
                print(name, peer, {key: now[key] for key in (*PHASES, "kernels")}, flush=True)
    return found


def total(cost: Mapping[str, float]) -> float:
    """Seconds of all phases.

    >>> total({"trace": 1.0, "lower": 1.0, "hlo": 1.0, "mlir": 1.0, "llvm": 2.0, "kernels": 9})
    6.0
    """
    return sum(cost[phase] for phase in PHASES)


def main() -> None:
    """Compiles the steps and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="the file to write, or to add to")
    parser.add_argument("--label", default="now", help="of the version of jaxcnn")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS, metavar="STEP")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", nargs=3, metavar=("STEP", "PEER", "FOLDER"), help="compile one and print JSON")
    options = parser.parse_args()
    if options.one:
        name, peer, folder = options.one
        print(json.dumps(cost_of_step(name, peer, Path(folder))))
        return
    content = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {"costs": {}}
    content["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    for name in options.steps:
        content["costs"].setdefault(options.label, {}).update(compare([name], options.rounds))
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
