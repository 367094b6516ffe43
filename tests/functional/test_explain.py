"""``explain_conv`` against the scopes of the programs, which show the algorithm of each operation.

Every algorithm is traced in a scope of its own, which XLA keeps as the metadata of its instructions.
"""

import contextlib
import functools
import re
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn import functional as F
from jaxcnn.functional import _engine
from jaxcnn.functional._engine import ConvPlan
from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.tiers import default_rows

SCOPE = re.compile(r"\b(?:forward|kernel_grad)\.(\w+)")
CONVOLUTIONS = {
    *("conv", "conv_transpose", "conv_input_grad", "conv_kernel_grad", "depthwise_conv", "separable_conv"),
    *("tiled_conv", "weighted_pool", "correlate", "convolve", "autocorrelate", "filters.apply_filter"),
}


def algorithms_of(text: str) -> set[str]:
    """The algorithms whose scopes appear in the text of a program."""
    return set(SCOPE.findall(text))


def lowered(function: Callable[..., Any], *arrays: Any, platform: str = "cpu") -> str:
    return jax.jit(function).trace(*arrays).lower(lowering_platforms=(platform,)).as_text(debug_info=True)


# ------------------------------------------------------------------------------------- conv and its two gradients

Shape = tuple[int, ...]
CONFIGURATIONS: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "dense": ((8, 28, 28, 32), (3, 3, 32, 16), {}),
    "strides": ((8, 28, 28, 24), (3, 3, 24, 64), {"strides": 2}),
    "dilated input": ((8, 14, 14, 128), (2, 2, 128, 64), {"input_dilation": 2, "padding": 1}),
    "dilated input and strides": ((8, 14, 14, 16), (3, 3, 16, 8), {"input_dilation": 2, "strides": 3}),
    "dilated input, depthwise": ((8, 14, 14, 32), (3, 3, 1, 32), {"input_dilation": 2, "feature_group_count": 32}),
    "depthwise": ((8, 28, 28, 64), (5, 5, 1, 64), {"feature_group_count": 64}),
    "groups, batch axes": ((2, 3, 4, 14, 14, 32), (5, 5, 8, 32), {"feature_group_count": 4}),
    "one position": ((8, 28, 28, 64), (1, 1, 64, 256), {}),
    "few channels": ((16, 96, 96, 3), (3, 3, 3, 32), {"strides": 2}),
    "minimal filtering": ((64, 32, 32, 64), (3, 3, 64, 64), {}),
    "video": ((2, 8, 16, 16, 16), (3, 3, 3, 16, 32), {}),
    "no batch, reflected": ((64, 16), (9, 16, 32), {"padding_mode": "reflect"}),
    "bfloat16 summed in float32": (
        (8, 28, 28, 64),
        (3, 3, 1, 64),
        {"feature_group_count": 64, "dtype": "bfloat16", "preferred_element_type": "float32"},
    ),
    "forward only": ((8, 16, 16, 3), (3, 3, 3, 8), {"algorithm": "broadcast"}),
    "by name": ((8, 16, 16, 8), (3, 3, 2, 8), {"algorithm": "fft", "feature_group_count": 4}),
}


def programs(x_shape: Shape, kernel_shape: Shape, split: NamedSharding | None, options: dict[str, Any]) -> Any:
    """For each operation a function with its operands, whose program contains only that operation."""
    options = dict(options)
    dtype = options.pop("dtype", "float32")
    conv = functools.partial(F.conv, **options)
    x = jax.ShapeDtypeStruct(x_shape, dtype, sharding=split)
    kernel = jax.ShapeDtypeStruct(kernel_shape, dtype)
    y = jax.eval_shape(conv, jax.ShapeDtypeStruct(x_shape, dtype), kernel)
    g = jax.ShapeDtypeStruct(y.shape, y.dtype, sharding=split)
    return {
        "forward": (conv, (x, kernel)),
        "input_grad": (lambda g, kernel: jax.linear_transpose(lambda x: conv(x, kernel), x)(g), (g, kernel)),
        "kernel_grad": (lambda x, g: jax.linear_transpose(lambda kernel: conv(x, kernel), kernel)(g), (x, g)),
    }


@pytest.fixture(scope="module")
def over_devices() -> NamedSharding:
    return NamedSharding(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)), PartitionSpec("data"))


# One configuration for each reason; the others differ only in their sizes.
BY_DEFAULT = [
    "dilated input and strides",
    "depthwise",
    "groups, batch axes",
    "minimal filtering",
    "forward only",
    "by name",
]


