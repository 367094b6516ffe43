"""Extracting and folding windows: against loops, against ONNX's Col2Im, and as adjoints of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import patches_output_shape
from tests.compiled import compiled
from tests.examples import examples
from tests.oracles import patches as oracle
from tests.tiers import default_rows

conv = compiled(functional.conv)
extract_patches = compiled(functional.extract_patches)
fold_patches = compiled(functional.fold_patches)


@st.composite
def windows(draw: st.DrawFn) -> dict:
    """Options of 1, 2 or 3 axes with at least one position each; padding may crop."""
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        window, dilation = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3]))
        stride = draw(st.sampled_from([window, 1, 2, 3]))
        pads = draw(st.integers(-1, 3)), draw(st.integers(-1, 3))
        least = max(dilation * (window - 1) + 1 - sum(pads), -min(pads[0], 0) - min(pads[1], 0), 1)
        axes.append((least + draw(st.integers(0, 3)), window, stride, dilation, pads))
    sizes, window, strides, dilation, pads = (tuple(column) for column in zip(*axes, strict=True))
    batch = draw(st.sampled_from([(), (2,), (2, 1)]))
    return {
        "shape": (*batch, *sizes, 2),
        "sizes": sizes,
        "window": window,
        "strides": strides,
        "dilation": dilation,
        "pads": pads,
        "seed": draw(st.integers(0, 1000)),
    }


def options_of(case: dict) -> dict:
    return {"strides": case["strides"], "padding": case["pads"], "window_dilation": case["dilation"]}


def oracle_options(case: dict) -> dict:
    return {name: case[name] for name in ("strides", "pads", "dilation")}


SIDE_BY_SIDE = {
    "shape": (2, 5, 2),
    "sizes": (5,),
    "window": (3,),
    "strides": (3,),
    "dilation": (1,),
    "pads": ((1, 2),),
    "seed": 0,
}


@given(windows())
@example(SIDE_BY_SIDE)
@example({**SIDE_BY_SIDE, "pads": ((1, -1),)})
@examples(30)
def test_extract_and_fold_against_loops(case: dict) -> None:
    generator = np.random.default_rng(case["seed"])
    x = generator.integers(-9, 10, case["shape"]).astype(np.int32)
    expected = oracle.extract_patches(x, case["window"], **oracle_options(case))
    patches = jax.jit(lambda x: extract_patches(x, case["window"], **options_of(case)))(x)
    np.testing.assert_array_equal(patches, expected)
    assert patches_output_shape(x.shape, case["window"], **options_of(case)) == expected.shape
    given_back = generator.integers(-9, 10, expected.shape).astype(np.int32)
    options = {"output_shape": case["sizes"], "window_shape": case["window"], **options_of(case)}
    folded = jax.jit(lambda patches: fold_patches(patches, **options))(given_back)
    np.testing.assert_array_equal(
        folded,
        oracle.fold_patches(given_back, output_shape=case["sizes"], window=case["window"], **oracle_options(case)),
    )
    # <extract(x), p> == <x, fold(p)>, exactly, since these are integers
    assert int(np.sum(expected * given_back)) == int(np.sum(x * np.asarray(folded)))


@pytest.mark.parametrize(
    "window", [(3, 2), (2, 2), (6, 5)], ids=["overlapping", "side by side", "larger than their number"]
)
def test_each_is_the_gradient_of_the_other(window: tuple[int, int], key: jax.Array) -> None:
    with jax.enable_x64(True):
        x = jax.random.normal(key, (2, 7, 6, 3), jnp.float64)

        def extract(x: jax.Array) -> jax.Array:
            return extract_patches(x, window, strides=(2, 2), padding=((1, 0), (0, 1)))

        def fold(patches: jax.Array) -> jax.Array:
            return fold_patches(
                patches, output_shape=(7, 6), window_shape=window, strides=(2, 2), padding=((1, 0), (0, 1))
            )

        patches, pull_image = jax.vjp(jax.jit(extract), x)
        cotangent = jax.random.normal(jax.random.fold_in(key, 1), patches.shape, jnp.float64)
        image, pull_patches = jax.vjp(jax.jit(fold), cotangent)
        np.testing.assert_allclose(pull_image(cotangent)[0], image, rtol=1e-14)
        np.testing.assert_allclose(pull_patches(x)[0], patches, rtol=1e-14)


@pytest.mark.parametrize(
    "dtype",
    default_rows(
        ["uint8", "int8", "int32", "float16", "bfloat16", "float32", "bool", "complex64"],
        keep=["uint8", "bfloat16", "bool", "complex64"],
    ),
)
def test_extract_copies_every_dtype_unrounded(dtype: str) -> None:
    x = (np.random.default_rng(0).standard_normal((2, 5, 5, 3)) * 60).astype(jnp.dtype(dtype))
    patches = extract_patches(x, (2, 3), strides=1, padding="SAME")
    assert patches.dtype == x.dtype
    np.testing.assert_array_equal(patches[:, :, :, 0, 1], x)


def test_half_precision_sums_are_taken_in_float32() -> None:
    values = np.random.default_rng(0).standard_normal((1, 3, 9, 1)).astype(np.float32)
    half = jnp.asarray(values).astype(jnp.bfloat16)
    folded = fold_patches(half, output_shape=(11,), window_shape=(9,), strides=1)
    exact = fold_patches(half.astype(jnp.float32), output_shape=(11,), window_shape=(9,), strides=1)
    assert folded.dtype == jnp.bfloat16
    np.testing.assert_array_equal(folded, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    "padding",
    ["SAME_LOWER", *(pytest.param(p, marks=pytest.mark.gate) for p in ["VALID", "SAME", "FULL", "CAUSAL", 1]), (1, 2)],
)
def test_patches_times_kernel_is_convolution(padding: object, key: jax.Array) -> None:
    x = jax.random.normal(key, (2, 7, 6, 3))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (3, 2, 3, 4))
    patches = extract_patches(x, (3, 2), strides=(2, 1), padding=padding, window_dilation=(1, 2))
    product = jnp.einsum("nhwijc,ijco->nhwo", patches, kernel)
    expected = conv(x, kernel, strides=(2, 1), padding=padding, kernel_dilation=(1, 2))
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-5)


def onnx_col2im(
    columns: np.ndarray,
    image_shape: tuple[int, ...],
    block_shape: tuple[int, ...],
    *,
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    strides: tuple[int, ...],
) -> jax.Array:
    """ONNX's operator by functions of the library: ``(N, C * block, L)`` in, ``(N, C, *image)`` out."""
    ndim = len(image_shape)
    padding = tuple(zip(pads[:ndim], pads[ndim:], strict=True))
    spans = [d * (b - 1) + 1 for d, b in zip(dilations, block_shape, strict=True)]
    counts = [
        (n + sum(pad) - span) // s + 1 for n, pad, span, s in zip(image_shape, padding, spans, strides, strict=True)
    ]
    patches = columns.reshape(columns.shape[0], -1, *block_shape, *counts)
    image = fold_patches(
        np.moveaxis(np.moveaxis(patches, 1, -1), range(1, 1 + ndim), range(1 + ndim, 1 + 2 * ndim)),
        output_shape=image_shape,
        window_shape=block_shape,
        strides=strides,
        padding=padding,
        window_dilation=dilations,
    )
    return jnp.moveaxis(image, -1, 1)


