"""A function as a flat list of primitive operations, which can be searched, changed and run.

``jax.make_jaxpr`` returns a program with programs inside. Here the calls of ``jit`` and ``remat`` are replaced by their
content, so that data can be followed through the whole function. Loops, branches, and functions with their own
derivatives remain single operations.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

# Calls of these primitives are replaced by the operations that they call.
_CALLS = {"call", "checkpoint", "closed_call", "core_call", "jit", "pjit", "remat", "remat2"}

Rule = Callable[..., Any]  # inputs of an operation -> its output, or a sequence of its outputs


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """An input, a constant or a result; two values are equal if they are the same object.

    Attributes:
        aval: shape and dtype.
        constant: the array, if it is known; None if it depends on the inputs.
    """

    aval: Any
    constant: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One primitive with its operands.

    Attributes:
        name: of the primitive.
        equation: of the jaxpr, with its parameters.
        inputs: its operands.
        outputs: its results.
        scope: names of the enclosing ``jax.named_scope`` contexts, which Flax opens for each module.
    """

    name: str
    equation: Any
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    scope: tuple[str, ...] = ()

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the primitive."""
        return self.equation.params

    def run(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The results for these inputs."""
        primitive = self.equation.primitive
        with self.equation.ctx.manager:
            results = primitive.bind(*inputs, **primitive.get_bind_params(self.params))
        return results if primitive.multiple_results else [results]


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Operations in the order in which they run.

    Attributes:
        inputs: one for each array among the arguments.
        operations: all of them.
        outputs: one for each array of the result.
        structure: the tree of the result; None for an inner program.
    """

    inputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Value, ...]
    structure: Any = None

    @functools.cached_property
    def producer(self) -> dict[Value, Operation]:
        """The operation that produces each value."""
        return {value: operation for operation in self.operations for value in operation.outputs}

    @functools.cached_property
    def readers(self) -> dict[Value, list[Operation]]:
        """The operations that read each value."""
        found: dict[Value, list[Operation]] = {}
        for operation in self.operations:
            for value in dict.fromkeys(operation.inputs):
                found.setdefault(value, []).append(operation)
        return found

    def depending_on(self, values: Iterable[Value]) -> set[Value]:
        """These values, and all values that are computed from at least one of them."""
        found = set(values)
        for operation in self.operations:
            if not found.isdisjoint(operation.inputs):
                found.update(operation.outputs)
        return found

    def operations_for(self, wanted: Iterable[Value], given: Collection[Value]) -> list[Operation]:
        """The operations that compute ``wanted`` from ``given``, in order, with the ``name`` operations on them."""
        missing, needed = set(wanted) - set(given), set()
        for operation in reversed(self.operations):
            if not missing.isdisjoint(operation.outputs):
                needed.add(operation)
                missing.update(value for value in operation.inputs if value not in given)
        return [
            each for each in self.operations if each in needed or (each.name == "name" and each.inputs[0] in missing)
        ]

    def run(
        self,
        inputs: Sequence[Any],
        *,
        wanted: Sequence[Value] | None = None,
        given: Mapping[Value, Any] | None = None,
        rules: Mapping[Operation, Rule] | None = None,
    ) -> list[Any]:
        """Values of the program.

        Args:
            inputs: one value for each input of the program.
            wanted: the values to compute; by default the outputs.
            given: values to use in place of those that the program computes.
            rules: functions to call in place of some operations.
        """
        wanted = self.outputs if wanted is None else wanted
        found = {**dict(zip(self.inputs, inputs, strict=True)), **(given or {})}

        def read(value: Value) -> Any:
            # NumPy arrays in a jaxpr have a type that some primitives do not accept outside of jit.
            return found[value] if value in found else _as_operand(value.constant)

        for operation in self.operations_for(wanted, found):
            operands = [read(value) for value in operation.inputs]
            if rules and operation in rules:
                results = rules[operation](*operands)
                results = results if len(operation.outputs) > 1 or isinstance(results, list) else [results]
            else:
                results = operation.run(operands)
            for value, result in zip(operation.outputs, results, strict=True):
                found.setdefault(value, result)
        return [read(value) for value in wanted]

    def constant(self, value: Value) -> Any:
        """The array of a value that depends on no input; None if it is not known while tracing."""
        needed = self.operations_for([value], self.inputs)
        produced = {result for operation in needed for result in operation.outputs}
        leaves = {read for operation in needed for read in operation.inputs if read not in produced} or {value}
        if any(leaf.constant is None or isinstance(leaf.constant, jax.core.Tracer) for leaf in leaves):
            return None
        with jax.ensure_compile_time_eval():
            unused = [None] * len(self.inputs)
            return self.run(unused, wanted=[value])[0]


def trace(function: Callable[..., Any], *arguments: Any, keep: Collection[str] = ()) -> Program:
    """The program of a function at these arguments, which are arrays or pytrees of arrays.

    Args:
        function: a function that ``jax.jit`` accepts.
        *arguments: concrete or abstract.
        keep: names of functions under ``jit`` that stay single operations.
    """
    closed, result = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return dataclasses.replace(flattened(closed, keep=keep), structure=jax.tree.structure(result))


def flattened(jaxpr: Any, *, keep: Collection[str] = ()) -> Program:
    """The program of a jaxpr."""
    operations: list[Operation] = []
    inner = _open_jaxpr(jaxpr)
    inputs = tuple(Value(variable.aval) for variable in inner.invars)
    outputs = _append(jaxpr, inputs, operations, frozenset(keep), ())
    return Program(inputs, tuple(operations), outputs)


def inner_jaxprs(operation: Operation) -> list[Any]:
    """The programs among the parameters of an operation: the body of a loop, branches, a called function."""
    found = []
    for value in operation.params.values():
        for each in value if isinstance(value, tuple | list) else [value]:
            if hasattr(_open_jaxpr(each), "eqns"):
                found.append(each)
    return found


def constants_and_carry(params: Mapping[str, Any]) -> tuple[int, int]:
    """The numbers of constants and of carried operands of a scan; JAX 0.12 stores them in a tree."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carry, _ = params["ft_in"].unpack()
    return len(constants), len(carry)


