"""Times of five training steps with and without ``jaxcnn.keep_freed_memory()``, next to PyTorch.

    python docs/bench/freed_memory.py --rounds 3 --tables tables --json docs/bench/freed_memory.json

Each time is the fastest step of a process of its own; processes of the policies take turns, and the least of all rounds
counts. ``tuned`` uses algorithms that are measured before, as by ``jaxcnn bench --tune``; the tables are kept in the
folder of ``--tables``. ``huge`` is the policy with transparent huge pages in addition
(``GLIBC_TUNABLES=glibc.malloc.hugetlb=1``), ``not released`` keeps the compiler's memory too. Memory is the resident
set of the process: after the step is compiled, the largest after a step, and the peak that the system has counted.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEPS = ("lenet5", "mobilenet_v2", "convnext_stage", "resnet18_cifar", "cifar_speedrun")
POLICIES = {
    "ours": {"JAXCNN_KEEP_FREED_MEMORY": "0"},
    "ours, kept": {},
    "ours, kept, tuned": {},
    "ours, kept, not released": {},
    "ours, kept, huge": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "torch": {"JAXCNN_KEEP_FREED_MEMORY": "0"},
    "torch, kept": {},
}


def time_step(name: str, policy: str, seconds: float) -> dict[str, float]:
    """The fastest step of one network in this process; memory after compiling, during steps, and at its peak."""
    import jaxcnn

    jaxcnn.keep_freed_memory()
    from jaxcnn.bench import LAYERS, Step
    from jaxcnn.bench import _steps as our_steps
    from jaxcnn.bench import _torch_models as torch_steps

    step = next(layer for layer in LAYERS if layer.name == name and isinstance(layer, Step))
    program = torch_steps.make(step) if policy.startswith("torch") else our_steps.make(step, "ours")
    compiled = _resident()
    if "not released" not in policy:
        jaxcnn.release_freed_memory()
    fastest, resident, end = float("inf"), 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        program.run()
        fastest = min(fastest, time.perf_counter() - began)
        resident = max(resident, _resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "milliseconds": 1e3 * fastest,
        "compiled_megabytes": compiled,
        "megabytes": resident,
        "peak_megabytes": peak,
    }


def write_tables(folder: Path, steps: list[str], seconds: float) -> None:
    """The fastest algorithms of each step, unless the folder has them already."""
    from jaxcnn.bench import LAYERS, Step, operations_of_model, time_algorithms, tuning_table
    from jaxcnn.bench import _steps as our_steps

    for layer in LAYERS:
        path = folder / f"{layer.name}.json"
        if isinstance(layer, Step) and layer.name in steps and not path.exists():
            operations = operations_of_model(our_steps.our_model(layer), layer.x_shape)
            measured = {}
            for place, each in enumerate(operations, 1):
                measured[each.key] = time_algorithms(each, seconds=seconds)
                print(f"{layer.name} {place}/{len(operations)} {next(iter(measured[each.key]))}", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(tuning_table(measured)), encoding="utf-8")


def _resident() -> float:
    """The resident set of this process, in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def compare(
    steps: list[str], policies: list[str], rounds: int, seconds: float, tables: Path | None
) -> dict[str, dict[str, dict[str, float]]]:
    """The least time and memory of each policy over all rounds, by step."""
    found: dict[str, dict[str, dict[str, float]]] = {step: {} for step in steps}
    for _ in range(rounds):
        for step in steps:
            for policy in policies:
                command = [sys.executable, __file__, "--one", step, policy, "--seconds", str(seconds)]
                environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false", **POLICIES[policy]}
                if tables is not None and "tuned" in policy:
                    environment["JAXCNN_TUNED"] = str(tables / f"{step}.json")
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                now = json.loads(done.stdout.splitlines()[-1])
                before = found[step].get(policy, now)
                found[step][policy] = {key: min(value, before[key]) for key, value in now.items()}
                print(f"{step:16} {policy:18} {now['milliseconds']:8.1f} ms, {now['megabytes']:6.0f} MB", flush=True)
    return found


def main() -> None:
    """Reads the options, measures, prints, and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", nargs="+", default=STEPS, choices=STEPS)
    parser.add_argument("--policies", nargs="+", default=tuple(POLICIES), choices=POLICIES, metavar="POLICY")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of steps in each process")
    parser.add_argument("--tables", type=Path, metavar="FOLDER", help="measure the policies that are tuned too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("STEP", "POLICY"), help="time one in this process and print JSON")
    options = parser.parse_args()
    if options.one:
        step, policy = options.one
        print(json.dumps(time_step(step, policy, options.seconds)))
        return
    has_torch = importlib.util.find_spec("torch") is not None
    policies = [policy for policy in options.policies if has_torch or not policy.startswith("torch")]
    if options.tables is None:
        policies = [policy for policy in policies if "tuned" not in policy]
    else:
        write_tables(options.tables, options.steps, seconds=0.3)
    found = compare(options.steps, policies, options.rounds, options.seconds, options.tables)
    for policy in policies:
        ratios = [each[policy]["milliseconds"] / each[policies[0]]["milliseconds"] for each in found.values()]
        mean = statistics.geometric_mean(ratios)
        print(f"{policy:18} {mean:.2f} of the time of {policies[0]}, over {len(ratios)} steps")
    if options.json:
        packages = ("jax", "jaxlib", "torch") if has_torch else ("jax", "jaxlib")
        versions = {name: importlib.metadata.version(name) for name in packages}
        content = {"versions": versions, "cores": len(os.sched_getaffinity(0)), "steps": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
