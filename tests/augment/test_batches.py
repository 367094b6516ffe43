"""Functions that are not linear in the images, or that change targets too, under the transforms of JAX."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcnn import augment
from tests.tiers import default_rows

TARGETS = np.eye(5, dtype=np.float32)[np.arange(16) % 5]
AXES = np.array([[0.3, 0.1, 0], [0.3, -0.1, 0.02], [0.2, 0, -0.03]], np.float32)


def both(function: Callable) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Wraps a function that returns images and targets: the targets become the first row of the images."""

    def together(key: jax.Array, images: jax.Array) -> jax.Array:
        targets = jnp.broadcast_to(TARGETS[:1], (len(images), 5)).astype(images.dtype)
        x, mixed = function(key, images, targets)
        return jnp.concatenate([x[:, :, :, 0].reshape(len(x), 42), mixed], axis=1)

    return together


def alternating(key: jax.Array, images: jax.Array) -> jax.Array:
    # The index of each image follows from its content, so that a part of a batch has the same indices as the whole.
    return augment.alternating_flip(key, images, (100000 * images[:, 0, 0, 0]).astype(jnp.int32), epoch=1)


AUGMENTS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "alternating_flip": alternating,
    "color": functools.partial(augment.random_color, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    "crop": functools.partial(augment.random_crop, size=(5, 4), padding=2, padding_mode="reflect"),
    "cutout": functools.partial(augment.random_cutout, size=3),
    "elastic": functools.partial(augment.random_elastic, alpha=8.0, sigma=2.0),
    "erasing": functools.partial(augment.random_erasing, probability=0.9),
    "mixup_or_cutmix": both(functools.partial(augment.mixup_or_cutmix, mixup_alpha=1.0)),
    "pca_noise": lambda key, images: augment.random_pca_noise(key, images, AXES),
    "rand_augment": functools.partial(augment.rand_augment, num_ops=2, magnitude=20),
    "resized_crop": functools.partial(augment.random_resized_crop, size=(4, 5)),
    "trivial_augment": augment.trivial_augment,
}
MIXES = {"mixup_or_cutmix"}


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(size=(16, 6, 7, 3)).astype(np.float32))


@pytest.mark.parametrize("name", default_rows(list(AUGMENTS), keep=["mixup_or_cutmix"]))
def test_compiled_mapped_and_in_eight_parts(name: str, key: jax.Array, images: jax.Array) -> None:
    """All results are equal.

    A split batch stays split, and only functions that mix images communicate between devices.
    """
    function = AUGMENTS[name]
    keys = jnp.stack([jax.random.fold_in(key, 1), key])
    other, expected = jax.jit(jax.vmap(function, (0, None)))(keys, images)
    assert float(jnp.abs(expected - other).max()) > 0.01, "the key decides"
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        placed = jax.device_put(images, NamedSharding(mesh, P("data")))
        program = jax.jit(function).lower(key, placed).compile()
        y = program(key, placed)
    assert y.sharding.spec[0] == "data"
    assert name in MIXES or "all-gather" not in program.as_text()
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    default_rows(
        [name for name in AUGMENTS if name not in MIXES],
        keep=["color", "crop", "elastic", "trivial_augment"],
    ),
)
def test_images_do_not_see_each_other_and_keep_their_dtype(name: str, key: jax.Array, images: jax.Array) -> None:
    function = jax.jit(AUGMENTS[name])
    halves = np.asarray(images).astype(jnp.bfloat16)
    y = np.asarray(function(key, halves))
    assert y.dtype == halves.dtype
    halves[1:] = 0.25
    np.testing.assert_array_equal(y[0].astype(np.float32), np.asarray(function(key, halves))[0].astype(np.float32))


@pytest.mark.parametrize(
    "name", default_rows(list(AUGMENTS), keep=[name for name in AUGMENTS if name != "rand_augment"])
)
def test_no_image_and_wrong_images(name: str, key: jax.Array) -> None:
    assert len(jax.jit(AUGMENTS[name])(key, np.zeros((0, 6, 7, 3), np.float32))) == 0
    with pytest.raises(TypeError, match=r"^\w+: images must have a floating dtype, not uint8. Convert them first"):
        AUGMENTS[name](key, jnp.zeros((2, 6, 7, 3), jnp.uint8))
