"""Measures every algorithm that supports an operation, for the table that ``jaxcnn.functional.use_tuning`` reads."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.bench._layers import ConvLayer, Entry
from jaxcnn.bench._program import compile_jax, limit_of, random_array, relative_error
from jaxcnn.bench._timing import measure
from jaxcnn.bench._trial import passes
from jaxcnn.functional.tuning import TABLE_FORMAT, ConvOperation, conv_operation, conv_operations, this_machine

MAXIMUM_RATIO = 4.0  # an algorithm whose first run takes this many times as long as the fastest is not run again


def operations_of_suite(entries: Iterable[Entry]) -> list[ConvOperation]:
    """The distinct operations of the convolutions among the entries.

    >>> from jaxcnn.bench import select
    >>> [each.operation for each in operations_of_suite(select("dw3_128"))]
    ['forward', 'kernel_grad']
    """
    found = [
        conv_operation(
            entry.layer.x_shape, entry.layer.kernel_shape, **{"operation": entry.operation, **entry.layer.options}
        )
        for entry in entries
        if isinstance(entry.layer, ConvLayer)
    ]
    return list(dict.fromkeys(found))


def operations_of_model(model: nn.Module, input_shape: tuple[int, ...]) -> list[ConvOperation]:
    """The distinct convolution operations of a model's training step, from an abstract trace.

    Args:
        model: a Linen module that takes ``train``.
        input_shape: of its input, ``(*batch, *spatial, channels)``.

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

    return conv_operations(jax.grad(total), params, variables, x)


def time_algorithms(operation: ConvOperation, *, seconds: float) -> dict[str, float]:
    """Median milliseconds of each algorithm that supports the operation and is exact enough, the fastest first.

    Args:
        operation: an operation that ``operations_of_suite`` or ``operations_of_model`` returns.
        seconds: for the timed runs of all algorithms.

    >>> from jaxcnn.bench import ConvLayer, Entry
    >>> layer = ConvLayer(name="small", about="", x_shape=(1, 4, 4, 1), kernel_shape=(3, 3, 1, 1))
    >>> (operation,) = operations_of_suite([Entry(layer, "forward")])
    >>> "xla" in time_algorithms(operation, seconds=0.001)
    True
    """
    arrays = [jnp.asarray(random_array(str(shape), shape), operation.dtype) for shape in operation.operand_shapes]
    exact = np.asarray(compile_jax(operation.reference(), arrays)[0](*arrays), np.float64)
    runs, first = {}, {}
    risky = {name: each for name, each in operation.risky_algorithms().items() if passes(operation, name)}
    for name, function in (operation.algorithms() | risky).items():
        program, _ = compile_jax(function, arrays)
        result = np.asarray(program(*arrays), np.float64)
        if relative_error([result], [exact]) > limit_of(name, operation.dtype):
            continue
        start = time.perf_counter()
        jax.block_until_ready(program(*arrays))
        first[name] = time.perf_counter() - start
        runs[name] = lambda program=program: jax.block_until_ready(program(*arrays))
    best = min(first.values())
    fast = {name: run for name, run in runs.items() if first[name] <= MAXIMUM_RATIO * best}
    medians = {name: 1e3 * times.median for name, times in measure(fast, seconds=seconds).items()}
    single = {name: 1e3 * first[name] for name in runs if name not in medians}
    return dict(sorted((medians | single).items(), key=lambda pair: pair[1]))


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
    same = bool(earlier) and earlier["format"] == TABLE_FORMAT and earlier["machine"] == this_machine()  # type: ignore[index]
    milliseconds = {
        **(earlier["milliseconds"] if same and earlier else {}),
        **{k: dict(v) for k, v in measured.items()},
    }
    algorithms = {name: min(times, key=lambda each: times[each]) for name, times in milliseconds.items()}
    return {
        "format": TABLE_FORMAT,
        "machine": this_machine(),
        "algorithms": algorithms,
        "milliseconds": milliseconds,
    }
