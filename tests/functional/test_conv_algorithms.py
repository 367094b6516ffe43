"""Every algorithm on all configurations that it supports, and the selection of an algorithm."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn import functional
from jaxcnn._geometry import conv_geometry, fast_length
from jaxcnn.functional._conv_transpose import conv_transpose
from jaxcnn.functional._engine._algorithms import ALGORITHMS, _xla_cost
from jaxcnn.functional._explain import conv_algorithms, explain_conv
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.convolutions import Convolution, convolutions
from tests.functional.engine.dense import plan_of
from tests.tiers import default_rows

# The tests of the other algorithms, in tests/functional/engine, draw their own configurations.
ANY_GEOMETRY = [name for name in conv_algorithms() if name in ("shifted", "grouped", "matmul", "fft", "broadcast")]


def supports(name: str, case: Convolution) -> bool:
    options = {name: value for name, value in case.options.items() if name not in ("padding_mode", "flip_kernel")}
    geometry = conv_geometry(case.x.shape, case.kernel.shape, **options)
    return ALGORITHMS[name].why_not(plan_of(geometry), "forward") is None


conv = compiled(functional.conv)


def one_tap(case: Convolution) -> Convolution:
    """The same options with a window of one position."""
    ndim = case.kernel.ndim - 2
    kernel = case.kernel[(slice(0, 1),) * ndim]
    pads = tuple((max(before, 0), max(after, 0)) for before, after in case.options["padding"])
    return Convolution(case.x, kernel, {**case.options, "padding": pads})


@pytest.mark.parametrize("name", ANY_GEOMETRY)
@examples(15)
@given(case=convolutions(modes=("zeros",)))
def test_an_algorithm_agrees_with_loops(name: str, case: Convolution) -> None:
    if name == "matmul":
        case = one_tap(case)
    assume(supports(name, case))
    y = conv(case.x.astype(np.float32), case.kernel.astype(np.float32), algorithm=name, **case.options)
    np.testing.assert_allclose(y, case.expected(), rtol=2e-5, atol=2e-5)


CONFIGURATIONS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("fft", (2, 9, 8, 3), (4, 3, 3, 2), {"strides": 2, "kernel_dilation": 2, "padding": "SAME_LOWER"}),
    ("fft", (2, 9, 4), (4, 2, 6), {"feature_group_count": 2, "input_dilation": 2, "flip_kernel": True}),
    (
        "shifted",
        (2, 6, 5, 3),
        (3, 2, 1, 6),
        {"feature_group_count": 3, "strides": (2, 1), "padding": ((1, 3), (-1, 2))},
    ),
    ("shifted", (2, 6, 5, 1), (3, 2, 1, 4), {"kernel_dilation": 2, "input_dilation": 2}),
    ("grouped", (2, 6, 5, 8), (3, 2, 1, 16), {"feature_group_count": 8, "strides": 2}),
    ("grouped", (2, 6, 6), (3, 2, 9), {"feature_group_count": 3, "padding": "FULL"}),
    ("phases", (2, 6, 5, 3), (3, 2, 3, 4), {"strides": (2, 3), "padding": ((1, 3), (-1, 2))}),
    ("phases", (2, 6, 5, 3), (3, 2, 3, 4), {"input_dilation": (2, 3)}),
    ("depth", (2, 3, 4, 3, 2), (2, 3, 2, 2, 3), {"strides": (2, 1, 2), "kernel_dilation": (1, 2, 1)}),
    ("broadcast", (2, 6, 5, 3), (3, 2, 3, 4), {"strides": 2, "input_dilation": 2}),
    ("matmul", (2, 6, 5, 3), (1, 1, 3, 4), {"strides": 2, "padding": 1, "input_dilation": 2}),
    ("rows", (2, 6, 5, 3), (3, 2, 3, 4), {"strides": (1, 2), "padding": ((1, 3), (-1, 2))}),
]


# The other algorithms have rows in the table of public functions, which are differentiated to second order by default.
@pytest.mark.parametrize(
    ("name", "x_shape", "kernel_shape", "options"), default_rows(CONFIGURATIONS, keep=["depth", "broadcast", "rows"])
)
def test_derivatives_agree_with_those_of_xla(
    name: str, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Values, gradients and second derivatives, in float64."""
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        x, kernel = generator.standard_normal(x_shape), generator.standard_normal(kernel_shape)

        @functools.partial(jax.jit, static_argnums=0)
        def all_orders(algorithm: str, x: jax.Array, kernel: jax.Array) -> Any:
            def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
                return jnp.sum(jnp.sin(conv(x, kernel, algorithm=algorithm, **options)))

            first = jax.grad(loss, (0, 1))
            norm = jax.grad(lambda x, kernel: sum(jnp.sum(g**2) for g in first(x, kernel)), (0, 1))
            return loss(x, kernel), first(x, kernel), norm(x, kernel)

        found, expected = all_orders(name, x, kernel), all_orders("xla", x, kernel)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, expected)


