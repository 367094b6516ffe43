"""Freed memory that stays with the process, for training on CPUs.

XLA frees the temporary memory of a program when it ends and allocates it again when it begins. The C library of Linux
(glibc) returns blocks of that size to the system, so the system maps and clears every page of them again in each step.
"""

import ctypes
import dataclasses
import os
import sys
import warnings

VARIABLE = "JAXCNN_KEEP_FREED_MEMORY"
# The parameters of mallopt(3), from malloc.h, and their values: one heap, no blocks outside of it, nothing returned
# from its end, and 64 MB more than requested each time it grows.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: 64 * 2**20}


@dataclasses.dataclass
class _Policy:
    """The settings of this process, stored because the allocator has no function that returns them."""

    active: bool = False


_policy = _Policy()


def keep_freed_memory() -> bool:
    r"""Makes the process keep memory that it frees, so that training steps on a CPU do not allocate it anew each time.

    Call it before anything computes: it has no effect on what JAX has allocated before. The command line calls it.
    Results do not change. The process then keeps the most memory that it has needed so far, and may need more than
    before, since a freed block does not always fit the next request. Compiling a step may need more memory than running
    it, so call ``release_freed_memory`` once between the two; the loop of ``jaxcnn.train`` does.

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


def release_freed_memory() -> bool:
    """Returns to the system, once, the memory that the process keeps after ``keep_freed_memory``.

    Call it after the training step is compiled: the compiler's memory is then not added to that of the steps. Memory
    that is freed later stays with the process again. Nothing happens unless ``keep_freed_memory`` has taken effect.

    Returns:
        whether memory was returned.

    Source: malloc_trim(3), of the Linux manual pages.

    >>> release_freed_memory() in (True, False)
    True
    """
    return _policy.active and ctypes.CDLL(None).malloc_trim(0) == 1


def _has_glibc() -> bool:
    try:
        return sys.platform == "linux" and (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl has no such name
        return False


def _jax_has_begun() -> bool:
    """Whether JAX has initialised its devices, as at the first computation. JAX has no public function for this."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(getattr(bridge, "backends_are_initialized", lambda: False)())
