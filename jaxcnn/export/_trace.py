"""From a JAX function to operations: traced with portable operations, inlined, and with constants computed."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Literal

from jaxcnn._portable import portable_operations
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._operations import Operation, Value, constant, read_values, run, without_unread

# Primitives that only call an inner program, and the parameters that hold it.
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat",
    "checkpoint",
    "remat2",
)
BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
# Operations that return their operand.
IDENTITIES = ("optimization_barrier", "stop_gradient", "copy", "copy_p", "pvary", "sharding_constraint", "name")


def trace(
    function: Callable[[jax.Array], Any], x: jax.ShapeDtypeStruct
) -> tuple[list[Operation], Value, list[Value], Any]:
    """The operations, the input, the results and the tree of the results of a function of an array.

    The metadata are part of the keys of JAX's caches of traced programs, so that programs that are traced here are not
    used elsewhere, and vice versa. The result does not contain the metadata, because its operations are bound again.
    """
    with portable_operations(), set_xla_metadata(jaxcnn="portable"):
        program, tree = jax.make_jaxpr(function, return_shape=True)(x)
    value = Value(tuple(x.shape), np.dtype(x.dtype))
    operations: list[Operation] = []
    results = _inline(program.jaxpr, [*map(constant, program.consts)], [value], "", operations)
    operations, results = _fold_constants(operations, results)
    return operations, value, results, jax.tree.structure(tree)


def _inline(
    jaxpr: Any, constants: Sequence[Value], inputs: Sequence[Value], scope: str, operations: list[Operation]
) -> list[Value]:
    """Appends the operations of a program and of its inner programs, and returns the values of its results."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

    def read(variable: Any) -> Value:
        if isinstance(variable, Literal):
            kind: Any = variable.aval
            return constant(np.asarray(variable.val, kind.dtype))
        return known[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        name, place = equation.primitive.name, "/".join(filter(None, [scope, str(equation.source_info.name_stack)]))
        body = next((equation.params[each] for each in BODIES if each in equation.params), None)
        if name in IDENTITIES:
            outputs = operands
        elif name in CALLS and body is not None:
            consts = [*map(constant, getattr(body, "consts", ()))]
            outputs = _inline(getattr(body, "jaxpr", body), consts, operands, place, operations)
        else:
            outputs = [Value(tuple(each.aval.shape), each.aval.dtype) for each in equation.outvars]
            operations.append(
                Operation(
                    name,
                    tuple(operands),
                    tuple(outputs),
                    equation.params,
                    layer_of(place),
                    _applied(equation.primitive, equation.params),
                )
            )
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def inlined(program: Any, inputs: Sequence[Value], scope: str) -> tuple[list[Operation], list[Value]]:
    """The operations and the results of an inner program, such as the body of a loop.

    Args:
        program: a closed jaxpr.
        inputs: its operands.
        scope: the name of the layer that it is in.
    """
    operations: list[Operation] = []
    results = _inline(program.jaxpr, [*map(constant, program.consts)], inputs, scope, operations)
    return _fold_constants(operations, results)


def _applied(primitive: Any, params: Any) -> Callable[..., Any]:
    """The function that binds a primitive; symbolic sizes in its parameters are those of the trace."""
    options = primitive.get_bind_params(params)

    def apply(*arrays: Any) -> Any:
        found = primitive.bind(*arrays, **options)
        return found if primitive.multiple_results else [found]

    return apply


def layer_of(scope: str) -> str:
    """The path of modules in a name stack, without the class of the network, its methods and transformations.

    >>> layer_of("ResNet/ResNet.features/layer1_0/conv1/jit(relu)")
    'layer1_0/conv1'
    """
    parts = [part for part in scope.split("/") if re.fullmatch(r"\w+", part)]
    return "/".join(parts[1:] if parts and parts[0][:1].isupper() else parts)


def _fold_constants(operations: Sequence[Operation], results: Sequence[Value]) -> tuple[list[Operation], list[Value]]:
    """The program in which operations on constants alone are replaced by their results."""
    operations = without_unread(operations, results)
    known: list[Operation] = []
    rest: list[Operation] = []
    computed: dict[int, Value] = {}
    for operation in operations:
        static = all(value.is_constant or id(value) in computed for value in operation.inputs)
        sized = not any(is_symbolic(size) for value in operation.outputs for size in value.shape)
        if static and sized:
            known.append(operation)
            computed.update((id(value), value) for value in operation.outputs)
        else:
            rest.append(operation)
    needed = {id(value): value for value in read_values(rest, results) if id(value) in computed}
    if not needed:
        return list(operations), list(results)
    with jax.ensure_compile_time_eval():
        arrays = jax.jit(functools.partial(_run_known, known, list(needed.values())))(_constants(known))
    changed = {key: constant(array) for key, array in zip(needed, arrays, strict=True)}

    def final(value: Value) -> Value:
        return changed.get(id(value), value)

    return [each.with_inputs(*map(final, each.inputs)) for each in rest], [final(value) for value in results]


def _constants(operations: Sequence[Operation]) -> list[np.ndarray]:
    return [value.array for value in _constant_values(operations)]  # type: ignore[misc]


def _constant_values(operations: Sequence[Operation]) -> list[Value]:
    found = {id(value): value for each in operations for value in each.inputs if value.array is not None}
    return list(found.values())


def _run_known(operations: Sequence[Operation], results: Sequence[Value], arrays: Sequence[Any]) -> list[Any]:
    return run(operations, _constant_values(operations), results, arrays)
