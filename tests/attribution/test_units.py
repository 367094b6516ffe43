"""The patches and images that activate single units most, and the receptive fields of units."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxcnn import attribution, functional
from jaxcnn._errors import ShapeError
from jaxcnn.shapes import ReceptiveField, SlidingWindow, receptive_field


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None:
    """Disables strict promotion, which Optax violates: it multiplies a float by an integer step."""


DRAW = np.random.default_rng(0)
KERNEL = DRAW.standard_normal((3, 3, 2, 4)).astype(np.float32)
IMAGES = DRAW.integers(0, 255, (11, 8, 7, 2)).astype(np.uint8)
IMAGES[9] = IMAGES[4]  # equal activations: the first image is chosen
LAYER = SlidingWindow((3, 3), strides=2, padding=1)
FIELD = receptive_field([LAYER])


def strided(x: jax.Array) -> jax.Array:
    y = functional.conv(jnp.asarray(x, jnp.float32) / 255, KERNEL, strides=2, padding=1)
    return checkpoint_name(y, "map").sum((1, 2))


def test_projections_of_a_rectified_convolution_are_its_kernels() -> None:
    """The projection of one layer is its gradient: the kernel where the unit is active, and zeros elsewhere."""

    def rectified(x: jax.Array) -> jax.Array:
        y = jax.nn.relu(functional.conv(jnp.asarray(x, jnp.float32), KERNEL, strides=2, padding=1))
        return checkpoint_name(y, "map").sum((1, 2))

    images = IMAGES.astype(np.float32) / 255
    options: dict[str, Any] = {"layer": "map", "receptive_field": FIELD}
    found = attribution.top_patches(rectified, [images], k=2, **options)
    assert (found.values > 0).all()
    projected = attribution.top_projections(rectified, images, found, **options)
    assert projected.shape == found.patches.shape
    for unit, (positions, shown) in enumerate(zip(found.positions, projected, strict=True)):
        for (i, j), one in zip(positions, shown, strict=True):
            inside = np.zeros((10, 10, 1))
            inside[1:9, 1:8] = 1  # a border of padding
            expected = KERNEL[..., unit] * inside[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(one, expected, rtol=1e-5)
    some = attribution.TopPatches(*(each[[3, 1]] for each in found))
    again = attribution.top_projections(rectified, images, some, units=[3, 1], **options)
    np.testing.assert_array_equal(again, projected[[3, 1]])
    with pytest.raises(ShapeError, match=r"top_projections: expected the unit of each of the 2 rows, got .*\(3,\)"):
        attribution.top_projections(rectified, images, some, units=[3, 1, 0], **options)
    with pytest.raises(
        ShapeError, match=r"top_projections: the patches were found in image \d+ too, but there are 1 images"
    ):
        attribution.top_projections(rectified, images[:1], found, **options)
    with pytest.raises(TypeError, match="top_projections: expected floating images, got uint8"):
        attribution.top_projections(rectified, IMAGES, found, **options)


def test_top_patches_are_those_of_a_sort_of_all_activations() -> None:
    batches = [IMAGES[:4], IMAGES[4:8], IMAGES[8:]]
    found = attribution.top_patches(strided, batches, layer="map", receptive_field=FIELD, k=3, fill=99)
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=99)
    zeros = np.pad(IMAGES / 255.0, ((0, 0), (1, 1), (1, 1), (0, 0)))
    value = np.array(
        [
            [[np.tensordot(each[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], KERNEL, 3) for j in range(4)] for i in range(4)]
            for each in zeros
        ]
    )
    flat = value.reshape(11, 16, 4)
    for unit in range(4):
        of_image = flat[..., unit].max(1).round(4)
        order = np.argsort(-of_image, kind="stable")[:3]
        np.testing.assert_array_equal(found.images[unit], order)
        np.testing.assert_allclose(found.values[unit], of_image[order], rtol=1e-3)
        for rank, image in enumerate(order):
            i, j = np.unravel_index(flat[image, :, unit].argmax(), (4, 4))
            np.testing.assert_array_equal(found.positions[unit, rank], (i, j))
            np.testing.assert_array_equal(
                found.patches[unit, rank], padded[image, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            )


def test_a_filter_of_edges_finds_edges() -> None:
    """Only one of the images of noise contains an edge."""
    images = DRAW.uniform(0.4, 0.6, (5, 9, 9, 1)).astype(np.float32)
    images[3, 2:6, 5:] = 1.0
    images[3, 2:6, :5] = 0.0
    kernel = np.array([[-1.0, 1.0], [-1.0, 1.0]], np.float32)[..., None, None]

    def f(x: jax.Array) -> jax.Array:
        return checkpoint_name(functional.conv(x, kernel, padding="VALID"), "edges").sum((1, 2))

    field = receptive_field([SlidingWindow((2, 2))])
    found = attribution.top_patches(f, [images], layer="edges", receptive_field=field, k=1)
    assert found.images.item() == 3 and found.values.item() == 2
    np.testing.assert_array_equal(found.patches[0, 0, ..., 0], [[0, 1], [0, 1]])


def test_units_of_a_dense_layer_see_whole_images() -> None:
    def f(x: jax.Array) -> jax.Array:
        return checkpoint_name(x.reshape(x.shape[0], -1)[:, :3], "dense")

    images = DRAW.random((4, 2, 2, 1)).astype(np.float32)
    found = attribution.top_patches(f, [images], layer="dense", receptive_field=None, k=2)
    assert found.positions.shape == (3, 2, 0)
    best = images[:, 0, 1, 0].argmax()
    np.testing.assert_array_equal(found.patches[1, 0], images[best])


@pytest.mark.parametrize(
    ("parametrization", "least"), [("pixel", 0.95), pytest.param("fourier", 0.5, marks=pytest.mark.gate)]
)
def test_a_linear_score_makes_its_own_weights_visible(parametrization: Any, least: float) -> None:
    rows = np.sin(np.arange(16) / 16 * 4 * np.pi)[:, None] * np.ones(16)
    weights = rows[None, ..., None].astype(np.float32)
    found = attribution.maximize_activation(
        jax.random.key(0),
        lambda x: (x * weights).sum((1, 2, 3)),
        shape=(2, 16, 16, 1),
        parametrization=parametrization,
        transformed=False,
        steps=40,
    )
    images = np.asarray(found.images)
    assert found.scores.shape == (41, 2) and (found.scores[-1] > found.scores[0] + 10).all()
    assert images.min() >= 0 and images.max() <= 1
    for image in images:
        assert np.corrcoef(image.ravel(), weights.ravel())[0, 1] > least
    assert np.abs(images[0] - images[1]).max() > 1e-3  # every image starts from its own draw


def test_a_unit_that_is_off_at_the_start_is_turned_on() -> None:
    """The rectifier passes no gradient there, so the score would stay 0 without the special rule of the first steps."""

    def score(x: jax.Array) -> jax.Array:
        return jax.nn.relu(x.mean((1, 2, 3)) - 0.6)

    found = attribution.maximize_activation(
        jax.random.key(0), score, shape=(1, 4, 4, 1), parametrization="pixel", transformed=False, steps=40
    )
    assert found.scores[0, 0] == 0 and found.scores[-1, 0] > 0.1


def test_a_layer_of_zeros_is_inverted_as_well() -> None:
    def f(x: jax.Array) -> jax.Array:
        return checkpoint_name(x, "map").sum((1, 2))

    found = attribution.invert_features(
        jax.random.key(0), f, np.zeros((1, 3, 3, 1), np.float32), layer="map", steps=2, parametrization="pixel"
    )
    np.testing.assert_allclose(found.scores[-1, 0], -(np.asarray(found.images) ** 2).sum(), rtol=1e-5)
    assert found.scores[-1, 0] > found.scores[0, 0]


@pytest.mark.gate
def test_moves_make_images_that_do_not_depend_on_single_pixels() -> None:
    """A shift by one pixel inverts the score of a checkerboard, so it does not appear in images that are moved."""
    board = (-1.0) ** np.add.outer(np.arange(16), np.arange(16))[None, ..., None].astype(np.float32)

    def reached(transformed: bool) -> float:
        options: dict[str, Any] = {"shape": (1, 16, 16, 1), "transformed": transformed, "steps": 60}
        found = attribution.maximize_activation(jax.random.key(0), lambda x: (x * board).sum((1, 2, 3)), **options)
        return float(found.scores[-1, 0])

    assert reached(False) > 4 * abs(reached(True))


def test_the_effective_field_is_that_of_the_products_of_the_kernels() -> None:
    kernel = np.ones((3, 3, 1, 1), np.float32)

    def f(x: jax.Array) -> jax.Array:
        y = functional.conv(functional.conv(x, kernel), kernel)
        return checkpoint_name(y, "map").sum((1, 2))

    x = np.zeros((300, 9, 9, 1), np.float32)
    found = jax.jit(
        lambda x: attribution.effective_receptive_field(jax.random.key(0), f, x, layer="map", position=(4, 3))
    )(x)
    row, column = (np.pad([1.0, 2, 3, 2, 1], pad) for pad in ((2, 2), (1, 3)))
    np.testing.assert_allclose(found / found.max(), np.outer(row, column) / 9, rtol=1e-5)
    assert found.max() == pytest.approx(9, rel=0.1)


POINT = ReceptiveField(size=(1, 1), jump=(1, 1), offset=(0, 0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: attribution.top_patches(strided, [IMAGES], layer="map", receptive_field=FIELD, k=0),
            ValueError,
            "top_patches: k=0 must be at least 1",
        ),
        (
            lambda: attribution.top_patches(strided, [IMAGES[:2]], layer="map", receptive_field=FIELD, k=3),
            ValueError,
            "k=3 patches of each unit require as many images, but there are 2",
        ),
        (
            lambda: attribution.top_patches(
                lambda x: checkpoint_name(x.sum((1, 2)), "v"), [IMAGES], layer="v", receptive_field=POINT
            ),
            ShapeError,
            "the images have 2, 'v' has 0, and the receptive field 2",
        ),
        (
            lambda: attribution.top_patches(
                lambda x: checkpoint_name(x.sum((1, 2, 3)), "v"), [IMAGES], layer="v", receptive_field=None
            ),
            ShapeError,
            r"expected a layer \(n, ..., units\), but 'v' has the shape \(11,\)",
        ),
        (
            lambda: attribution.maximize_activation(jax.random.key(0), jnp.sum, shape=(1, 4, 4)),  # type: ignore[arg-type]
            ShapeError,
            r"maximize_activation: expected the shape \(n, height, width, channels\)",
        ),
        (
            lambda: attribution.invert_features(jax.random.key(0), strided, np.ones((1, 3), np.float32), layer="map"),
            ShapeError,
            r"invert_features: expected images \(n, height, width, channels\), got x.shape=\(1, 3\)",
        ),
        (
            lambda: attribution.maximize_activation(jax.random.key(0), jnp.sum, shape=(1, 4, 4, 1)),
            ShapeError,
            r"expected scores of the shape \(1,\), one of each image, got \(\)",
        ),
        (
            lambda: attribution.maximize_activation(jax.random.key(0), jnp.sum, shape=(1, 4, 4, 1), steps=0),
            ValueError,
            "at least one step, got steps=0",
        ),
        (
            lambda: attribution.effective_receptive_field(
                jax.random.key(0), strided, np.ones((1, 8, 7, 2), np.float32), layer="map", position=(4, 0)
            ),
            ShapeError,
            r"position=\(4, 0\) is not in the layer 'map', whose spatial shape is \(4, 4\)",
        ),
    ],
)
def test_other_arguments_are_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.compile(message)):
        call()
