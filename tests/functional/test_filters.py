"""The kernels of image processing against SciPy's filters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jaxcnn import functional as F
from jaxcnn._errors import ShapeError
from jaxcnn.functional import filters
from tests.compiled import compiled
from tests.examples import examples
from tests.oracles import filters as oracle
from tests.tiers import default_rows

IMAGE = np.random.default_rng(0).standard_normal((9, 8))
VOLUME = np.random.default_rng(1).standard_normal((5, 6, 7))
MODES = sorted(oracle.MODES)


def filtered(image: np.ndarray, kernel: Any, **options: Any) -> np.ndarray:
    """The filtered image, without batch and channels, in float64."""
    with jax.enable_x64(True):
        kernel = np.asarray(kernel).astype(np.float64)
        return np.asarray(compiled(filters.apply_filter)(image[..., None], kernel, **options))[..., 0]


@given(
    ndim=st.integers(1, 3),
    batch=st.lists(st.integers(1, 2), max_size=2),
    channels=st.integers(1, 3),
    padding_mode=st.sampled_from(MODES),
    data=st.data(),
)
@examples(25)
def test_apply_filter_is_scipys_for_each_channel(
    ndim: int, batch: list[int], channels: int, padding_mode: str, data: st.DataObject
) -> None:
    sizes = data.draw(st.tuples(*[st.integers(3, 6)] * ndim))
    window = data.draw(st.tuples(*[st.sampled_from([1, 3, 5])] * ndim))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    x, kernel = generator.standard_normal((*batch, *sizes, channels)), generator.standard_normal(window)
    with jax.enable_x64(True):
        y = jax.jit(lambda x, kernel: filters.apply_filter(x, kernel, padding_mode=padding_mode))(x, kernel)
    np.testing.assert_allclose(y, oracle.apply_filter(x, kernel, padding_mode=padding_mode), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("padding_mode", default_rows(MODES, keep=MODES[:1]))
@pytest.mark.parametrize("name", ["sobel", "prewitt"])
@pytest.mark.parametrize("image", [IMAGE, VOLUME, IMAGE[0]], ids=["2-D", "3-D", "1-D"])
def test_derivatives_are_scipys(image: np.ndarray, name: str, padding_mode: str) -> None:
    for axis in range(image.ndim):
        kernel = getattr(filters, name)(axis=axis, ndim=image.ndim)
        expected = getattr(ndimage, name)(image, axis=axis, mode=oracle.MODES[padding_mode])
        np.testing.assert_allclose(filtered(image, kernel, padding_mode=padding_mode), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["sobel", "prewitt"])
def test_a_derivative_is_positive_where_values_rise(name: str) -> None:
    ramp = np.broadcast_to(np.arange(5.0)[:, None], (5, 4))
    rising = filtered(ramp, getattr(filters, name)(axis=0), padding="VALID")
    assert (rising > 0).all()
    np.testing.assert_array_equal(filtered(ramp, getattr(filters, name)(axis=1), padding="VALID"), 0)
    np.testing.assert_array_equal(filtered(ramp.T, getattr(filters, name)(axis=-1), padding="VALID"), rising.T)


@pytest.mark.parametrize("image", [IMAGE, VOLUME, IMAGE[0]], ids=["2-D", "3-D", "1-D"])
def test_the_laplacian_is_scipys(image: np.ndarray) -> None:
    expected = ndimage.laplace(image, mode="mirror")
    got = filtered(image, filters.laplacian(ndim=image.ndim), padding_mode="reflect")
    np.testing.assert_allclose(got, expected, atol=1e-12)
    corners = filters.laplacian(ndim=image.ndim, diagonals=True)
    assert corners.sum() == 0 and corners[(1,) * image.ndim] == 1 - 3**image.ndim
    assert (np.delete(corners.reshape(-1), corners.size // 2) == 1).all()


@pytest.mark.parametrize("padding_mode", default_rows(MODES, keep=MODES[:1]))
@pytest.mark.parametrize("sigma", [0.7, (0.5, 1.2)])
def test_gaussian_is_scipys_truncated(sigma: Any, padding_mode: str) -> None:
    """SciPy truncates at ``truncate * sigma`` and divides by the sum, on each axis."""
    expected = ndimage.gaussian_filter(IMAGE, sigma, mode=oracle.MODES[padding_mode], radius=2)
    with jax.enable_x64(True):
        kernel = filters.gaussian((5, 5), sigma=sigma)
    np.testing.assert_allclose(filtered(IMAGE, kernel, padding_mode=padding_mode), expected, atol=1e-12)
    assert kernel.dtype == jnp.float64


@pytest.mark.parametrize("window", [(3, 3), (5, 1), (1, 3)])
def test_box_is_scipys_uniform_filter(window: tuple[int, int]) -> None:
    with jax.enable_x64(True):
        kernel = filters.box(window)
    expected = ndimage.uniform_filter(IMAGE, window, mode="nearest")
    np.testing.assert_allclose(filtered(IMAGE, kernel, padding_mode="edge"), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "total"),
    [
        (lambda: filters.box((3, 3)), 1),
        (lambda: filters.box((2, 4, 3)), 1),
        (lambda: filters.gaussian((5, 5), sigma=1.0), 1),
        (lambda: filters.gaussian((4,), sigma=3.0), 1),
        (lambda: filters.gaussian((3, 2, 5), sigma=(0.5, 1, 2)), 1),
        (lambda: filters.gaussian((4, 3), sigma=1e-30), 1),
        (lambda: filters.sharpen(), 1),
        (lambda: filters.sharpen(amount=0.3, ndim=3), 1),
        (lambda: filters.high_pass((3, 5)), 0),
        (lambda: filters.high_pass(), 0),
        (lambda: filters.laplacian(), 0),
        (lambda: filters.sobel(axis=0), 0),
        (lambda: filters.prewitt(axis=2, ndim=3), 0),
    ],
)
def test_sums(make: Callable[[], jax.Array], total: float) -> None:
    kernel = jax.jit(make)()
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel.sum(), total, atol=1e-6)


def test_high_pass_and_sharpen_are_what_they_say() -> None:
    high = IMAGE - ndimage.uniform_filter(IMAGE, 3, mode="mirror")
    np.testing.assert_allclose(filtered(IMAGE, filters.high_pass((3, 3)), padding_mode="reflect"), high, atol=1e-6)
    sharp = IMAGE - 0.5 * ndimage.laplace(IMAGE, mode="mirror")
    np.testing.assert_allclose(filtered(IMAGE, filters.sharpen(amount=0.5), padding_mode="reflect"), sharp, atol=1e-12)


def test_an_even_gaussian_is_symmetric_about_its_middle() -> None:
    kernel = filters.gaussian((4, 4), sigma=1.0)
    np.testing.assert_array_equal(kernel, kernel[::-1])
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_allclose(kernel[0, 0] / kernel[1, 1], np.exp(-(1.5**2 - 0.5**2)), rtol=1e-6)


@given(
    window=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    wavelength=st.floats(2, 9),
    sigma=st.floats(0.5, 4),
    orientation=st.floats(-4, 4),
    aspect=st.floats(0.2, 3),
    phase=st.floats(-4, 4),
)
@examples(15)
def test_gabor_is_daugmans(window: tuple[int, int], **options: float) -> None:
    with jax.enable_x64(True):
        kernel = jax.jit(lambda options: filters.gabor(window, **options))(options)
    np.testing.assert_allclose(kernel, oracle.gabor(window, **options), atol=1e-12)


def test_gabor_answers_to_its_orientation_and_wavelength() -> None:
    """A grating along axis 0 excites the filter rotated by a quarter turn, and not the filter along axis 1."""
    grating = np.broadcast_to(np.cos(2 * np.pi * np.arange(40) / 5)[:, None], (40, 40))
    options = {"sigma": 3.0, "wavelength": 5.0}
    with_it = filters.gabor((15, 15), orientation=np.pi / 2, **options)
    across = filters.gabor((15, 15), orientation=0.0, **options)
    strength = np.abs(filtered(grating, with_it, padding="VALID")).max()
    assert strength > 20 * np.abs(filtered(grating, across, padding="VALID")).max()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_integer_images_become_floating(dtype: Any) -> None:
    image = (np.random.default_rng(2).integers(0, 2, (6, 6, 2)) * 200).astype(dtype)
    y = filters.apply_filter(image, filters.sobel(axis=0), padding="VALID")
    assert y.dtype == jnp.float32
    expected = oracle.apply_filter(image.astype(float), np.asarray(filters.sobel(axis=0), float), padding_mode="zeros")
    np.testing.assert_array_equal(y, expected[1:-1, 1:-1])
    assert filters.apply_filter(image, np.ones((3, 3), np.int32)).dtype == jnp.float32


def test_dtypes_of_kernels() -> None:
    assert filters.box((3,), dtype=jnp.bfloat16).dtype == jnp.bfloat16
    assert filters.sobel(dtype=jnp.float16).dtype == jnp.float16
    assert filters.laplacian(dtype=jnp.int8).tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert filters.gaussian((3, 3), sigma=jnp.array(1.0, jnp.bfloat16)).dtype == jnp.bfloat16
    assert filters.gaussian((3, 3), sigma=2).dtype == jnp.float32
    x = jnp.ones((4, 4, 1), jnp.bfloat16)
    assert filters.apply_filter(x, filters.sobel()).dtype == jnp.float32
    assert filters.apply_filter(x, filters.sobel(dtype=x.dtype)).dtype == jnp.bfloat16


def test_the_submodule_is_where_the_design_says() -> None:
    assert F.filters is filters
    assert not any(hasattr(F, name) for name in filters.__all__)


X = np.ones((4, 4, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: filters.apply_filter(X[..., 0], filters.sobel()),
            ShapeError,
            r"apply_filter: kernel.shape=\(3, 3\) has 2 axes, all of them spatial, so x must have the shape "
            r"\(\*batch, n0, n1, "
            r"channels\), but x.shape=\(4, 4\). Is the channel axis missing\? Try x\[..., None\]",
        ),
        (lambda: filters.apply_filter(X, np.float32(1)), ShapeError, "apply_filter: .* but is a scalar"),
        (
            lambda: filters.apply_filter(X, np.ones((5, 5)), padding="VALID"),
            ShapeError,
            "apply_filter: on spatial axis 0 the window of 5 is larger than the input of 4",
        ),
        (lambda: filters.apply_filter(X, filters.sobel(), padding_mode="egde"), ValueError, r"apply_filter.*'edge'\?"),
        (lambda: filters.box((3, 3), dtype=jnp.int32), TypeError, "box: dtype=int32 does not hold .* a floating dtype"),
        (lambda: filters.high_pass(dtype=jnp.int8), TypeError, "high_pass: dtype=int8 does not hold the entries"),
        (lambda: filters.gaussian((3,), sigma=1.0, dtype=jnp.uint8), TypeError, "gaussian: dtype=uint8 does not hold"),
        (lambda: filters.sharpen(amount=0.3, dtype=jnp.int32), TypeError, "sharpen: dtype=int32 does not hold the"),
        (lambda: filters.sobel(dtype=jnp.uint8), TypeError, "sobel: dtype=uint8 does .* floating dtype or signed int"),
        (lambda: filters.laplacian(dtype=jnp.uint8), TypeError, "laplacian: dtype=uint8 does not hold the entries"),
        (lambda: filters.box(3), ShapeError, r"box: window_shape=3 can be read as \(3,\)"),
        (lambda: filters.gaussian((3, 0), sigma=1.0), ShapeError, "gaussian: window_shape"),
        (lambda: filters.gaussian((3, 3), sigma=0.0), ValueError, "gaussian: sigma=0.0 must be positive"),
        (lambda: filters.gaussian((3, 3), sigma=(1.0, -2)), ValueError, r"sigma=\(1.0, -2\) must be positive"),
        (lambda: filters.gaussian((3, 3), sigma=np.array([1.0, 0])), ValueError, r"sigma=array.* must be positive"),
        (lambda: filters.gaussian((3, 3), sigma=jnp.array(-1.0)), ValueError, r"sigma=Array.* must be positive"),
        (lambda: filters.gaussian((3, 3), sigma=float("nan")), ValueError, "sigma=nan must be positive"),
        (lambda: filters.gaussian((3, 3), sigma=(1.0, 1, 1)), ShapeError, r"sigma has shape \(3,\), but .* has 2 axes"),
        (lambda: filters.sobel(axis=2), ShapeError, "sobel: axis=2 is not one of 2 spatial axes. Pass ndim=3"),
        (lambda: filters.prewitt(axis=1.0), TypeError, "prewitt: axis must be an integer"),
        (lambda: filters.laplacian(ndim=0), ShapeError, "laplacian: ndim=0 must be at least 1"),
        (lambda: filters.sharpen(ndim=1.5), TypeError, "sharpen: ndim must be an integer"),
        (lambda: filters.high_pass((3, 4)), ShapeError, r"high_pass: window_shape=\(3, 4\) has no centre"),
        (lambda: filters.gabor((5,), wavelength=3.0, sigma=1.0), ShapeError, "gabor: .* must have two sizes"),
        (lambda: filters.gabor((5, 5), wavelength=0, sigma=1.0), ValueError, "gabor: wavelength=0 must be positive"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
