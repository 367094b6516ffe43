"""Predictive sparse decomposition: a dictionary, and an encoder that predicts its sparse codes."""

import functools
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike
from jaxcnn._axes import as_int, int_per_axis
from jaxcnn._errors import check_choice
from jaxcnn.unsupervised._sparse_coding import analysis, check_steps, checked, fista, largest_curvature, synthesis

PSDParams = Mapping[str, jax.Array]
Nonlinearity = Literal["tanh", "shrink"]


def init_psd(key: jax.Array, window_shape: Sequence[int], *, channels: int, features: int) -> dict[str, jax.Array]:
    """Initial parameters of ``psd_loss`` and ``psd_encode``.

    Args:
        key: determines the kernels, which are normal with length 1.
        window_shape: height and width of a kernel.
        channels: of the images.
        features: number of kernels.

    Returns:
        ``decoder`` and ``encoder`` ``(*window_shape, channels, features)``; ``gain``, which is 1, and ``bias``, which
        is 0, ``(features,)``.

    Raises:
        ShapeError: a window that is not two sizes.
        ValueError: ``channels`` or ``features`` below 1.
        TypeError: sizes that are not integers.

    >>> {name: leaf.shape for name, leaf in init_psd(jax.random.key(0), (3, 3), channels=1, features=4).items()}
    {'bias': (4,), 'decoder': (3, 3, 1, 4), 'encoder': (3, 3, 1, 4), 'gain': (4,)}
    """
    window = int_per_axis(window_shape, 2, name="window_shape")
    for name, value in (("channels", channels), ("features", features)):
        if as_int(value, name=name) < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    both = jax.random.normal(key, (2, *window, channels, features))
    decoder, encoder = unit_length(both[0]), unit_length(both[1])
    return {"bias": jnp.zeros(features), "decoder": decoder, "encoder": encoder, "gain": jnp.ones(features)}


def unit_length(kernel: jax.Array) -> jax.Array:
    """The kernel with each of its output channels scaled to length 1."""
    squares = (kernel**2).sum((0, 1, 2), keepdims=True)
    return kernel * lax.rsqrt(jnp.maximum(squares, 1e-12))


def psd_encode(params: PSDParams, x: ArrayLike, *, nonlinearity: Nonlinearity = "tanh") -> jax.Array:
    """The predicted codes of images: the encoder, which is used alone after training.

    ``"tanh"`` is ``gain * tanh(encoder * x + bias)``. ``"shrink"`` is the smooth shrinkage
    ``gain * sign(s) (log(exp(b) + exp(|s|) - 1) - b)`` of ``s = encoder * x`` with ``b = |bias|``.

    Args:
        params: as from ``init_psd``.
        x: ``(*batch, height, width, channels)``; patches have the size of the window.
        nonlinearity: ``"tanh"`` or ``"shrink"``.

    Returns:
        ``(*batch, height - window height + 1, width - window width + 1, features)``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: an unknown nonlinearity.
        TypeError: images that are not made of numbers.

    Source: Kavukcuoglu, Ranzato and LeCun (2008), "Fast inference in sparse coding algorithms with applications to
    object recognition"; Kavukcuoglu et al. (2010), "Learning convolutional feature hierarchies for visual recognition".

    >>> params = init_psd(jax.random.key(0), (3, 3), channels=1, features=4)
    >>> psd_encode(params, jnp.ones((2, 8, 8, 1))).shape
    (2, 6, 6, 4)
    """
    check_choice(nonlinearity, get_args(Nonlinearity), name="nonlinearity")
    x, kernel = checked(x, params["encoder"])
    s = analysis(x, kernel)
    bias, gain = (params[name].reshape((1,) * (s.ndim - 1) + (-1,)) for name in ("bias", "gain"))
    if nonlinearity == "tanh":
        return gain * jnp.tanh(s + bias)
    b, size = jnp.abs(bias), jnp.abs(s)
    # log(exp(b) + exp(size) - 1) without overflow.
    largest = jnp.maximum(b, size)
    total = jnp.exp(b - largest) + jnp.exp(size - largest) - jnp.exp(-largest)
    return gain * jnp.sign(s) * (largest + jnp.log(total) - b)


