"""nn.ConvTranspose against flax.linen.ConvTranspose: the same arguments, variables and numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import nn
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv_transpose
from tests.nn.test_conv import arguments
from tests.tiers import default_rows


def test_arguments_are_those_of_flax() -> None:
    assert arguments(nn.ConvTranspose, leave_out={"algorithm"}) == arguments(linen.ConvTranspose, leave_out=set())


TABLE: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 5, 4, 3), {"kernel_size": (3, 3), "strides": (2, 2)}),
    ((2, 5, 4, 3), {"kernel_size": (4, 2), "strides": (2, 3), "padding": "VALID"}),
    ((2, 5, 3), {"kernel_size": (2,), "strides": (4,), "padding": "VALID"}),
    ((2, 5, 3), {"kernel_size": (2,), "strides": (5,), "padding": "SAME"}),
    ((2, 5, 3), {"kernel_size": (4,), "strides": (2,), "padding": 1}),
    ((2, 5, 3), {"kernel_size": (4,), "strides": (2,), "padding": ((3, 1),)}),
    ((2, 5, 4, 3), {"kernel_size": (3, 4), "strides": (2, 1), "padding": (1, (2, 0)), "kernel_dilation": (2, 1)}),
    ((2, 5, 4, 3), {"kernel_size": (6, 5), "strides": (2, 2), "padding": "CIRCULAR"}),
    ((2, 3, 3), {"kernel_size": (9,), "strides": (1,), "padding": "CIRCULAR"}),
    ((2, 7, 3), {"kernel_size": (2,), "strides": (3,), "padding": "CIRCULAR"}),
    ((5, 4, 3), {"kernel_size": (3, 3), "strides": (2, 2)}),
    ((2, 2, 5, 3), {"kernel_size": (3,), "strides": (2,), "padding": "CIRCULAR"}),
    ((2, 3, 2, 2, 2), {"kernel_size": (2, 3, 2), "strides": (2, 1, 2), "use_bias": False}),
    ((2, 5, 3), {"kernel_size": (3,), "dtype": jnp.bfloat16}),
    ((2, 5, 3), {"kernel_size": (3,), "preferred_element_type": jnp.float32, "dtype": jnp.float16}),
    ((2, 5, 3), {"kernel_size": (3,), "mask": np.eye(3)[..., None].repeat(3, 2)}),
]


# The default tier has one row for each of two kinds of padding, and two rows with options.
BY_DEFAULT = (1, 5, 12, 15)


@pytest.mark.parametrize("transpose_kernel", default_rows([False, True], keep=[False]))
@pytest.mark.parametrize(
    ("shape", "options"),
    [pytest.param(*row, marks=() if number in BY_DEFAULT else pytest.mark.gate) for number, row in enumerate(TABLE)],
)
def test_variables_and_numbers_are_those_of_flax(
    shape: tuple[int, ...], options: dict[str, Any], transpose_kernel: bool
) -> None:
    options = {"features": 3, "transpose_kernel": transpose_kernel, **options}
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    theirs, ours = linen.ConvTranspose(**options), nn.ConvTranspose(**options)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        drawn = jax.jit(theirs.init)(jax.random.key(0), x)
        generator = np.random.default_rng(2)
        variables = jax.tree.map(
            lambda leaf: np.asarray(leaf) + generator.standard_normal(leaf.shape).astype(leaf.dtype), drawn
        )
        expected = np.asarray(jax.jit(theirs.apply)(variables, x))
    ours_drawn = jax.jit(ours.init)(jax.random.key(0), x)
    y = np.asarray(jax.jit(ours.apply)(variables, x))
    jax.tree.map(np.testing.assert_array_equal, ours_drawn, drawn)
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    close = 2e-5 if options.get("dtype") is None else 3e-2
    np.testing.assert_allclose(y.astype(np.float32), expected.astype(np.float32), rtol=close, atol=close)


@pytest.mark.parametrize(
    ("window", "stride", "pad", "extra", "dilation"), [(3, 2, 1, 1, 1), (4, 2, 1, 0, 1), (3, 3, 2, 2, 2)]
)
def test_options_of_pytorch_in_words_of_flax(window: int, stride: int, pad: int, extra: int, dilation: int) -> None:
    """The sentence of the docstring about PyTorch's padding and output_padding."""
    span = dilation * (window - 1) + 1
    layer = nn.ConvTranspose(
        2,
        (window,),
        (stride,),
        padding=((span - 1 - pad, span - 1 - pad + extra),),
        kernel_dilation=(dilation,),
        transpose_kernel=True,
    )
    x = jax.random.normal(jax.random.key(1), (2, 5, 3))
    y, variables = layer.init_with_output(jax.random.key(0), x)
    expected = conv_transpose(
        x,
        variables["params"]["kernel"],
        strides=stride,
        padding=pad,
        output_padding=extra,
        kernel_dilation=dilation,
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_with_transpose_kernel_it_is_conv_transpose(padding: str) -> None:
    x = jax.random.normal(jax.random.key(1), (2, 5, 4, 3))
    layer = nn.ConvTranspose(6, (3, 4), (2, 2), padding, transpose_kernel=True)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    expected = conv_transpose(x, variables["params"]["kernel"], strides=2, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


X = jnp.ones((2, 4, 4, 3))
MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (nn.ConvTranspose(4, 3), ShapeError, r"ConvTranspose: kernel_size=3 can be read as"),
    (
        nn.ConvTranspose(4, (3, 3), padding="REFLECT"),
        ValueError,
        "padding='REFLECT' is not known. Known: 'SAME', 'VALID'",
    ),
    (
        nn.ConvTranspose(4, (3, 3), strides=(2,)),
        ShapeError,
        r"strides=\(2,\) has 1 entries but there are 2 spatial axes",
    ),
    (nn.ConvTranspose(4, (3, 3), strides=(2, 0.5)), TypeError, "strides must be an integer, not 0.5"),
    (nn.ConvTranspose(4, (3, 3), padding=-3), ShapeError, "would be empty"),
    (
        nn.ConvTranspose(4, (3, 3), mask=np.ones(3)),
        ShapeError,
        r"ConvTranspose: mask must have the shape of the kernel",
    ),
]


@pytest.mark.parametrize(("layer", "kind", "message"), MISTAKES)
def test_mistakes(layer: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer.init(jax.random.key(0), X)
