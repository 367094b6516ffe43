"""Correlation and convolution of signals against loops over their definitions and against SciPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from jaxcnn import functional
from jaxcnn._errors import ShapeError
from tests.compiled import compiled
from tests.examples import examples
from tests.oracles import signal as oracle
from tests.tiers import default_rows

autocorrelate = compiled(functional.autocorrelate)
convolve = compiled(functional.convolve)
correlate = compiled(functional.correlate)

MODES = ("full", "same", "valid")

FUNCTIONS = {"correlate": correlate, "convolve": convolve}


def draw_array(generator: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if kind == "integer":
        return generator.integers(-9, 10, shape)
    values = generator.standard_normal(shape)
    return values + 1j * generator.standard_normal(shape) if kind == "complex" else values


@st.composite
def pairs(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays with the same number of axes; either may be the larger one, or each on another axis."""
    ndim = draw(st.integers(1, 3))
    shapes = [draw(st.tuples(*[st.integers(1, 6 if ndim < 3 else 3)] * ndim)) for _ in range(2)]
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(["real", "complex", "integer"]))
    return draw_array(generator, shapes[0], kind), draw_array(generator, shapes[1], kind)


@given(pairs(), st.sampled_from(sorted(FUNCTIONS)))
@examples(30)
def test_full_against_sums(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    with jax.enable_x64(True):
        z = jax.jit(FUNCTIONS[name])(*pair)
    expected = getattr(oracle, f"{name}_full")(*pair)
    assert z.dtype == expected.dtype
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=0 if z.dtype.kind == "i" else 1e-12)


@given(pairs(), st.sampled_from(sorted(FUNCTIONS)), st.sampled_from(MODES), st.sampled_from(["direct", "fft"]))
@examples(60)
def test_modes_against_scipy(pair: tuple[np.ndarray, np.ndarray], name: str, mode: str, method: str) -> None:
    with jax.enable_x64(True):
        try:
            expected = getattr(signal, name)(*pair, mode=mode, method=method)
        except ValueError:  # neither array is at least as large as the other on every axis
            with pytest.raises(ShapeError, match="requires one array at least as large as the other on every axis"):
                FUNCTIONS[name](*pair, mode=mode)
            return
        z = jax.jit(FUNCTIONS[name], static_argnames="mode")(*pair, mode=mode)
    np.testing.assert_allclose(z, expected, rtol=1e-11, atol=1e-11)


SIZES = [(n, m) for n in range(1, 6) for m in range(1, 6)]


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(sizes, id=str(sizes), marks=() if set(sizes) <= {2, 3} or sizes == (4, 1) else pytest.mark.gate)
        for sizes in SIZES
    ],
)
def test_centring_of_short_signals_is_scipys(sizes: tuple[int, int]) -> None:
    """Every parity of both sizes, also with a larger second array.

    The signals are complex, so that errors of order and conjugation show.
    """
    generator = np.random.default_rng(sizes)
    x, y = (
        draw_array(generator, (size,), "integer") + 1j * draw_array(generator, (size,), "integer") for size in sizes
    )
    pairs = [(name, mode) for name in FUNCTIONS for mode in MODES]
    found = jax.jit(lambda x, y: [FUNCTIONS[name](x, y, mode=mode) for name, mode in pairs])(x, y)
    for (name, mode), z in zip(pairs, found, strict=True):
        np.testing.assert_array_equal(z, getattr(signal, name)(x, y, mode=mode), err_msg=f"{name}, {mode}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", default_rows(["real", "complex", "integer"], keep=["complex"]))