def psd_codes(
    params: PSDParams,
    x: ArrayLike,
    *,
    penalty: float,
    alpha: float = 1.0,
    steps: int = 20,
    nonlinearity: Nonlinearity = "tanh",
) -> jax.Array:
    """The codes that minimise the energy of ``psd_loss`` for given parameters, by FISTA from the prediction.

    Args:
        params: as from ``init_psd``.
        x: ``(*batch, height, width, channels)``.
        penalty: weight of the absolute values of the codes.
        alpha: weight of the distance to the prediction.
        steps: number of steps.
        nonlinearity: of the encoder.

    Returns:
        maps like those of ``psd_encode``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: a negative ``penalty``, ``steps`` below 1, or an unknown nonlinearity.
        TypeError: images that are not made of numbers.

    Source: Kavukcuoglu, Ranzato and LeCun (2008).

    >>> params = init_psd(jax.random.key(0), (3, 3), channels=1, features=4)
    >>> bool((psd_codes(params, jnp.ones((3, 3, 1)), penalty=100.0) == 0).all())
    True
    """
    x, decoder = checked(x, unit_length(params["decoder"]))
    check_steps(penalty, steps)
    predicted = psd_encode(params, x, nonlinearity=nonlinearity)
    return _codes(x, decoder, predicted, penalty, alpha, steps)


@functools.partial(jax.jit, static_argnames="steps")
def _codes(
    x: jax.Array, decoder: jax.Array, predicted: jax.Array, penalty: float, alpha: float, steps: int
) -> jax.Array:
    def gradient(z: jax.Array) -> jax.Array:
        return analysis(synthesis(z, decoder) - x, decoder) + 2 * alpha * (z - predicted)

    step = 1 / (largest_curvature(decoder, x.shape) + 2 * alpha)
    return fista(gradient, predicted, step=step, penalty=penalty, steps=steps)


def psd_loss(
    params: PSDParams,
    x: ArrayLike,
    *,
    penalty: float,
    alpha: float = 1.0,
    steps: int = 20,
    nonlinearity: Nonlinearity = "tanh",
) -> jax.Array:
    """The energy of predictive sparse decomposition, whose gradient trains the decoder and the encoder.

    ``1/2 |x - conv_transpose(z, decoder)|**2 + penalty |z|_1 + alpha |z - psd_encode(x)|**2`` of each image, with ``z``
    from ``psd_codes``, which the gradient treats as constant: at the minimum the derivative with respect to them is 0.
    Each kernel of the decoder is scaled to length 1 first. On patches of the size of the window this is the method of
    2008, on whole images the convolutional method of 2010.

    Args:
        params: as from ``init_psd``.
        x: ``(*batch, height, width, channels)``.
        penalty: weight of the absolute values of the codes.
        alpha: weight of the distance between codes and prediction.
        steps: steps of ``psd_codes``.
        nonlinearity: of the encoder.

    Returns:
        ``(*batch,)``.

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: a negative ``penalty``, ``steps`` below 1, or an unknown nonlinearity.
        TypeError: images that are not made of numbers.

    Source: Kavukcuoglu, Ranzato and LeCun (2008), equation 4; Kavukcuoglu et al. (2010), equation 2.

    >>> params = init_psd(jax.random.key(0), (3, 3), channels=1, features=4)
    >>> psd_loss(params, jnp.zeros((2, 3, 3, 1)), penalty=0.5)
    Array([0., 0.], dtype=float32)
    """
    z = lax.stop_gradient(psd_codes(params, x, penalty=penalty, alpha=alpha, steps=steps, nonlinearity=nonlinearity))
    x, decoder = checked(x, unit_length(params["decoder"]))
    error = x - synthesis(z, decoder)
    away = z - psd_encode(params, x, nonlinearity=nonlinearity)
    return 0.5 * (error**2).sum((-3, -2, -1)) + (penalty * jnp.abs(z) + alpha * away**2).sum((-3, -2, -1))