def _as_operand(constant: Any) -> Any:
    return constant if isinstance(constant, jax.Array) or not np.ndim(constant) else jnp.asarray(np.asarray(constant))


def _open_jaxpr(jaxpr: Any) -> Any:
    """The jaxpr of a ``ClosedJaxpr``; another jaxpr is returned unchanged."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def _append(
    jaxpr: Any, inputs: Sequence[Value], operations: list[Operation], keep: frozenset[str], scope: tuple[str, ...]
) -> tuple[Value, ...]:
    """Appends the operations of a jaxpr with these inputs, and returns its outputs."""
    inner, constants = _open_jaxpr(jaxpr), getattr(jaxpr, "consts", ())
    values: dict[Any, Value] = dict(zip(inner.invars, inputs, strict=True))
    for variable, constant in zip(inner.constvars, constants, strict=True):
        values[variable] = Value(variable.aval, constant)

    def read(variable: Any) -> Value:
        return Value(variable.aval, variable.val) if isinstance(variable, Literal) else values[variable]

    for equation in inner.eqns:
        operands = tuple(map(read, equation.invars))
        within = (*scope, *filter(None, str(equation.source_info.name_stack).split("/")))
        name = equation.primitive.name
        called = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if name in _CALLS and called is not None and equation.params.get("name") not in keep:
            results = _append(called, operands, operations, keep, within)
        else:
            results = tuple(Value(variable.aval) for variable in equation.outvars)
            operations.append(Operation(name, equation, operands, results, within))
        values.update(zip(equation.outvars, results, strict=True))
    return tuple(map(read, inner.outvars))
