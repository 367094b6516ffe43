"""Inference at several scales equals its definition with NumPy's interpolation and softmax."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import ShapeError, models
from tests.models.small import quick_jit

CLASSES = 3
SCALES = (0.5, 1.0, 1.25)


def unet() -> Any:
    return models.create("unet", num_classes=CLASSES, padding="SAME", widths=(4, 8), dropout_rate=0.0)


@functools.cache
def variables() -> Any:
    return quick_jit(functools.partial(unet().init, train=False))(jax.random.key(0), images())


def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 8, 12, 2)).astype(np.float32)


def interpolated(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Linear interpolation between the centres of pixels, one axis after the other, by ``np.interp``."""
    for axis, count in ((1, size[0]), (2, size[1])):
        centres = (np.arange(count) + 0.5) * x.shape[axis] / count - 0.5
        lines = np.moveaxis(x, axis, -1)
        values = [np.interp(centres, np.arange(lines.shape[-1]), line) for line in lines.reshape(-1, lines.shape[-1])]
        x = np.moveaxis(np.reshape(values, (*lines.shape[:-1], count)), -1, axis)
    return x


def test_it_is_the_mean_of_the_probabilities_of_all_views() -> None:
    x = images()
    expected = []
    for size in ((4, 6), (8, 12), (10, 16)):  # 1.25 * 12 = 15, which is rounded to a multiple of 2
        view = interpolated(x, size)
        for step in (1, -1):
            logits = np.asarray(unet().apply(variables(), view[:, :, ::step].astype(np.float32)))[:, :, ::step]
            exponential = np.exp(interpolated(logits.astype(np.float64), x.shape[1:3]))
            expected.append(exponential / exponential.sum(-1, keepdims=True))
    model = models.MultiScaleInference(unet(), scales=SCALES, multiple=2)
    found = jax.jit(model.apply)(variables(), x)
    np.testing.assert_allclose(np.exp(found), np.mean(expected, axis=0), rtol=0, atol=1e-6)
    features = jax.jit(functools.partial(model.apply, method="features"))(variables(), x)
    assert set(features) == set(unet().apply(variables(), x, method="features"))
    np.testing.assert_allclose(features["logits"], found, rtol=0, atol=1e-6)


def test_the_result_of_a_mirrored_image_is_mirrored() -> None:
    apply = jax.jit(models.MultiScaleInference(unet(), scales=SCALES, multiple=2).apply)
    x, plain = images(), jax.jit(unet().apply)
    there, back = (apply(variables(), each) for each in (x, x[:, :, ::-1]))
    np.testing.assert_allclose(there, back[:, :, ::-1], rtol=0, atol=1e-6)
    assert np.abs(plain(variables(), x) - plain(variables(), x[:, :, ::-1])[:, :, ::-1]).max() > 0.01


def test_training_and_one_view_are_the_network() -> None:
    x = images()
    model = models.MultiScaleInference(unet(), scales=SCALES, multiple=2)
    own = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables())
    np.testing.assert_array_equal(
        model.apply(variables(), x, train=True), unet().apply(variables(), x, train=True), strict=True
    )
    trained = model.apply(variables(), x, train=True, method="features")
    assert set(trained) == set(unet().apply(variables(), x, train=True, method="features"))
    one: Any = models.MultiScaleInference(unet(), scales=(1.0,), mirrored=False).apply(variables(), x)
    np.testing.assert_allclose(one, linen.log_softmax(unet().apply(variables(), x)), rtol=0, atol=1e-6)


def test_a_network_that_reads_its_own_label_map() -> None:
    refined = models.Refinement(unet(), num_classes=CLASSES, repetitions=2)
    x = images()
    own = quick_jit(functools.partial(refined.init, train=False))(jax.random.key(0), x)
    found = jax.jit(models.MultiScaleInference(refined, scales=(1.0,), mirrored=False).apply)(own, x)
    np.testing.assert_allclose(found, linen.log_softmax(refined.apply(own, x)), rtol=0, atol=1e-6)


def test_further_batch_axes_and_none() -> None:
    apply = jax.jit(models.MultiScaleInference(unet(), scales=SCALES, multiple=2).apply)
    x = images()
    one, two = apply(variables(), x[0]), apply(variables(), x[None])
    np.testing.assert_allclose(one, two[0, 0], rtol=0, atol=1e-6)


def test_symbolic_sizes() -> None:
    model = models.MultiScaleInference(unet(), scales=(0.5, 1.5), multiple=2)
    h, w = jax.export.symbolic_shape("2*h, 2*w")
    exported = jax.export.export(jax.jit(functools.partial(model.apply, variables())))(
        jax.ShapeDtypeStruct((2, h, w, 2), jnp.float32)
    )
    x = images()
    expected: Any = model.apply(variables(), x)
    np.testing.assert_allclose(exported.call(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, r"scales=\(\) must be positive numbers, at least one."),
        ({"scales": (1.0, 0.0)}, r"scales=\(1.0, 0.0\) must be positive numbers, at least one."),
        ({"scales": (float("inf"),)}, r"scales=\(inf,\) must be positive numbers, at least one."),
        ({"multiple": 0}, "multiple=0 must be at least 1."),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.MultiScaleInference(unet(), **options).init(jax.random.key(0), images())


@pytest.mark.parametrize("scales", [0.5, "0.5", (0.5, None)])
def test_scales_that_are_not_several_numbers(scales: Any) -> None:
    with pytest.raises(TypeError, match=r"scales must be several numbers, such as \(0.75, 1.0\), not"):
        models.MultiScaleInference(unet(), scales=scales).init(jax.random.key(0), images())


def test_a_network_whose_maps_are_smaller_is_refused() -> None:
    network = models.create("unet", num_classes=CLASSES, padding="VALID", widths=(4, 8), dropout_rate=0.0)
    x = np.zeros((1, 32, 32, 2), np.float32)
    model = models.MultiScaleInference(network, scales=(1.0,), mirrored=False)
    untrained = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(ShapeError, match=r"the network must return maps of the size of its images, \(1, 32, 32\); got"):
        jax.eval_shape(model.apply, untrained, x)
