"""Checks of written files: the results of their runtime, and the operation that a converter refuses."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcnn._extras import import_optional
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._operations import Operation, Value, unwritable, without_unread
from jaxcnn.export._portable import PortableProgram
from jaxcnn.export._quantize import QuantizedProgram

TOLERANCE = 1e-4  # of the largest result
# A value next to the middle of two integers may be rounded to either, and the layers after it enlarge the difference.
TOLERANCE_OF_INTEGERS = 0.1


def check_agreement(
    program: PortableProgram, compute: Callable[[np.ndarray], Sequence[Any]], *, runtime: str, batches: Sequence[int]
) -> float:
    """The largest difference between a runtime and the program, relative to the largest result, for random inputs.

    Args:
        program: the program that was written.
        compute: the results of the written file for an input.
        runtime: the name of the runtime, for the error message.
        batches: the batch sizes to try, at most that of the random input.

    Raises:
        ValueError: the difference is above the tolerance.
    """
    x, worst = random_input(program.input), 0.0
    expected = [np.asarray(each, np.float64) for each in jax.tree.leaves(program(x))]
    for rows in batches:
        for value, whole, found in zip(program.results, expected, compute(x[:rows]), strict=True):
            batched = bool(value.shape) and value.shape[0] == program.input.shape[0]
            if rows == len(x) or batched:
                part = whole[:rows] if batched else whole
                worst = max(worst, _difference(part, np.asarray(found, np.float64), whole))
    tolerance = TOLERANCE_OF_INTEGERS if isinstance(program, QuantizedProgram) else TOLERANCE
    if not worst <= tolerance:
        raise ValueError(
            f"{runtime} differs from the program by {worst:.1e} of the largest result, more than {tolerance}. Please "
            f"report this network."
        )
    return worst


def _difference(expected: np.ndarray, found: np.ndarray, whole: np.ndarray) -> float:
    """The largest difference relative to the largest finite entry of an array; infinite if an entry is not finite.

    Entries that are the same infinity, or NaN both, do not differ.

    >>> x = np.array([np.inf, np.nan, 2.0])
    >>> _difference(x, np.array([np.inf, np.nan, 1.0]), x), _difference(x, np.array([np.inf, 1.0, 2.0]), x)
    (0.5, inf)
    """
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    finite = np.isfinite(expected) & np.isfinite(found)
    if not (same | finite).all():
        return np.inf
    largest = max(float(np.abs(whole[np.isfinite(whole)]).max(initial=0)), 1e-30)
    return float(np.abs(expected[finite] - found[finite]).max(initial=0)) / largest


def random_input(value: Value) -> np.ndarray:
    """A random input of a program: two examples if the batch is symbolic, and pixel values for integer dtypes."""
    generator, shape = np.random.default_rng(0), tuple(2 if is_symbolic(size) else size for size in value.shape)
    if np.issubdtype(value.dtype, np.integer):
        return generator.integers(0, 256, shape).astype(value.dtype)
    return generator.normal(size=shape).astype(value.dtype)


def require_fixed_sizes(program: PortableProgram, target: str) -> None:
    """Checks that a program has a fixed batch size.

    Raises:
        ValueError: the batch size is symbolic.
    """
    if any(map(is_symbolic, program.input.shape)):
        raise ValueError(
            f"this program reads a batch of any size, but a file of {target} has fixed sizes: give the number of "
            f"images as the first entry of portable's input_shape, such as 1."
        )


def converted(program: PortableProgram, convert: Callable[[PortableProgram], Any], target: str) -> Any:
    """The result of another project's converter for a program.

    The error of such a converter does not always name the operation that is refused. It is found by bisection: the
    program is cut after half of its operations, then after a quarter or three quarters, and so on.

    Raises:
        ValueError: the converter refuses an operation; the message has its name and its layer.
    """
    try:
        return convert(program)
    except Exception as error:  # any kind of error, since the converter belongs to another project
        raise unwritable(_first_refused(program, convert), target, "its converter refuses it") from error


def _first_refused(program: PortableProgram, convert: Callable[[PortableProgram], Any]) -> Operation:
    accepted, refused = 0, len(program.operations)  # numbers of first operations that the converter accepts and refuses
    while accepted + 1 < refused:
        middle = (accepted + refused) // 2
        try:
            convert(_first_operations(program, middle))
        except Exception:
            refused = middle
        else:
            accepted = middle
    return program.operations[refused - 1]


def _first_operations(program: PortableProgram, count: int) -> PortableProgram:
    """The program of the first operations, whose results are the values that the other operations read."""
    first, rest = program.operations[:count], program.operations[count:]
    read = {id(value) for operation in rest for value in operation.inputs} | {id(value) for value in program.results}
    results = tuple(value for operation in first for value in operation.outputs if id(value) in read)
    return PortableProgram(
        tuple(without_unread(first, results)), program.input, results, jax.tree.structure([0] * len(results))
    )


def import_optional_or_none(module: str) -> Any:
    """A module of an optional package, or None if it is not installed."""
    try:
        return import_optional(module)
    except ModuleNotFoundError:
        return None
