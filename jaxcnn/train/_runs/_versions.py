"""The versions that a run is trained with: packages, Python, device, and the state of the checkout."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

PACKAGES = (
    "jaxcnn",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "grain",
    "numpy",
    "pillow",
)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that holds ``folder``, and whether its tracked files were changed; None outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True, timeout=20)
        return done.stdout.decode(errors="replace").strip()  # names of files may be in any encoding

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def installed_packages() -> dict[str, str]:
    """The installed version of each of ``PACKAGES``."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def cpu_kind() -> str:
    """The model of the CPU, or its architecture where the model is not known: XLA compiles for the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions(source: Path) -> dict[str, Any]:
    """Versions of everything that determines a run's numbers, for ``versions.json`` and results files."""
    return {
        "python": platform.python_version(),
        "packages": installed_packages(),
        "platform": platform.platform(),
        "cpu": cpu_kind(),
        "device": {
            "kind": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "count": jax.device_count(),
        },
        "git": git_state(source.parent),
    }
