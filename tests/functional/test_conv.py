"""conv against loops, with JAX's names of padding, and in every dtype."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax import lax

from jaxcnn import functional
from jaxcnn._geometry import conv_output_shape
from jaxcnn.functional import _padding
from tests.compiled import compiled
from tests.examples import examples
from tests.functional.convolutions import Convolution, convolutions
from tests.oracles import conv as oracle
from tests.tiers import default_rows

conv = compiled(functional.conv)
dilate_and_pad = compiled(_padding.dilate_and_pad)

CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@examples(40)
@given(convolutions())
def test_conv_agrees_with_loops(case: Convolution) -> None:
    x, kernel = case.x.astype(np.float32), case.kernel.astype(np.float32)
    y = conv(x, kernel, **case.options)
    expected = case.expected()
    sizes = {name: value for name, value in case.options.items() if name not in ("padding_mode", "flip_kernel")}
    assert y.shape == expected.shape == conv_output_shape(x.shape, kernel.shape, **sizes)
    np.testing.assert_allclose(y, expected, **CLOSE)


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(
    ("stride", "window", "dilation"), default_rows([(1, 4, 1), (2, 3, 1), (2, 4, 2), (3, 2, 3), (4, 3, 1)], keep=[2, 3])
)
@pytest.mark.parametrize("size", default_rows([7, 10], keep=[10]))
def test_the_words_that_jax_knows_mean_the_same_here(
    padding: str, stride: int, window: int, dilation: int, size: int
) -> None:
    x, kernel = draw(1, size, 2), draw(window, 2, 3, seed=1)
    expected = lax.conv_general_dilated(
        x, kernel, (stride,), padding, rhs_dilation=(dilation,), dimension_numbers=("NHC", "HIO", "NHC")
    )
    y = conv(x, kernel, strides=stride, kernel_dilation=dilation, padding=padding)
    np.testing.assert_allclose(y, expected, **CLOSE)


def test_full_and_causal_padding() -> None:
    x, kernel = draw(5, 1), draw(3, 1, 1, seed=1)
    full = np.correlate(x[:, 0], kernel[:, 0, 0], "full")
    np.testing.assert_allclose(conv(x, kernel, padding="FULL")[:, 0], full, **CLOSE)
    causal = conv(x, kernel, padding="CAUSAL", kernel_dilation=2)
    for n in range(5):  # later entries have no influence
        later = np.where(np.arange(5)[:, None] > n, 100.0, x).astype(np.float32)
        np.testing.assert_array_equal(
            conv(later, kernel, padding="CAUSAL", kernel_dilation=2)[: n + 1], causal[: n + 1]
        )


def test_causal_padding_of_images_looks_up_and_left() -> None:
    gradient = jax.jit(jax.grad(lambda x: conv(x, np.ones((3, 3, 1, 1), np.float32), padding="CAUSAL")[2, 3, 0]))(
        np.ones((5, 5, 1), np.float32)
    )
    seen = np.zeros((5, 5))
    seen[:3, 1:4] = 1
    np.testing.assert_array_equal(np.asarray(gradient)[..., 0], seen)


def test_same_of_a_dilated_input_keeps_the_dilated_size() -> None:
    assert conv(draw(4, 1), draw(3, 1, 1), input_dilation=3).shape == (10, 1)
    assert conv(draw(4, 1), draw(3, 1, 1), input_dilation=3, strides=2).shape == (5, 1)


def test_flip_kernel_is_the_convolution_of_mathematics() -> None:
    x, kernel = draw(9), draw(4, seed=1)
    y = conv(x[:, None], kernel[:, None, None], flip_kernel=True, padding="FULL")[:, 0]
    np.testing.assert_allclose(y, np.convolve(x, kernel), **CLOSE)


@pytest.mark.parametrize("mode", ["reflect", "edge", "circular"])
@pytest.mark.parametrize("pads", default_rows([[2, 1], [7, 9], [-1, 3], [0, -2]], keep=[[7, 9], [-1, 3]]))
def test_padding_modes_are_those_of_numpy(mode: str, pads: list[int]) -> None:
    x = draw(2, 4, 3)
    padded = np.pad(x, [(0, 0), tuple(max(p, 0) for p in pads), (0, 0)], mode={"circular": "wrap"}.get(mode, mode))
    low, high = -min(pads[0], 0), padded.shape[1] + min(pads[1], 0)
    np.testing.assert_array_equal(dilate_and_pad(x, (tuple(pads),), padding_mode=mode), padded[:, low:high])


@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "circular"])
@pytest.mark.parametrize("pads", [pytest.param(((2, 1), (0, 0)), marks=pytest.mark.gate), ((7, -1), (1, 4))])
@pytest.mark.parametrize("dilation", [pytest.param((1, 1), marks=pytest.mark.gate), (2, 3)])
def test_the_adjoint_of_padding(mode: str, pads: Any, dilation: tuple[int, int]) -> None:
    options = {"input_dilation": dilation, "padding_mode": mode}
    x = draw(2, 4, 3, 2)
    g = draw(*jax.eval_shape(lambda x: _padding.dilate_and_pad(x, pads, **options), x).shape, seed=1)

    @jax.jit
    def both(x: jax.Array, g: jax.Array) -> Any:
        pull = jax.vjp(lambda x: _padding.dilate_and_pad(x, pads, **options), x)[1]
        return pull(g)[0], _padding.dilate_and_pad_adjoint(g, (4, 3), pads, **options)

    np.testing.assert_allclose(*both(x, g), **CLOSE)


def test_padding_modes_of_one_entry_repeat_it() -> None:
    for mode in ("reflect", "edge", "circular"):
        np.testing.assert_array_equal(conv(np.full((1, 1), 3.0), np.ones((3, 1, 1)), padding_mode=mode), [[9.0]])


def test_bias_is_added_per_channel() -> None:
    x, kernel, bias = draw(2, 5, 5, 3), draw(3, 3, 3, 4, seed=1), draw(4, seed=2)
    np.testing.assert_allclose(conv(x, kernel, bias=bias), conv(x, kernel) + bias[None, None, None], **CLOSE)


def test_batch_axes_are_examples() -> None:
    x, kernel = draw(2, 3, 5, 5, 2), draw(3, 3, 2, 4, seed=1)
    y = conv(x, kernel, strides=2)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(y[index], conv(x[index], kernel, strides=2), **CLOSE)


@pytest.mark.parametrize("algorithm", ["auto", "xla", "fft"])
def test_an_empty_batch_gives_an_empty_batch(algorithm: str) -> None:
    x, kernel = np.zeros((0, 5, 5, 2), np.float32), draw(3, 3, 2, 4)

    @jax.jit
    def both(x: jax.Array, kernel: jax.Array) -> Any:
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, algorithm=algorithm), x, kernel)
        return y, pull(y)

    y, (gx, gk) = both(x, kernel)
    assert y.shape == (0, 5, 5, 4)
    assert gx.shape == x.shape
    np.testing.assert_array_equal(gk, np.zeros_like(kernel))


INTEGERS = ["int8", "uint8", "int16", "uint16", "int32"]


@pytest.mark.parametrize("x_type", INTEGERS)
@pytest.mark.parametrize("kernel_type", default_rows(["int8", "uint8", "int32"], keep=["uint8"]))
def test_integers_are_summed_exactly(x_type: str, kernel_type: str) -> None:
    generator = np.random.default_rng(0)

    def extremes(dtype: str, *shape: int) -> np.ndarray:
        info = np.iinfo(dtype)
        return generator.integers(max(info.min, -(2**15)), min(info.max, 2**15), shape, dtype, endpoint=True)

    x, kernel = extremes(x_type, 2, 6, 3), extremes(kernel_type, 3, 3, 2)
    y = conv(x, kernel, padding=1)
    expected = oracle.conv(
        x.astype(np.int64),
        kernel.astype(np.int64),
        pads=((1, 1),),
        strides=(1,),
        input_dilation=(1,),
        kernel_dilation=(1,),
    )
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, expected.astype(np.int32))  # int32 sums wrap, as in all operations of JAX


@pytest.mark.parametrize("dtype", default_rows(["int8", "uint8"], keep=["int8"]))
@pytest.mark.parametrize(
    ("channels", "kernel_shape", "groups"),
    [(16, (3, 3, 16, 5), 1), (6, (3, 3, 1, 6), 6), (4, (7, 7, 1, 8), 4), (8, (3, 3, 2, 8), 4), (1, (40, 1, 1, 1), 1)],
)
def test_bytes_are_summed_exactly(channels: int, kernel_shape: tuple[int, ...], groups: int, dtype: str) -> None:
    """By the selected algorithm, whose operands are not converted first."""
    generator, info = np.random.default_rng(0), np.iinfo(dtype)
    x, kernel = (
        generator.integers(info.min, info.max, shape, dtype, endpoint=True)
        for shape in ((2, 48, 11, channels), kernel_shape)
    )
    pads = tuple(((k - 1) // 2, k // 2) for k in kernel_shape[:2])
    expected = oracle.conv(
        x.astype(np.int64),
        kernel.astype(np.int64),
        pads=pads,
        strides=(1, 1),
        input_dilation=(1, 1),
        kernel_dilation=(1, 1),
        groups=groups,
    )
    y = conv(x, kernel, padding=pads, feature_group_count=groups)
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("x_type", "kernel_type", "options", "expected"),
    [
        ("bfloat16", "float32", {}, "float32"),
        ("float32", "bfloat16", {}, "float32"),
        ("bfloat16", "float16", {}, "float32"),
        ("bfloat16", "bfloat16", {}, "bfloat16"),
        ("bfloat16", "bfloat16", {"preferred_element_type": "float32"}, "float32"),
        ("float32", "float32", {"preferred_element_type": "bfloat16"}, "bfloat16"),
        ("float16", "float16", {"preferred_element_type": "bfloat16"}, "bfloat16"),
        ("int8", "bfloat16", {}, "bfloat16"),
        ("uint8", "int8", {}, "int32"),
        ("int8", "int8", {"preferred_element_type": "int32"}, "int32"),
        ("uint8", "int8", {"preferred_element_type": "float32"}, "float32"),
        ("bool", "bool", {}, "int32"),
        ("bool", "float32", {}, "float32"),
        ("complex64", "float32", {}, "complex64"),
    ],
)
@pytest.mark.parametrize("algorithm", default_rows(["xla", "shifted"], keep=["xla"]))
def test_mixed_dtypes_promote(
    x_type: str, kernel_type: str, options: dict[str, Any], expected: str, algorithm: str
) -> None:
    x = np.random.default_rng(0).integers(0, 2, (2, 5, 1)).astype(jnp.dtype(x_type))
    kernel = np.random.default_rng(1).integers(0, 2, (3, 1, 2)).astype(jnp.dtype(kernel_type))
    y = conv(x, kernel, algorithm=algorithm, **options)
    assert y.dtype == expected
    expected_sums = np.asarray(conv(x.real.astype(np.float32), kernel.astype(np.float32)))
    np.testing.assert_array_equal(np.asarray(y).astype(np.complex64), expected_sums)


def test_a_bias_takes_part_in_promotion() -> None:
    x, kernel = jnp.ones((4, 1), jnp.int8), jnp.ones((1, 1, 1), jnp.int8)
    y = conv(x, kernel, bias=jnp.array([0.5], jnp.float32))
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, np.full((4, 1), 1.5))
    y = conv(x, kernel, bias=jnp.array([300], jnp.int32))
    np.testing.assert_array_equal(y, np.full((4, 1), 301))


def test_float64() -> None:
    with jax.enable_x64(True):
        x, kernel = draw(2, 5, 3).astype(np.float64), draw(3, 3, 2, seed=1).astype(np.float64)
        y = conv(x, kernel, padding=1)
        assert y.dtype == jnp.float64
        expected = oracle.conv(x, kernel, pads=((1, 1),), strides=(1,), input_dilation=(1,), kernel_dilation=(1,))
        np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)
        assert conv(x.astype(np.int8), kernel.astype(np.int8)).dtype == jnp.int32


def test_numpy_arrays_and_jax_arrays_are_one() -> None:
    x, kernel = draw(2, 5, 3), draw(3, 3, 2, seed=1)
    np.testing.assert_array_equal(conv(x, kernel), conv(jnp.asarray(x), jnp.asarray(kernel)))


def test_numpy_arrays_under_checkpoint_without_jit() -> None:
    x, kernel = draw(2, 5, 3), draw(3, 3, 2, seed=1)
    found = jax.checkpoint(lambda x: functional.conv(x, kernel))(x)
    np.testing.assert_allclose(found, conv(x, kernel), **CLOSE)
