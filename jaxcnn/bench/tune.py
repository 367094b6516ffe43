"""Measures every formulation that serves, for the table that ``jaxcnn.functional.use_tuning`` reads."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.bench.layers import ConvLayer, Entry
from jaxcnn.bench.program import compile_jax, random_array, relative_error
from jaxcnn.bench.runner import LIMIT, ROUGH
from jaxcnn.bench.timing import measure
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.registry import LOWERINGS
from jaxcnn.functional.lowering.tuned import FORMAT, key, this_machine
from jaxcnn.shapes.conv import ConvGeometry

HOPELESS = 4.0  # a first run this many times longer than the best so far needs no second one


@dataclasses.dataclass(frozen=True)
class Operand:
    """One operation on arrays of one dtype, with a single batch axis: one line of the table."""

    geometry: ConvGeometry
    dtype: str
    operation: Operation

    @property
    def key(self) -> str:
        """Its name in the table."""
        return key(self.geometry, self.dtype, self.operation)


def operation_of(geometry: ConvGeometry, dtype: Any, operation: str) -> Operand:
    """The operation as the choice sees it.

    The input gradient is the forward operation of the transposed convolution, and the kernel gradient of a transposed
    convolution that of the strided one.
    """
    if operation == "input_grad":
        geometry, operation = geometry.transposed(), "forward"
    if operation == "kernel_grad" and max(geometry.input_dilation) > 1 == max(geometry.strides):
        geometry = geometry.transposed()
    geometry = geometry.with_batch(int(np.prod(geometry.batch_shape, dtype=int)))
    return Operand(geometry, jnp.dtype(dtype).name, "kernel_grad" if operation == "kernel_grad" else "forward")


def operations_of_suite(entries: Iterable[Entry]) -> list[Operand]:
    """The operations of the convolutions among the entries, each once."""
    found = [
        operation_of(entry.layer.geometry, "float32", entry.operation)
        for entry in entries
        if isinstance(entry.layer, ConvLayer)
    ]
    return list(dict.fromkeys(found))


def operations_of_model(model: nn.Module, input_shape: tuple[int, ...]) -> list[Operand]:
    """The operations that a training step of a model is made of, each once; found by tracing, nothing is computed."""
    x = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = dict(jax.eval_shape(lambda x: model.init(keys, x, train=False), x))
    params = variables.pop("params")

    def total(params: Any, others: Any, x: jax.Array) -> jax.Array:
        result, _ = model.apply({"params": params, **others}, x, train=True, mutable=True, rngs=keys)
        return sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree.leaves(result))  # type: ignore[return-value]

    jaxpr = jax.make_jaxpr(jax.grad(total))(params, variables, x)
    found = []
    for equation in _equations(jaxpr.jaxpr):
        if equation.primitive.name in ("conv", "conv_kernel_grad"):
            operation = "forward" if equation.primitive.name == "conv" else "kernel_grad"
            found.append(operation_of(equation.params["geometry"], equation.invars[0].aval.dtype, operation))
    return list(dict.fromkeys(found))


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a program, those within other equations included."""
    for equation in jaxpr.eqns:
        yield equation
        for leaf in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(leaf):
                yield from _equations(getattr(leaf, "jaxpr", leaf))


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def time_algorithms(operand: Operand, *, seconds: float) -> dict[str, float]:
    """Milliseconds of each formulation that serves and is exact enough, the fastest first; medians.

    Args:
        operand: the operation.
        seconds: for the timed runs of all of them.
    """
    geometry, dtype = operand.geometry, jnp.dtype(operand.dtype)
    second = geometry.kernel_shape if operand.operation == "forward" else geometry.out_shape
    arrays = [jnp.asarray(random_array(str(shape), shape), dtype) for shape in (geometry.x_shape, second)]
    exact = np.asarray(_compile(LOWERINGS["xla"], operand, arrays)(*arrays), np.float64)
    runs, first = {}, {}
    for name, lowering in LOWERINGS.items():
        if lowering.why_not(geometry, dtype, operand.operation) is not None:
            continue
        program = _compile(lowering, operand, arrays)
        result = np.asarray(program(*arrays), np.float64)
        if relative_error([result], [exact]) > _limit(name, dtype):
            continue
        start = time.perf_counter()
        jax.block_until_ready(program(*arrays))
        first[name] = time.perf_counter() - start
        runs[name] = lambda program=program: jax.block_until_ready(program(*arrays))
    best = min(first.values())
    hopeful = {name: run for name, run in runs.items() if first[name] <= HOPELESS * best}
    medians = {name: 1e3 * times.median for name, times in measure(hopeful, seconds=seconds).items()}
    late = {name: 1e3 * first[name] for name in runs if name not in medians}
    return dict(sorted((medians | late).items(), key=lambda pair: pair[1]))


def _limit(name: str, dtype: Any) -> float:
    """The largest error, in units of the largest entry of the result."""
    return max(ROUGH.get(name, LIMIT), 4 * float(jnp.finfo(dtype).eps))


def _compile(lowering: Lowering, operand: Operand, arrays: list[jax.Array]) -> Any:
    options: dict[str, Any] = {"precision": None}
    function: Any = lowering.kernel_grad
    if operand.operation == "forward":
        function, options = lowering.forward, options | {"preferred_element_type": None}
    compiled, _ = compile_jax(lambda a, b: function(a, b, operand.geometry, **options), arrays)
    return compiled


def table(measured: Mapping[str, Mapping[str, float]], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of a table's file.

    Args:
        measured: for each key the milliseconds of each formulation.
        earlier: the content of the file so far; its other lines are kept if it is of this machine.
    """
    same = bool(earlier) and earlier["format"] == FORMAT and earlier["machine"] == this_machine()  # type: ignore[index]
    milliseconds = {
        **(earlier["milliseconds"] if same and earlier else {}),
        **{k: dict(v) for k, v in measured.items()},
    }
    algorithms = {name: min(times, key=lambda each: times[each]) for name, times in milliseconds.items()}
    return {
        "format": FORMAT,
        "machine": this_machine(),
        "algorithms": algorithms,
        "milliseconds": milliseconds,
    }
