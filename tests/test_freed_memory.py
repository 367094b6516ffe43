"""The policy for freed memory: fewer page faults, no growth, and unsupported systems are left unchanged."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxcnn._freed_memory import VARIABLE, _has_glibc, _memory_limit

PROGRAM = """
import json, resource, warnings
import jaxcnn
kept = jaxcnn.keep_freed_memory()
import jax, jax.numpy as jnp

step = jax.jit(lambda x: jnp.max(jnp.abs(jnp.fft.fft(x))))
x = jnp.ones((128, 2**16))
faults = []
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    again = jaxcnn.keep_freed_memory()
warned = [str(each.message) for each in caught]
print(json.dumps({"kept": kept, "faults": min(faults), "again": again, "warned": warned}))
"""
RELEASE = """
import json, pathlib
import numpy as np
import jaxcnn

def resident():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024

jaxcnn.keep_freed_memory()
for _ in range(3):
    np.ones(2**25)  # 256 MB
kept, released = resident(), jaxcnn.release_freed_memory()
print(json.dumps({"released": released, "bytes": kept - resident()}))
"""
TOO_LARGE = """
import json, resource
import jaxcnn

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

jaxcnn.keep_freed_memory()
jaxcnn.release_freed_memory(temporary=TEMPORARY)
counts = []
for _ in range(3):
    before = faults()
    b"x" * 2**28  # 65,536 pages
    counts.append(faults() - before)
print(json.dumps({"faults": counts[-1], "again": jaxcnn.release_freed_memory()}))
"""
SPANS = (range(10, 20), range(40, 50))  # epochs
needs_glibc = pytest.mark.skipif(not _has_glibc(), reason="the policy is for Linux with glibc")


def run(program: str = PROGRAM, **variables: str) -> dict[str, object]:
    """The output of one of the programs above, with these variables added to the environment."""
    inherited = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "XLA_FLAGS")}
    environment = {**inherited, **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**environment, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_glibc
@pytest.mark.gate
def test_steps_do_not_fault_pages_in_again() -> None:
    kept, returned = run(), run(**{VARIABLE: "0"})
    assert kept["kept"] is True and returned["kept"] is False
    # The temporary transform of 64 MB has 16,000 pages; glibc always returns blocks of more than 32 MB.
    assert returned["faults"] > 5 * kept["faults"] and returned["faults"] > 10_000, (kept, returned)  # type: ignore[operator]
    assert kept["again"] is False
    assert kept["warned"][0].startswith("keep_freed_memory: JAX has been used in this process already")  # type: ignore[index]
    assert returned["warned"] == []


@needs_glibc
@pytest.mark.gate
def test_kept_memory_is_released_once_where_asked() -> None:
    found = run(RELEASE)
    assert found["released"] is True and found["bytes"] > 200e6, found  # type: ignore[operator]
    assert run(RELEASE, **{VARIABLE: "0"})["released"] is False


@needs_glibc
@pytest.mark.gate
def test_memory_is_not_kept_where_steps_need_too_much_of_it() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    small, large = (run(TOO_LARGE.replace("TEMPORARY", str(size))) for size in (2**20, machine // 7))
    assert small["faults"] < 1_000 < 60_000 < large["faults"], (small, large)  # type: ignore[operator]
    assert small["again"] is True and large["again"] is False


@needs_glibc
def test_a_control_group_limits_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for text, expected in (("max\n", machine), ("4096\n", 4096), (f"{2 * machine}\n", machine)):
        monkeypatch.setattr(Path, "read_text", lambda self, encoding, text=text: text)
        assert _memory_limit() == expected


@needs_glibc
def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxcnn import keep_freed_memory

    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert keep_freed_memory() is False


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_system_without_glibc_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    from jaxcnn import keep_freed_memory

    def confstr(name: str) -> str:
        raise error(name)

    monkeypatch.setattr(os, "confstr", confstr)
    assert keep_freed_memory() is False


@needs_glibc
@pytest.mark.gate
def test_memory_does_not_grow_over_50_epochs(tmp_path: Path) -> None:
    """The resident set of a run in its last ten epochs equals that of its second ten within 5 %.

    The pictures, which are drawn after the last epoch, are not included.
    """
    command = [sys.executable, "-m", "jaxcnn", "train", "lenet5_digits", "--set", "epochs=50"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen([*command, "--run-dir", str(tmp_path / "run")], stdout=subprocess.DEVNULL) as process:
        resident = {}
        while process.poll() is None:
            epochs = len(metrics.read_text(encoding="utf-8").splitlines()) if metrics.exists() else 0
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            found = [line for line in status.splitlines() if line.startswith("VmRSS")]
            if found:
                resident[epochs] = int(found[0].split()[1])
            time.sleep(0.05)
    assert process.returncode == 0
    early, late = (max(size for epoch, size in resident.items() if epoch in span) for span in SPANS)
    assert late < 1.05 * early
