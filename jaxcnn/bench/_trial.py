"""Operations that may terminate the process, computed in a child process."""

import atexit
import contextlib
import pickle
import subprocess
import sys

from jaxcnn.functional.tuning import ConvOperation

_PROGRAM = "from jaxcnn.bench._trial import _run_requests; _run_requests()"
_process: subprocess.Popen[bytes] | None = None  # computes one request after another, until one terminates it


def passes(operation: ConvOperation, name: str) -> bool:
    """Whether an algorithm computes an operation correctly in a child process; False if it terminates the process.

    >>> from jaxcnn.functional.tuning import conv_operation
    >>> passes(conv_operation((1, 4, 4, 1), (3, 3, 1, 1)), "no such algorithm")
    False
    """
    global _process
    if _process is None:
        _process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # oneDNN writes there what it rejects
        )
    assert _process.stdin is not None and _process.stdout is not None
    try:
        pickle.dump((operation, name), _process.stdin)
        _process.stdin.flush()
        return pickle.load(_process.stdout)
    except (OSError, EOFError):
        stop()
        return False


@atexit.register
def stop() -> None:
    """Ends the child process, if there is one."""
    global _process
    if _process is not None:
        _process.kill()
        with contextlib.suppress(BrokenPipeError), _process:
            _process = None


def _run_requests() -> None:
    """Reads operations from standard input until it ends, and writes whether each result is right."""
    while True:
        try:
            operation, name = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_is_right(operation, name), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _is_right(operation: ConvOperation, name: str) -> bool:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn.bench._program import compile_jax, limit_of, random_array, relative_error

    arrays = [jnp.asarray(random_array(str(shape), shape), operation.dtype) for shape in operation.operand_shapes]
    exact = np.asarray(compile_jax(operation.reference(), arrays)[0](*arrays), np.float64)
    try:
        found = compile_jax(operation.risky_algorithms()[name], arrays)[0](*arrays)
    except (KeyError, jax.errors.JaxRuntimeError):  # not available for this operation, or not in this jaxlib
        return False
    return relative_error([np.asarray(found, np.float64)], [exact]) <= limit_of(name, operation.dtype)