def test_onnx_col2im_published_vector_with_pads() -> None:
    columns = (np.arange(15)[None] * 5 + np.arange(5)[:, None] + 1).astype(np.float32)[None]
    image = onnx_col2im(columns, (5, 5), (1, 5), dilations=(1, 1), pads=(0, 1, 0, 1), strides=(1, 1))
    expected = [
        [8, 21, 24, 27, 24],
        [38, 66, 69, 72, 54],
        [68, 111, 114, 117, 84],
        [98, 156, 159, 162, 114],
        [128, 201, 204, 207, 144],
    ]
    np.testing.assert_array_equal(image[0, 0], expected)


def test_onnx_col2im_with_asymmetric_pads_dilation_and_strides() -> None:
    """Column l of channel c is one window, placed entry by entry as in the specification."""
    image_shape, block, dilations, pads, strides = (5, 4), (2, 3), (2, 1), (1, 0, 0, 2), (2, 1)
    counts = ((5 + 1 - 3) // 2 + 1, (4 + 2 - 3) // 1 + 1)
    columns = np.random.default_rng(3).standard_normal((2, 3 * 6, counts[0] * counts[1])).astype(np.float32)
    expected = np.zeros((2, 3, *image_shape), np.float32)
    for channel in range(3):
        for entry in range(6):
            for location in range(counts[0] * counts[1]):
                row = location // counts[1] * 2 + entry // 3 * 2 - 1
                column = location % counts[1] + entry % 3
                if 0 <= row < 5 and 0 <= column < 4:
                    expected[:, channel, row, column] += columns[:, channel * 6 + entry, location]
    image = onnx_col2im(columns, image_shape, block, dilations=dilations, pads=pads, strides=strides)
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_no_batch_and_an_empty_batch() -> None:
    assert extract_patches(np.ones((5, 5, 1)), (2, 2), strides=1).shape == (4, 4, 2, 2, 1)
    empty = extract_patches(np.ones((0, 5, 5, 1)), (2, 2), strides=2)
    assert empty.shape == (0, 2, 2, 2, 2, 1)
    assert fold_patches(empty, output_shape=(5, 5), window_shape=(2, 2), strides=2).shape == (0, 5, 5, 1)


def test_a_large_window_is_a_slice_for_each_position() -> None:
    x = np.random.default_rng(0).standard_normal((300, 1)).astype(np.float32)
    program = jax.make_jaxpr(lambda x: extract_patches(x, (299,), strides=1))(x)
    assert len(program.eqns) < 10
    np.testing.assert_array_equal(extract_patches(x, (299,), strides=1)[1, :, 0], x[1:, 0])


IMAGE = np.zeros((8, 8, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: extract_patches(IMAGE, 3, strides=1), ShapeError, r"extract_patches: window_shape=3 can be read"),
        (lambda: extract_patches(IMAGE, (9, 3), strides=1), ShapeError, r"axis 0 the window of 9 is larger than .* 8"),
        (lambda: extract_patches(IMAGE, (3, 3), strides=0), ShapeError, r"strides=0 must be at least 1"),
        (lambda: extract_patches(IMAGE, (3, 3), strides=1.5), TypeError, r"strides must be an integer, not 1.5"),
        (lambda: extract_patches(IMAGE, (3, 3), strides=1, padding="smae"), ValueError, r"Did you mean 'SAME'\?"),
        (
            lambda: extract_patches(IMAGE[0, 0], (3, 3), strides=1),
            ShapeError,
            r"require at least 3 axes, but x has 1 \(x.shape=\(3,\)\). Is the channel axis missing\?",
        ),
        (
            lambda: fold_patches(np.zeros((3, 3, 2, 2, 1)), output_shape=(5, 5), window_shape=(2, 2), strides=1),
            ShapeError,
            r"an image of \(5, 5\) has windows \(\*batch, 4, 4, 2, 2, channels\).*patches.shape=\(3, 3, 2, 2, 1\)",
        ),
        (
            lambda: fold_patches(np.zeros((2, 2, 1)), output_shape=(3, 3), window_shape=(2, 2), strides=1),
            ShapeError,
            r"fold_patches: an image of \(3, 3\) has windows",
        ),
        (
            lambda: fold_patches(np.zeros((3, 3, 2, 2, 1)), output_shape=4, window_shape=(2, 2), strides=1),
            ShapeError,
            r"output_shape=4 is one integer; write the spatial shape",
        ),
        (
            lambda: fold_patches(np.zeros((3, 3, 2, 2, 1)), output_shape=(1, 4, 4, 1), window_shape=(2, 2), strides=1),
            ShapeError,
            r"differ in length. output_shape is spatial",
        ),
        (
            lambda: fold_patches(np.zeros((2, 3, 1), bool), output_shape=(4,), window_shape=(3,), strides=1),
            TypeError,
            r"fold_patches: booleans have no sum",
        ),
    ],
)
def test_mistakes(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
