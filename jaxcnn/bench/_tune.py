"""Measures every algorithm that supports an operation, for the table that ``jaxcnn.functional.use_tuning`` reads."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._geometry import ConvGeometry
from jaxcnn.bench._layers import ConvLayer, Entry
from jaxcnn.bench._program import compile_jax, random_array, relative_error
from jaxcnn.bench._runner import LIMIT, ROUGH
from jaxcnn.bench._timing import measure
from jaxcnn.functional.lowering.compute import exchanges_operands
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.registry import LOWERINGS
from jaxcnn.functional.lowering.tuned import FORMAT, key, this_machine

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
    if operation == "kernel_grad" and exchanges_operands(geometry):
        geometry = geometry.transposed()
    geometry = geometry.with_batch(int(np.prod(geometry.batch_shape, dtype=int)))
    return Operand(geometry, jnp.dtype(dtype).name, "kernel_grad" if operation == "kernel_grad" else "forward")


def operations_of_suite(entries: Iterable[Entry]) -> list[Operand]:
    """The distinct operations of the convolutions among the entries.

    >>> from jaxcnn.bench import select
    >>> [operand.operation for operand in operations_of_suite(select("dw3_128"))]
    ['forward', 'kernel_grad']
    """
    found = [
        operation_of(entry.layer.geometry, "float32", entry.operation)
        for entry in entries
        if isinstance(entry.layer, ConvLayer)
    ]
    return list(dict.fromkeys(found))


def operations_of_model(model: nn.Module, input_shape: tuple[int, ...]) -> list[Operand]:
    """The distinct convolution operations of a model's training step, found by tracing; nothing is computed.

    >>> from jaxcnn.models import create
    >>> len(operations_of_model(create("lenet5"), (1, 32, 32, 1)))
    8
    """
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
    """Median milliseconds of each algorithm that supports the operation and is exact enough, the fastest first.

    Args:
        operand: the operation, one of those that ``operations_of_suite`` or ``operations_of_model`` return.
        seconds: for the timed runs of all algorithms.

    >>> from jaxcnn.bench import ConvLayer, Entry
    >>> layer = ConvLayer(name="small", about="", x_shape=(1, 4, 4, 1), kernel_shape=(3, 3, 1, 1))
    >>> (operand,) = operations_of_suite([Entry(layer, "forward")])
    >>> "xla" in time_algorithms(operand, seconds=0.001)
    True
    """
    geometry, dtype = operand.geometry, jnp.dtype(operand.dtype)
    second = geometry.kernel_shape if operand.operation == "forward" else geometry.out_shape
    arrays = [jnp.asarray(random_array(str(shape), shape), dtype) for shape in (geometry.x_shape, second)]
    exact = np.asarray(_compile(LOWERINGS["xla"], operand, arrays)(*arrays), np.float64)
    runs, first = {}, {}
    for name, lowering in LOWERINGS.items():
        if lowering.why_not_auto(geometry, dtype, operand.operation) is not None:
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


def tuning_table(
    measured: Mapping[str, Mapping[str, float]], *, earlier: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of a table's file: for each operation the fastest algorithm, and the times of all of them.

    Args:
        measured: for the ``key`` of each operation the milliseconds of each algorithm.
        earlier: the content of the file so far; its other entries are kept if they are of this machine.

    >>> tuning_table({"an operation": {"xla": 2.0, "fft": 1.5}})["algorithms"]
    {'an operation': 'fft'}
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
