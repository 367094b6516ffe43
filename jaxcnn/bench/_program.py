"""The compiled program of one peer for one entry."""

import dataclasses
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

# The largest relative error of a result, and of the results of algorithms that transform their operands.
LIMIT = 1e-5
TRANSFORM_LIMITS = {"fft": 1e-4, "winograd": 1e-4}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to be timed, its results, and the cost of its compilation.

    Attributes:
        run: computes once and waits for the result.
        outputs: the arrays of the first run, for comparison; empty if they cannot be compared.
        compile_seconds: to trace, lower and compile; None for a program that is not compiled.
        temporary_bytes: memory without arguments and results, as reported by the compiler.
        memory_bytes: memory including arguments and results.
    """

    run: Callable[[], None]
    outputs: Sequence[np.ndarray] = ()
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    memory_bytes: int | None = None


def compile_jax(
    function: Callable[..., Any], arguments: Sequence[Any], **options: Any
) -> tuple[Any, dict[str, float | int]]:
    """The compiled program, and the fields of ``Program`` after ``outputs``."""
    start = time.perf_counter()
    compiled = jax.jit(function, **options).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    if memory is None:
        return compiled, {"compile_seconds": seconds}
    temporary = memory.temp_size_in_bytes
    total = temporary + memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return compiled, {"compile_seconds": seconds, "temporary_bytes": temporary, "memory_bytes": total}


def jax_program(function: Callable[..., Any], arguments: Sequence[np.ndarray]) -> Program:
    """A pure function of arrays, compiled for them."""
    arrays = [jnp.asarray(argument) for argument in arguments]
    compiled, costs = compile_jax(function, arrays)
    outputs = [np.asarray(leaf) for leaf in jax.tree.leaves(compiled(*arrays))]
    return Program(lambda: jax.block_until_ready(compiled(*arrays)), outputs, **costs)  # type: ignore[arg-type]


def random_array(name: str, shape: Sequence[int], *, scale: float = 1.0) -> np.ndarray:
    """Normally distributed float32 values, determined by the name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.standard_normal(tuple(shape), dtype=np.float32) * np.float32(scale)


def limit_of(algorithm: str, dtype: DTypeLike = jnp.float32) -> float:
    """The largest error of an algorithm's result, in units of its largest entry.

    >>> limit_of("fft"), limit_of("xla")
    (0.0001, 1e-05)
    """
    return max(TRANSFORM_LIMITS.get(algorithm, LIMIT), 4 * float(jnp.finfo(dtype).eps))


def relative_error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference, relative to the largest entry of its array.

    Raises:
        ValueError: another number of arrays, or other shapes.

    >>> relative_error([np.array([1.0, 2.0])], [np.array([1.0, 4.0])])
    0.5
    """
    shapes = [[array.shape for array in arrays] for arrays in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"results of the shapes {shapes[0]} cannot be compared with {shapes[1]}.")
    errors = [0.0]
    for ours, theirs in zip(found, expected, strict=True):
        if not np.isfinite(ours).all():
            return float("inf")
        if theirs.size:
            errors.append(float(np.abs(ours - theirs).max()) / (float(np.abs(theirs).max()) or 1.0))
    return max(errors)