@pytest.mark.parametrize("name", default_rows(list(CONFIGURATIONS), keep=BY_DEFAULT))
@pytest.mark.parametrize("where", default_rows(["cpu", "gpu", "tpu", "partitioned"], keep=["cpu", "partitioned"]))
def test_each_operation_is_computed_as_explained(name: str, where: str, over_devices: NamedSharding) -> None:
    x_shape, kernel_shape, options = CONFIGURATIONS[name]
    partitioned = where == "partitioned"
    if partitioned and x_shape[0] % 8:
        x_shape = (8, *x_shape[1:])
    platform = "cpu" if partitioned else where
    explained = F.explain_conv(x_shape, kernel_shape, platform=platform, partitioned=partitioned, **options)
    made = programs(x_shape, kernel_shape, over_devices if partitioned else None, options)
    for operation, (function, operands) in made.items():
        text = lowered(function, *operands, platform={"gpu": "cuda"}.get(platform, platform))
        assert algorithms_of(text) == {getattr(explained, operation).algorithm}, operation


def test_the_compiled_program_names_its_algorithms() -> None:
    """XLA keeps scopes in the metadata of its instructions, which profilers read."""
    x, kernel = np.ones((2, 8, 8, 4), np.float32), np.ones((3, 3, 1, 4), np.float32)
    program = jax.jit(lambda x, kernel: F.conv(x, kernel, feature_group_count=4, algorithm="shifted"))
    assert algorithms_of(program.lower(x, kernel).compile().as_text()) == {"shifted"}


# ------------------------------------------------------------------------------------- the rows of the table

CALLERS = [
    ("_conv", "conv"),
    ("_tiled_conv", "conv"),
    ("_conv_grads", "input_grad"),
    ("_conv_transpose", "input_grad"),
    ("_conv_grads", "kernel_grad"),
]
NO_CONVOLUTION = {"tiled_conv-twenty tiles"}  # a matrix product
ROWS = [row for row in collect() if row.function in CONVOLUTIONS and row.id not in NO_CONVOLUTION]
PATHS = [row for row in ROWS if not row.like]


def explained_operations(plan: ConvPlan, *, partitioned: bool) -> Any:
    """The explanation by ``explain_conv`` of the call that made a plan."""
    geometry = plan.geometry
    fits = tuple(
        (before, (out - 1) * stride + reach - size - before)
        for size, (before, _), out, stride, reach in zip(
            geometry.dilated_sizes, geometry.pads, geometry.out_sizes, geometry.strides, geometry.reaches, strict=True
        )
    )
    return functools.partial(
        F.explain_conv,
        geometry.x_shape,
        geometry.kernel_shape,
        strides=geometry.strides,
        padding=geometry.pads if plan.padding_mode != "zeros" else fits,
        padding_mode=plan.padding_mode,
        input_dilation=geometry.input_dilation,
        kernel_dilation=geometry.kernel_dilation,
        feature_group_count=geometry.groups,
        algorithm=plan.algorithm,
        dtype=plan.dtype,
        preferred_element_type=plan.preferred_element_type,
        platform="cpu",
        partitioned=partitioned,
    )


def lower_row(row: Case, split: NamedSharding | None, *, gradients: bool) -> tuple[str, list[tuple[str, ConvPlan]]]:
    """The text of the program of a row, or of its gradients, and the convolutions that the row calls."""
    arrays = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=split if batched else None)
        for a, batched in zip(row.draw(dtype=np.float32), row.batched, strict=True)
    ]
    calls: list[tuple[str, ConvPlan]] = []

    def record(module: str, operation: str) -> Any:
        function = getattr(_engine, f"compute_{operation}")

        def recording(first: jax.Array, second: jax.Array, plan: ConvPlan) -> jax.Array:
            calls.append(("forward" if operation == "conv" else operation, plan))
            return function(first, second, plan)

        return mock.patch(f"jaxcnn.functional.{module}.compute_{operation}", recording)

    def loss(*arrays: jax.Array) -> jax.Array:
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(row.call(*arrays)))

    function = jax.grad(loss, range(len(arrays))) if gradients else lambda *arrays: row.call(*arrays)
    with contextlib.ExitStack() as stack:
        for module, operation in CALLERS:
            stack.enter_context(record(module, operation))
        return lowered(function, *arrays), calls


