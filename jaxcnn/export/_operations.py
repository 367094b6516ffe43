"""A program as a list of operations on values, which can be read, rewritten, run and written in other formats.

A jaxpr has inner programs, which are inlined here, and equations, which cannot be changed. An operation has the name
and the parameters of a primitive of JAX, or one of the names in ``_recognise.py``.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """An array of a program; if its entries are known at export, they are in ``array``.

    Attributes:
        shape: the sizes; the size of the batch may be symbolic.
        dtype: of the entries.
        array: the entries, if they are known.
    """

    shape: tuple[Any, ...]
    dtype: Any
    array: np.ndarray | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the entries are known."""
        return self.array is not None


def constant(array: Any) -> Value:
    """The value of an array that is known."""
    array = np.asarray(array)
    return Value(array.shape, array.dtype, array)


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation.

    Attributes:
        name: of the primitive.
        inputs: its operands.
        outputs: its results.
        params: the parameters of the primitive.
        layer: the path of the module that computes it, such as ``layer1_0/conv1``; empty outside of modules.
        apply: computes the results from arrays.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    params: Mapping[str, Any]
    layer: str
    apply: Callable[..., Any]

    def with_inputs(self, *inputs: Value) -> "Operation":
        """The same operation on other operands."""
        return dataclasses.replace(self, inputs=inputs)


class Uses:
    """The operation that computes each value, and the operations that read it."""

    def __init__(self, operations: Sequence[Operation], results: Sequence[Value]) -> None:
        self.producer = {id(value): operation for operation in operations for value in operation.outputs}
        self.readers: dict[int, list[Operation]] = {}
        for operation in operations:
            for value in operation.inputs:
                self.readers.setdefault(id(value), []).append(operation)
        self.results = {id(value) for value in results}

    def source(self, value: Value) -> Operation | None:
        """The operation that makes a value; None for inputs of the program and constants."""
        return self.producer.get(id(value))

    def only_reader(self, value: Value) -> Operation | None:
        """The operation that reads a value, if exactly one does and the value is no result of the program."""
        readers = self.readers.get(id(value), [])
        return readers[0] if len(readers) == 1 and id(value) not in self.results else None


def run(
    operations: Sequence[Operation], inputs: Sequence[Value], results: Sequence[Value], arrays: Sequence[Any]
) -> list[Any]:
    """The results of a program for arrays; symbolic sizes are those of the arrays.

    Each operation is traced under the name of its layer, which compilers, profilers and converters show.
    """
    known = {id(value): array for value, array in zip(inputs, arrays, strict=True)}

    def read(value: Value) -> Any:
        return known.get(id(value), value.array)

    for operation in operations:
        with jax.named_scope(operation.layer) if operation.layer else contextlib.nullcontext():
            found = operation.apply(*map(read, operation.inputs))
        known.update(zip(map(id, operation.outputs), found, strict=True))
    return [jax.numpy.asarray(read(value)) for value in results]


def without_unread(operations: Sequence[Operation], results: Sequence[Value]) -> list[Operation]:
    """The operations that the results depend on."""
    needed, kept = {id(value) for value in results}, []
    for operation in reversed(operations):
        if any(id(value) in needed for value in operation.outputs):
            needed.update(map(id, operation.inputs))
            kept.append(operation)
    return kept[::-1]


def replaced(
    operations: Sequence[Operation], results: Sequence[Value], changes: Mapping[int, Value]
) -> tuple[list[Operation], list[Value]]:
    """The program in which each value whose id is in ``changes`` is replaced by another where it is read."""

    def final(value: Value) -> Value:
        while id(value) in changes:
            value = changes[id(value)]
        return value

    return [each.with_inputs(*map(final, each.inputs)) for each in operations], [final(value) for value in results]


def read_values(operations: Sequence[Operation], results: Sequence[Value]) -> Iterator[Value]:
    """Every value that is read, results included."""
    for operation in operations:
        yield from operation.inputs
    yield from results


def unwritable(operation: Operation, target: str, why: str) -> ValueError:
    """The error about an operation that a format does not have, with its layer."""
    place = f"the layer {operation.layer!r}" if operation.layer else "a function outside of layers"
    return ValueError(f"{place} uses the operation {operation.name!r}, which cannot be written to {target}: {why}.")
