"""conv_transpose against loops that scatter, and against the definition of the adjoint."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn import functional
from jaxcnn._geometry import conv_transpose_output_shape
from tests.compiled import compiled
from tests.examples import examples
from tests.oracles import conv as oracle
from tests.tiers import default_rows

conv = compiled(functional.conv)
conv_transpose = compiled(functional.conv_transpose)

CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def transposed(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes, options and output padding for any number of axes, with at least one output position."""
    ndim = draw(st.integers(1, 3))
    axes = []
    for _ in range(ndim):
        size, window = draw(st.integers(1, (6, 4, 3)[ndim - 1])), draw(st.integers(1, 4))
        stride, gap = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        extra = draw(st.integers(0, max(stride, gap) - 1))
        length = (size - 1) * stride + gap * (window - 1) + 1 + extra
        before = draw(st.integers(-2, 4))
        after = min(draw(st.integers(-2, 4)), length - before - 1)
        axes.append((size, window, stride, gap, extra, (before, after), length - before - after))
    sizes, window, strides, gaps, extra, pads, out = (tuple(column) for column in zip(*axes, strict=True))
    groups, batch = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([(), (2,), (1, 2)]))
    seed = draw(st.integers(0, 10_000))
    generator = np.random.default_rng(seed)
    reads, writes = draw(st.integers(1, 2)) * groups, draw(st.integers(1, 2))
    return {
        "x": generator.standard_normal((*batch, *sizes, reads)).astype(np.float32),
        "kernel": generator.standard_normal((*window, writes, reads)).astype(np.float32),
        "out": out,
        "flip": draw(st.booleans()),
        "options": {
            "strides": strides,
            "padding": pads,
            "output_padding": extra,
            "kernel_dilation": gaps,
            "feature_group_count": groups,
        },
    }


@examples(25)
@given(transposed())
def test_conv_transpose_agrees_with_scattering_loops(case: dict[str, Any]) -> None:
    x, kernel, options = case["x"], case["kernel"], case["options"]
    y = conv_transpose(x, kernel, flip_kernel=case["flip"], **options)
    taps = np.flip(kernel, tuple(range(kernel.ndim - 2))) if case["flip"] else kernel
    expected = oracle.conv_transpose(
        x,
        taps,
        out_sizes=case["out"],
        before=[before for before, _ in options["padding"]],
        strides=options["strides"],
        kernel_dilation=options["kernel_dilation"],
        groups=options["feature_group_count"],
    )
    assert y.shape == expected.shape == conv_transpose_output_shape(x.shape, kernel.shape, **options)
    np.testing.assert_allclose(y, expected, **CLOSE)


UNEVEN = ((0, 2), (-1, 1))


@pytest.mark.parametrize(
    "padding",
    default_rows(
        [("SAME",), ("SAME_LOWER",), ("VALID",), ("FULL",), ("CAUSAL",), (1,), (UNEVEN,)],
        keep=["SAME", "CAUSAL", UNEVEN],
    ),
)
@pytest.mark.parametrize(
    ("stride", "window", "dilation"), default_rows([(1, 3, 1), (2, 3, 1), (2, 4, 2), (4, 3, 1)], keep=[2])
)
@pytest.mark.parametrize("groups", default_rows([1, 2], keep=[2]))
def test_the_adjoint_of_conv_with_the_same_options(
    padding: Any, stride: int, window: int, dilation: int, groups: int
) -> None:
    options = {
        "strides": stride,
        "padding": padding,
        "kernel_dilation": dilation,
        "feature_group_count": groups,
        "flip_kernel": window == 4,
    }
    x, kernel = draw(2, 9, 8, 4), draw(window, window, 2 if groups == 1 else 1, 4, seed=1)
    y = conv_transpose(x, kernel, **options)
    u = draw(*y.shape, seed=2)
    forward = conv(u, kernel, **options)
    assert forward.shape == x.shape
    np.testing.assert_allclose(np.vdot(forward, x), np.vdot(u, y), rtol=1e-4)


@pytest.mark.parametrize(("stride", "window"), [(1, 3), (2, 3), (2, 4), (3, 1), (4, 2)])
@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER"])
def test_same_multiplies_the_size_by_the_stride(stride: int, window: int, padding: str) -> None:
    assert conv_transpose(draw(5, 2), draw(window, 3, 2), strides=stride, padding=padding).shape == (5 * stride, 3)


def test_it_is_the_gradient_of_conv() -> None:
    kernel, g = draw(3, 3, 2, 5, seed=1), draw(1, 4, 4, 5)
    x = jnp.zeros((1, 8, 8, 2))
    pulled = jax.vjp(lambda x: conv(x, kernel, strides=2), x)[1](jnp.asarray(g))[0]
    np.testing.assert_allclose(conv_transpose(g, kernel, strides=2), pulled, **CLOSE)


def test_output_padding_up_to_the_dilation_crops_less() -> None:
    """If the dilation exceeds the stride, more output padding is allowed than a forward convolution leaves over.

    PyTorch has the same rule.
    """
    x, kernel = draw(4, 2), draw(3, 1, 2, seed=1)
    whole = conv_transpose(x, kernel, padding="VALID", kernel_dilation=3)
    padded = conv_transpose(x, kernel, padding=((3, 3),), output_padding=2, kernel_dilation=3)
    np.testing.assert_allclose(padded, whole[3:9], **CLOSE)


def test_bias_and_integers() -> None:
    x, kernel = np.full((3, 1), 200, np.uint8), np.full((2, 1, 1), 100, np.uint8)
    y = conv_transpose(x, kernel, padding="VALID", bias=np.array([1], np.int32))
    np.testing.assert_array_equal(y[:, 0], [20001, 40001, 40001, 20001])


def test_mixed_dtypes_promote() -> None:
    y = conv_transpose(jnp.ones((3, 1), jnp.bfloat16), jnp.ones((2, 1, 1), jnp.float32))
    assert y.dtype == jnp.float32
    y = conv_transpose(jnp.ones((3, 1)), jnp.ones((2, 1, 1)), preferred_element_type=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert conv_transpose(np.zeros((0, 4, 4, 2), np.float32), draw(3, 3, 5, 2), strides=2).shape == (0, 8, 8, 5)


def test_a_padding_mode_is_refused_with_the_function_that_has_it() -> None:
    with pytest.raises(TypeError, match=r"conv_transpose.*padding_mode.*conv_input_grad"):
        conv_transpose(jnp.ones((4, 3)), jnp.ones((3, 2, 3)), padding_mode="reflect")  # type: ignore[call-arg]
