"""What every writer of files checks: the results of the file's runtime, and which operation a converter refused."""

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
        program: that was written.
        compute: the results of the written file for an input.
        runtime: its name, for the error.
        batches: the numbers of examples to try, at most that of the random input.

    Raises:
        ValueError: the difference is above the tolerance.
    """
    x, worst = random_input(program.input), 0.0
    expected = [np.asarray(each, np.float64) for each in jax.tree.leaves(program(x))]
    for rows in batches:
        for value, one, other in zip(program.results, expected, compute(x[:rows]), strict=True):
            of_examples = bool(value.shape) and value.shape[0] == program.input.shape[0]
            if rows == len(x) or of_examples:
                part = one[:rows] if of_examples else one
                worst = max(worst, _difference(part, np.asarray(other, np.float64), one))
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
    """An input of a program, of two examples if any number will do; pixels if it is of integers."""
    generator, shape = np.random.default_rng(0), tuple(2 if is_symbolic(size) else size for size in value.shape)
    if np.issubdtype(value.dtype, np.integer):
        return generator.integers(0, 256, shape).astype(value.dtype)
    return generator.normal(size=shape).astype(value.dtype)


def require_fixed_sizes(program: PortableProgram, target: str) -> None:
    """Checks that a program reads a number of examples.

    Raises:
        ValueError: it reads a batch of any size.
    """
    if any(map(is_symbolic, program.input.shape)):
        raise ValueError(
            f"this program reads a batch of any size, but a file of {target} has fixed sizes: give the number of "
            f"images as the first entry of portable's input_shape, such as 1."
        )


def converted(program: PortableProgram, convert: Callable[[PortableProgram], Any], target: str) -> Any:
    """What a converter of another project makes of a program.

    Such converters do not always say which operation they refuse. Then the program is cut after half of its operations,
    after a quarter or three quarters, and so on, until one operation makes the difference.

    Raises:
        ValueError: the converter refuses an operation; the message has its name and its layer.
    """
    try:
        return convert(program)
    except Exception as error:  # of any kind, since the code is not ours
        raise unwritable(_first_refused(program, convert), target, "its converter refuses it") from error


def _first_refused(program: PortableProgram, convert: Callable[[PortableProgram], Any]) -> Operation:
    known, failing = 0, len(program.operations)  # the first ``known`` operations are converted
    while known + 1 < failing:
        middle = (known + failing) // 2
        try:
            convert(_first_operations(program, middle))
        except Exception:
            failing = middle
        else:
            known = middle
    return program.operations[failing - 1]


def _first_operations(program: PortableProgram, count: int) -> PortableProgram:
    """The program that computes what the other operations read from the first ones."""
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
