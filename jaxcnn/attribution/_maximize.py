"""Images that are optimised: for the activation of a unit, or for the values of a layer."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.typing import ArrayLike

from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.attribution._layers import layer_outputs, traced
from jaxcnn.attribution._rectifiers import rectifier_rules, redirected
from jaxcnn.attribution._scores import Function, as_batch, shape_of_scores
from jaxcnn.augment import random_affine

Parametrization = Literal["fourier", "pixel"]

# The square root of the covariance of the colours of ImageNet, as in Lucid, scaled to the greatest column.
_REDIRECTED = 16  # steps in which an inactive rectifier passes gradients that increase its input, as in Lucid
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()


class Optimized(NamedTuple):
    """The result of ``maximize_activation`` and ``invert_features``.

    Attributes:
        images: ``(n, height, width, channels)`` in [0, 1].
        scores: ``(steps + 1, n)``, before each step, without transformations, and at the end.
    """

    images: jax.Array
    scores: jax.Array


def maximize_activation(
    key: jax.Array,
    score: Function,
    *,
    shape: tuple[int, int, int, int],
    parametrization: Parametrization = "fourier",
    transformed: bool = True,
    steps: int = 256,
    learning_rate: float = 0.05,
    total_variation: float = 0.0,
) -> Optimized:
    """Images with a high score, such as the activation of a unit, by gradient ascent from noise.

    Each image is ``sigmoid(C u)``: ``u`` are pixels, or is the inverse Fourier transform of a spectrum whose entries
    are divided by their frequency, so that all frequencies change at the same rate; of images with three channels ``C``
    gives the colours the correlation that they have in photographs. At each step a randomly moved copy of each image is
    scored (shifts up to 1/16 of the image, rotations up to 5 degrees, scales up to 10 %), so that the score does not
    depend on single pixels, and Adam follows its gradient. In the first 16 steps a rectifier whose input is negative
    passes the part of the gradient that increases it, so that a unit that is inactive at the start can become active.

    Show several images (``n``), since different starts may lead to different images, and compare the activations that
    are reached with those of data.

    Args:
        key: of the initial images and of the transformations.
        score: images -> ``(n,)``, such as ``lambda x: layer_outputs(f, x, layers=["conv3"])["conv3"][:, 4, 4, 7]``.
        shape: ``(n, height, width, channels)`` of the images.
        parametrization: ``"fourier"`` or ``"pixel"``.
        transformed: False scores the images as they are.
        steps: of Adam.
        learning_rate: of Adam.
        total_variation: weight of the mean absolute difference of neighbouring pixels, which is subtracted.

    Raises:
        ShapeError: a shape without four axes, or scores of another shape than ``(n,)``.
        ValueError: an unknown parametrization, or no step.

    Source: Olah, Mordvintsev, Schubert (2017), "Feature visualization"; Simonyan et al. (2013), section 2.

    >>> found = maximize_activation(jax.random.key(0), lambda x: x.mean((1, 2, 3)), shape=(1, 4, 4, 1), steps=8)
    >>> found.images.shape, bool(found.scores[-1, 0] > found.scores[0, 0])
    ((1, 4, 4, 1), True)
    """
    if len(shape) != 4:
        raise ShapeError(f"expected the shape (n, height, width, channels) of images, got {shape}.")
    check_choice(parametrization, get_args(Parametrization), name="parametrization")
    if steps < 1:
        raise ValueError(f"expected at least one step, got steps={steps}.")
    start, move = jax.random.split(key)
    image_of = _fourier(shape) if parametrization == "fourier" else _pixels(shape)
    found = shape_of_scores(score, jax.ShapeDtypeStruct(shape, jnp.float32))
    if found != shape[:1]:
        raise ShapeError(f"expected scores of the shape {shape[:1]}, one of each image, got {found}.")
    optimizer = optax.adam(learning_rate)

    redirected_score = _with_redirected_rectifiers(score, shape)

    def objective(variables: jax.Array, key: jax.Array, score: Function) -> jax.Array:
        images = image_of(variables)
        total = -total_variation * _variation(images)
        if transformed:
            images = random_affine(key, images, shift=max(shape[1:3]) / 16, rotate=5.0, scale=0.1, fill=0.5)
        return (score(images) + total).sum()

    def step(followed: Function, state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        variables, memory = state
        updates, memory = optimizer.update(-jax.grad(objective)(variables, key, followed), memory)
        return (optax.apply_updates(variables, updates), memory), score(image_of(variables))

    @jax.jit
    def run(variables: jax.Array, keys: jax.Array) -> Optimized:
        state: Any = (variables, optimizer.init(variables))
        state, early = lax.scan(functools.partial(step, redirected_score), state, keys[:_REDIRECTED])
        state, late = lax.scan(functools.partial(step, score), state, keys[_REDIRECTED:])
        images = image_of(state[0])
        return Optimized(images, jnp.concatenate([early, late, score(images)[None]]))

    size = (*shape[:1], *((2, shape[1], shape[2] // 2 + 1) if parametrization == "fourier" else shape[1:3]), shape[3])
    return run(0.01 * jax.random.normal(start, size), jax.random.split(move, steps))


def invert_features(
    key: jax.Array,
    f: Function,
    x: ArrayLike,
    *,
    layer: str,
    parametrization: Parametrization = "fourier",
    steps: int = 256,
    learning_rate: float = 0.05,
    total_variation: float = 0.0,
) -> Optimized:
    """Images whose values of a layer are close to those of given images: the information that the layer preserves.

    Maximises ``-|h(y) - h(x)|**2 / |h(x)|**2`` of each image over ``y``, from noise, with the parametrizations of
    ``maximize_activation`` and without its transformations. The score of 0 is reached by ``x`` itself.

    Args:
        key: of the start.
        f: a function of images in [0, 1], such as ``lambda x: model.apply(variables, x, train=False)``.
        x: ``(n, height, width, channels)``, floating.
        layer: a name from ``layer_shapes``.
        parametrization: ``"fourier"`` or ``"pixel"``.
        steps: of Adam.
        learning_rate: of Adam.
        total_variation: weight of the mean absolute difference of neighbouring pixels, which is subtracted.

    Raises:
        ShapeError: an ``x`` without four axes.
        TypeError: an ``x`` that is not floating.
        ValueError: no such layer, an unknown parametrization, or no step.

    Source: Mahendran and Vedaldi (2015), "Understanding deep image representations by inverting them", equation 2.

    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: checkpoint_name(x, "same").sum((1, 2))
    >>> x = jnp.full((1, 4, 4, 1), 0.8)
    >>> found = invert_features(jax.random.key(0), f, x, layer="same", parametrization="pixel", steps=60)
    >>> bool(abs(found.images - x).max() < 0.05)
    True
    """
    x = as_batch(x)
    if x.ndim != 4:
        raise ShapeError(f"expected images (n, height, width, channels), got x.shape={x.shape}.")
    wanted = layer_outputs(f, x, layers=[layer])[layer]
    axes = tuple(range(1, wanted.ndim))
    size = (wanted**2).sum(axes)
    size = jnp.where(size > 0, size, 1)  # of a layer of zeros the difference itself counts

    def score(images: jax.Array) -> jax.Array:
        return -((layer_outputs(f, images, layers=[layer])[layer] - wanted) ** 2).sum(axes) / size

    return maximize_activation(
        key,
        score,
        shape=(x.shape[0], x.shape[1], x.shape[2], x.shape[3]),
        parametrization=parametrization,
        transformed=False,
        steps=steps,
        learning_rate=learning_rate,
        total_variation=total_variation,
    )


def _with_redirected_rectifiers(score: Function, shape: tuple[int, ...]) -> Function:
    """The same scores, with gradients that can activate rectifiers; unchanged if no rectifier is recognised."""
    program = traced(score, jnp.zeros(shape))
    try:
        rules = rectifier_rules(program.program, redirected)
    except ValueError:
        return score
    return lambda images: program.run(images, rules=rules)


def _pixels(shape: tuple[int, ...]) -> Callable[[jax.Array], jax.Array]:
    return lambda variables: jax.nn.sigmoid(_coloured(variables))


def _fourier(shape: tuple[int, ...]) -> Callable[[jax.Array], jax.Array]:
    """Spectra ``(n, 2, height, width // 2 + 1, channels)``, real and imaginary parts, as images."""
    _, height, width, _ = shape
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    scale = (np.sqrt(height * width) / frequency)[None, ..., None].astype(np.float32) / 4

    def image_of(variables: jax.Array) -> jax.Array:
        spectrum = lax.complex(scale * variables[:, 0], scale * variables[:, 1])
        return jax.nn.sigmoid(_coloured(jnp.fft.irfft2(spectrum, (height, width), axes=(1, 2))))

    return image_of


def _coloured(pixels: jax.Array) -> jax.Array:
    """Independent channels as colours with the correlation of photographs."""
    return pixels @ jnp.asarray(_COLOURS.T, pixels.dtype) if pixels.shape[-1] == 3 else pixels


def _variation(images: jax.Array) -> jax.Array:
    """The mean absolute difference of neighbouring pixels of each image."""
    down, right = jnp.diff(images, axis=1), jnp.diff(images, axis=2)
    return jnp.abs(down).mean((1, 2, 3)) + jnp.abs(right).mean((1, 2, 3))
