"""Freed memory that stays with the process, for training on CPUs.

XLA frees the temporary memory of a program when it ends and allocates it again when it begins. The C library of Linux
(glibc) returns blocks of that size to the system, so the system maps and clears every page of them again in each step.
"""

import ctypes
import dataclasses
import os
import sys
import warnings
from pathlib import Path

VARIABLE = "JAXCNN_KEEP_FREED_MEMORY"
# The parameters of mallopt(3), from malloc.h, and their values: one heap, no blocks outside of it, nothing returned
# from its end, and 64 MB more than requested each time it grows.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: 64 * 2**20}
_USUAL_SETTINGS = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 2**10, _M_TOP_PAD: 128 * 2**10}
# The heap grows up to this multiple of a step's temporary memory (measured: 2 on one core, up to 4 on two): glibc 2.36
# requests more than an aligned block has, and the freed block lacks that much if something else was allocated after it.
_GROWTH = 4


@dataclasses.dataclass
class _Policy:
    """The settings of this process, stored because the allocator has no function that returns them."""

    active: bool = False


_policy = _Policy()


def keep_freed_memory() -> bool:
    r"""Makes the process keep memory that it frees, so that training steps on a CPU do not allocate it anew each time.

    Call it before anything computes: it has no effect on what JAX has allocated before. The command line calls it.
    Results do not change. The process then keeps the most memory that it has needed so far, and needs more than before,
    since a freed block does not always fit the next request: up to four times the temporary memory of a step. Compiling
    a step may need more memory than running it, so call ``release_freed_memory`` once between the two; the loop of
    ``jaxcnn.train`` does.

    Nothing happens on systems without glibc, where another allocator is preloaded (``LD_PRELOAD``), and where the
    environment variable ``JAXCNN_KEEP_FREED_MEMORY`` is 0.

    Returns:
        whether the process keeps freed memory.

    Warns:
        UserWarning: JAX has been used in this process already.

    Source: mallopt(3), of the Linux manual pages.

    >>> import subprocess, sys
    >>> code = "import jaxcnn; print(jaxcnn.keep_freed_memory() in (True, False))"  # in a new process
    >>> subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    'True\n'
    """
    if os.environ.get(VARIABLE) == "0" or not _has_glibc() or "malloc" in os.environ.get("LD_PRELOAD", ""):
        return False
    if _jax_has_begun():
        warnings.warn(
            "keep_freed_memory: JAX has been used in this process already, so steps may still allocate memory anew. "
            "Call it before the first computation.",
            stacklevel=2,
        )
        return False
    mallopt = ctypes.CDLL(None).mallopt
    _policy.active = all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.items())
    return _policy.active


def release_freed_memory(*, temporary: int = 0) -> bool:
    """Returns to the system, once, the memory that the process keeps after ``keep_freed_memory``.

    Call it after the training step is compiled: the compiler's memory is then not added to that of the steps. Memory
    that is freed later stays with the process again, unless the steps are too large for that. Nothing happens unless
    ``keep_freed_memory`` has taken effect.

    Args:
        temporary: bytes that a step allocates and frees, ``compiled.memory_analysis().temp_size_in_bytes``. If four
            times as many are more than half of the memory of the machine, or of the process's control group, freed
            memory is no longer kept.

    Returns:
        whether memory was returned.

    Source: malloc_trim(3), of the Linux manual pages.

    >>> release_freed_memory() in (True, False)
    True
    """
    if not _policy.active:
        return False
    library = ctypes.CDLL(None)
    if _GROWTH * temporary > _memory_limit() / 2:
        for parameter, value in _USUAL_SETTINGS.items():
            library.mallopt(parameter, value)
        _policy.active = False
    return library.malloc_trim(0) == 1


def _memory_limit() -> float:
    """The bytes of memory that the process may use: those of the machine, or fewer in a control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return machine
    return min(machine, int(group)) if group.isdigit() else machine


def _has_glibc() -> bool:
    try:
        return sys.platform == "linux" and (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl has no such name
        return False


def _jax_has_begun() -> bool:
    """Whether JAX has initialised its devices, as at the first computation. JAX has no public function for this."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(getattr(bridge, "backends_are_initialized", lambda: False)())