def test_the_spectrum_of_a_large_kernel_is_accurate() -> None:
    """With 961 taps, the error in float32 stays near 1e-6 of the largest result."""
    generator = np.random.default_rng(0)
    x, kernel = generator.standard_normal((1, 64, 64, 4)), generator.standard_normal((31, 31, 4, 4))
    with jax.enable_x64(True):
        exact = np.asarray(conv(x, kernel, algorithm="xla"))
    y = conv(x.astype(np.float32), kernel.astype(np.float32), algorithm="fft")
    assert np.abs(y - exact).max() < 5e-6 * np.abs(exact).max()


def test_a_result_wider_than_the_operands() -> None:
    """float32 arrays summed in float64, for shapes whose usual algorithm supports float32 results only."""
    x, kernel = np.ones((64, 32, 32, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
    assert explain_conv(x.shape, kernel.shape, platform="cpu").algorithm == "winograd"
    with jax.enable_x64(True):
        wide = functools.partial(conv, preferred_element_type=jnp.float64)
        assert jax.jit(wide).lower(x, kernel).out_info.dtype == jnp.float64
        y = wide(x[:1, :8, :8], kernel)
    np.testing.assert_array_equal(y[0, 1:-1, 1:-1], np.full((6, 6, 64), 576.0))


def test_complex_numbers() -> None:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)

    x, kernel = draw(2, 7, 2), draw(3, 1, 4)
    found = [
        np.asarray(conv(x, kernel, feature_group_count=2, algorithm=name))
        for name in ("xla", "fft", "shifted", "grouped")
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["shifted", "fft"])
def test_half_precision_is_summed_in_float32(name: str) -> None:
    """256 + 1 rounds to 256 in bfloat16: a sum in bfloat16 would lose 49 ones."""
    x = jnp.ones((7, 7, 2), jnp.bfloat16).at[0, 0].set(256)
    y = conv(x, jnp.ones((7, 7, 1, 2), jnp.bfloat16), padding="VALID", feature_group_count=2, algorithm=name)
    np.testing.assert_array_equal(y.astype(jnp.float32), np.full((1, 1, 2), 304))


@pytest.mark.parametrize(
    ("name", "groups"),
    default_rows([("xla", 1), ("fft", 2), ("shifted", 2), ("grouped", 2), ("auto", 2)], keep=["grouped", "auto"]),
)
@pytest.mark.parametrize(
    "split", default_rows([(("data", None),), ((None, "data"),), (("data", "model"),)], keep=[("data", "model")])
)
def test_two_batch_axes_under_an_explicit_mesh(name: str, groups: int, split: tuple[str | None, str | None]) -> None:
    """Every split batch axis stays split, forward and backward, with a kernel that is not on the mesh.

    Groups in XLA's own convolution are left out: where an axis of the mesh splits nothing, XLA's kernel gradient is
    multiplied by the size of that axis (jax 0.10.2 and 0.12.0).
    """
    generator = np.random.default_rng(0)
    x = generator.standard_normal((4, 4, 5, 2)).astype(np.float32)
    kernel = generator.standard_normal((3, 2 // groups, 4)).astype(np.float32)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)

    def loss(x: jax.Array, kernel: jax.Array) -> Any:
        y = conv(x, kernel, feature_group_count=groups, algorithm=name)
        return jnp.sum(jnp.sin(y)), y

    expected, y_expected = jax.grad(loss, (0, 1), has_aux=True)(x, kernel)
    with jax.set_mesh(mesh):
        placed = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*split)))
        grads, y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(placed, kernel)
        assert tuple(y.sharding.spec)[:2] == split
        assert tuple(grads[0].sharding.spec)[:2] == split
    np.testing.assert_allclose(y, y_expected, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), grads, expected)