def test_autocorrelate_is_correlating_with_itself(kind: str, mode: str) -> None:
    x = draw_array(np.random.default_rng(4), (5, 4), kind)
    with jax.enable_x64(True):
        z = autocorrelate(x, mode=mode)
    np.testing.assert_allclose(z, signal.correlate(x, x, mode=mode), rtol=1e-12, atol=1e-12)
    if mode == "full":
        np.testing.assert_allclose(z, np.conj(z[::-1, ::-1]), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(z[4, 3], (abs(x) ** 2).sum(), rtol=1e-12)


def test_autocorrelation_finds_a_period() -> None:
    x = np.tile(np.random.default_rng(5).standard_normal(7), 6).astype(np.float32)
    lags = autocorrelate(x)[x.size - 1 :]
    assert int(jnp.argmax(lags[1:])) + 1 == 7


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", default_rows(["real", "complex"], keep=["complex"]))
def test_spectra_give_the_same(name: str, kind: str) -> None:
    generator = np.random.default_rng(6)
    x, y = draw_array(generator, (40,), kind), draw_array(generator, (65,), kind)
    with jax.enable_x64(True):
        for mode in MODES:
            direct, fft = (FUNCTIONS[name](x, y, mode=mode, algorithm=how) for how in ("xla", "fft"))
            np.testing.assert_allclose(fft, direct, rtol=1e-9, atol=1e-9)


def test_integers_are_exact_and_do_not_wrap() -> None:
    # floats of this length would be computed by spectra
    x, y = np.full(600, 255, np.uint8), np.full(600, 255, np.uint8)
    z = convolve(x, y)
    assert z.dtype == jnp.int32
    assert int(z.max()) == 600 * 255 * 255
    np.testing.assert_array_equal(z, signal.convolve(x.astype(np.int64), y.astype(np.int64), method="direct"))
    np.testing.assert_array_equal(convolve(np.array([True, True]), np.array([True, True])), [1, 2, 1])


@pytest.mark.parametrize(
    "dtypes", [(np.float32, np.complex64), (np.int8, np.float32), (np.float16, np.float32)], ids=str
)
def test_mixed_dtypes_promote(dtypes: tuple[Any, Any]) -> None:
    generator = np.random.default_rng(7)
    x, y = (draw_array(generator, (4,), "integer").astype(dtype) for dtype in dtypes)
    z = correlate(x, y)
    assert z.dtype == np.result_type(*dtypes)
    np.testing.assert_allclose(z, np.correlate(x.astype(complex), y.astype(complex), "full"), rtol=1e-6)


def test_convolution_commutes_and_correlation_turns_round(key: jax.Array) -> None:
    x, y = jax.random.normal(key, (5, 3)), jax.random.normal(jax.random.fold_in(key, 1), (2, 4))
    np.testing.assert_allclose(convolve(x, y), convolve(y, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(correlate(x, y), correlate(y, x)[::-1, ::-1], rtol=1e-5, atol=1e-6)


def test_batches_are_for_vmap(key: jax.Array) -> None:
    x, y = jax.random.normal(key, (3, 6)), jax.random.normal(jax.random.fold_in(key, 1), (4,))
    z = jax.vmap(lambda x: correlate(x, y, mode="same"))(x)
    for one, expected in zip(z, x, strict=True):
        np.testing.assert_allclose(one, correlate(expected, y, mode="same"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: correlate(np.ones(3), np.ones(2), mode="smae"),
            ValueError,
            "correlate: mode='smae'.*Did you.*'same'",
        ),
        (
            lambda: convolve(np.ones(3), np.ones((2, 2))),
            ShapeError,
            "convolve: both arrays must have the same number of",
        ),
        (lambda: autocorrelate(np.float32(1)), ShapeError, "autocorrelate: .* at least one"),
        (lambda: convolve(np.ones(0), np.ones(2)), ShapeError, r"convolve: an array is empty"),
        (
            lambda: correlate(np.ones((4, 2)), np.ones((2, 4)), mode="valid"),
            ShapeError,
            r'correlate: mode="valid" requires one .* shapes are \(4, 2\) and \(2, 4\). mode="full"',
        ),
        (lambda: convolve(np.ones(3), np.ones(2), algorithm="ftt"), ValueError, r"convolve: algorithm='ftt'.*'fft'"),
        (
            lambda: convolve(np.arange(3), np.arange(2), algorithm="fft"),
            ValueError,
            "convolve: algorithm='fft' does not support this: it rounds",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