@pytest.mark.parametrize("row", default_rows(ROWS, keep=PATHS), ids=lambda row: row.id)
@pytest.mark.parametrize("partitioned", default_rows([False, True], keep=[False]))
def test_a_row_is_computed_as_explained(row: Case, partitioned: bool, over_devices: NamedSharding) -> None:
    partitioned = partitioned and any(row.batched)  # signals have no batch
    split = over_devices if partitioned else None
    text, calls = lower_row(row, split, gradients=False)
    expected = {
        explained_operations(plan, partitioned=partitioned)(operation=operation).algorithm for operation, plan in calls
    }
    assert calls
    assert algorithms_of(text) == expected
    text, calls = lower_row(row, split, gradients=True)
    expected = set()
    for operation, plan in calls:
        explained = explained_operations(plan, partitioned=partitioned)(operation=operation)
        expected |= {choice.algorithm for choice in explained.choices.values()}
    assert algorithms_of(text) <= expected


# ------------------------------------------------------------------------------------- the explanation itself


def explanation() -> F.ConvExplanation:
    return F.explain_conv((8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu")


def test_it_names_three_choices() -> None:
    found = explanation()
    assert [found.forward.algorithm, found.input_grad.algorithm] == ["shifted", "shifted"]
    assert found.kernel_grad.algorithm == "partial_sums"
    assert (found.algorithm, found.reason, found.candidates) == (
        found.forward.algorithm,
        found.forward.reason,
        found.forward.candidates,
    )
    kernel_grad = F.explain_conv(
        (8, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu", operation="kernel_grad"
    )
    assert kernel_grad.algorithm == "partial_sums"
    assert {each.algorithm for each in found.candidates} == set(F.conv_algorithms())


def test_printed_it_is_aligned() -> None:
    summary, estimates, exclusions = str(explanation()).split("\n\n")
    assert [line.split()[0] for line in summary.splitlines()] == ["forward", "input_grad", "kernel_grad"]
    assert estimates.splitlines()[0].split() == ["algorithm", "forward", "input_grad", "kernel_grad"]
    column = estimates.splitlines()[0].index("kernel_grad")
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in estimates.splitlines())
    assert "fft           forward, input_grad, kernel_grad  its error is relative" in exclusions


def test_in_a_notebook_it_is_tables() -> None:
    html = explanation()._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 3
    assert "<td>kernel_grad</td><td>partial_sums</td><td>it has the lowest estimate</td>" in html
    assert F.explain_conv((8, 8, 3), (3, 3, 3, 4), platform="tpu")._repr_html_().count("<table>") == 1


def test_a_named_algorithm() -> None:
    found = F.explain_conv((8, 16, 16, 3), (3, 3, 3, 8), algorithm="broadcast", platform="cpu")
    assert str(found.forward) == "broadcast: it was selected by name"
    assert found.kernel_grad.algorithm != "broadcast"
    assert found.kernel_grad.reason.endswith("; broadcast does not support this: it computes no kernel gradient")


def test_a_partitioned_program_is_explained_as_such() -> None:
    layer: dict[str, Any] = {"feature_group_count": 8, "platform": "tpu"}
    assert F.explain_conv((8, 9, 9, 32), (3, 3, 4, 32), **layer).algorithm == "xla"
    found = F.explain_conv((8, 9, 9, 32), (3, 3, 4, 32), partitioned=True, **layer)
    assert found.algorithm == "grouped" and "gathers the whole batch" in found.reason
    assert repr(found) == (
        "ConvExplanation(forward='grouped', input_grad='grouped', kernel_grad='grouped', platform='tpu', "
        "partitioned=True)"
    )


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_narrow_integers_are_explained_as_they_are_computed(dtype: str) -> None:
    """They are summed in int32, without a conversion of the operands."""
    shapes: Any = ((64, 64, 64, 4), (3, 3, 1, 4))
    layer: dict[str, Any] = {"feature_group_count": 4, "platform": "cpu"}
    narrow = F.explain_conv(*shapes, **layer, dtype=dtype)
    assert narrow == F.explain_conv(*shapes, **layer, dtype=dtype, preferred_element_type="int32")
    assert narrow != F.explain_conv(*shapes, **layer, dtype="int32")


def test_arrays_in_place_of_shapes_and_unknown_platforms_are_refused() -> None:
    x, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    with pytest.raises(TypeError, match=r"x_shape must be a shape, not an array\. Pass its \.shape, \(1, 8, 8, 3\)"):
        F.explain_conv(x, kernel)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"platform='metal' is not known\. Known: 'cpu', 'gpu', 'tpu'\.$"):
        F.explain_conv(x.shape, kernel.shape, platform="metal")