def test_groups_need_no_data_from_other_devices() -> None:
    """XLA's grouped convolution gathers the batch (openxla/xla#47945); the blocks of ``grouped`` do not."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x = jax.ShapeDtypeStruct((8, 6, 6, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.ShapeDtypeStruct((3, 3, 4, 8), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec()))
    program = jax.jit(functools.partial(conv, feature_group_count=2, algorithm="grouped"))
    assert "all-gather" not in program.lower(x, kernel).compile().as_text()


PICKS: list[tuple[set[str], dict[str, Any]]] = [
    ({"shifted"}, {"x_shape": (8, 32, 32, 64), "kernel_shape": (3, 3, 1, 64), "feature_group_count": 64}),
    ({"shifted"}, {"x_shape": (8, 32, 32, 64), "kernel_shape": (7, 7, 1, 64), "feature_group_count": 64, "strides": 2}),
    ({"shifted"}, {"x_shape": (8, 32, 32, 64), "kernel_shape": (31, 31, 1, 64), "feature_group_count": 64}),
    ({"grouped"}, {"x_shape": (8, 32, 32, 64), "kernel_shape": (3, 3, 4, 64), "feature_group_count": 16}),
    ({"xla", "matmul"}, {"x_shape": (8, 32, 32, 64), "kernel_shape": (1, 1, 64, 64), "strides": 2}),
    ({"xla"}, {"x_shape": (8, 64, 64, 32), "kernel_shape": (31, 31, 32, 32), "dtype": jnp.int32}),
    # LeNet-5 at batch 128 and the stem of ResNet: few input channels, so XLA's kernel gradient transposes little.
    ({"xla"}, {"x_shape": (128, 28, 28, 1), "kernel_shape": (5, 5, 1, 6), "operation": "kernel_grad"}),
    ({"xla"}, {"x_shape": (128, 14, 14, 6), "kernel_shape": (5, 5, 6, 16), "operation": "kernel_grad"}),
    # One image of ResNeXt: four channels per group, and 32 groups, which fill the registers.
    (
        {"partial_sums"},
        {
            "x_shape": (1, 56, 56, 128),
            "kernel_shape": (3, 3, 4, 128),
            "feature_group_count": 32,
            "operation": "kernel_grad",
        },
    ),
    # Planes smaller than their window, for which XLA exchanges image and kernel.
    (
        {"xla"},
        {
            "x_shape": (16, 4, 4, 4, 96),
            "kernel_shape": (3, 3, 3, 96, 32),
            "padding": "VALID",
            "operation": "input_grad",
        },
    ),
    # The last stages of MobileNetV2 on CIFAR: XLA exchanges image and kernel, and computes the gradients of all pairs.
    ({"shifted"}, {"x_shape": (1, 2, 2, 576), "kernel_shape": (3, 3, 1, 576), "feature_group_count": 576}),
    (
        {"shifted", "partial_sums"},
        {
            "x_shape": (1, 1, 1, 960),
            "kernel_shape": (3, 3, 1, 960),
            "feature_group_count": 960,
            "operation": "kernel_grad",
        },
    ),
    # Without AVX-512, XLA's kernel gradient over two axes takes two to five times as long as these algorithms.
    ({"winograd"}, {"x_shape": (64, 16, 16, 64), "kernel_shape": (3, 3, 64, 64), "operation": "kernel_grad"}),
    (
        {"im2col"},
        {
            "x_shape": (4, 24, 30, 768),
            "kernel_shape": (3, 3, 768, 96),
            "kernel_dilation": 2,
            "operation": "kernel_grad",
        },
    ),
    ({"xla"}, {"x_shape": (16, 427, 128), "kernel_shape": (5, 128, 128), "operation": "kernel_grad"}),
    ({"winograd"}, {"x_shape": (64, 32, 32, 64), "kernel_shape": (3, 3, 64, 64), "operation": "kernel_grad"}),
]


@pytest.mark.parametrize(("expected", "call"), PICKS)
def test_auto_on_a_cpu(monkeypatch: pytest.MonkeyPatch, expected: set[str], call: dict[str, Any]) -> None:
    monkeypatch.setattr(_xla_cost, "AVX512", False)
    choice = explain_conv(**call, platform="cpu")
    assert choice.algorithm in expected
    assert choice.reason
    assert {candidate.algorithm for candidate in choice.candidates} == set(conv_algorithms())
    assert explain_conv(**call, platform="tpu").algorithm == "xla"


def test_a_program_has_the_algorithm_of_its_platform() -> None:
    """The algorithm is selected when the program is lowered for a platform."""

    def lowered(function: Any, *shapes: tuple[int, ...], platform: str = "cpu") -> str:
        structs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        return jax.jit(function).trace(*structs).lower(lowering_platforms=(platform,)).as_text()

    depthwise = functools.partial(conv, feature_group_count=64)
    assert "stablehlo.convolution" not in lowered(depthwise, (8, 32, 32, 64), (3, 3, 1, 64))
    assert "stablehlo.convolution" in lowered(depthwise, (8, 32, 32, 64), (3, 3, 1, 64), platform="tpu")
    back = functools.partial(conv_transpose, feature_group_count=64)
    assert "stablehlo.convolution" not in lowered(back, (8, 32, 32, 64), (3, 3, 1, 64))
    assert "stablehlo.convolution" not in lowered(depthwise, (8, 64, 64, 64), (31, 31, 1, 64))
    assert "stablehlo.fft" in lowered(functools.partial(conv, algorithm="fft"), (8, 8, 2), (3, 3, 2, 2))


def test_lengths_of_transforms_are_smooth() -> None:
    smooth = {2**a * 3**b * 5**c for a in range(12) for b in range(8) for c in range(6)}
    for size in range(1, 1000):
        assert fast_length(size) == min(length for length in smooth if length >= size)
