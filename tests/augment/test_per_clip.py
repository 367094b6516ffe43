"""Augmentations of videos: all frames of a clip change alike, clips independently of each other."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcnn import augment

CLIPS = np.random.default_rng(0).random((8, 3, 8, 6, 3), np.float32)
KEY = jax.random.key(0)
FUNCTIONS = {
    "flip": augment.random_flip,
    "crop": functools.partial(augment.random_resized_crop, size=5),
    "color": functools.partial(augment.random_color, brightness=0.5),
    "policy": augment.trivial_augment,
    "chain": augment.chain(functools.partial(augment.random_crop, size=6, padding=2), augment.random_flip),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_frames_of_a_clip_change_as_one_image_with_the_key_of_the_clip(name: str) -> None:
    function = FUNCTIONS[name]
    found = np.asarray(jax.jit(augment.per_clip(function))(KEY, CLIPS))
    one = jax.jit(function)
    for own, clip, clip_found in zip(jax.random.split(KEY, len(CLIPS)), CLIPS, found, strict=True):
        for frame, frame_found in zip(clip, clip_found, strict=True):
            np.testing.assert_allclose(frame_found, np.asarray(one(own, frame[None]))[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["flip", "color"])
def test_a_still_clip_stays_still_and_clips_differ(name: str) -> None:
    still = np.broadcast_to(CLIPS[:1, :1], CLIPS.shape)
    found = np.asarray(augment.per_clip(FUNCTIONS[name])(KEY, still))
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    assert len({clip.tobytes() for clip in found}) > 1


def test_any_axes_of_the_batch() -> None:
    flip = augment.per_clip(augment.random_flip)
    whole = np.asarray(flip(KEY, CLIPS))
    np.testing.assert_array_equal(
        flip(KEY, CLIPS.reshape(2, 4, *CLIPS.shape[1:])), whole.reshape(2, 4, *whole.shape[1:])
    )
    np.testing.assert_array_equal(flip(KEY, CLIPS[0]), flip(KEY, CLIPS[:1])[0])
    assert flip(KEY, CLIPS[:0]).shape == (0, *CLIPS.shape[1:])


def test_the_batch_may_be_sharded_over_explicit_axes() -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    function = augment.per_clip(FUNCTIONS["chain"])
    with jax.set_mesh(mesh):
        sharded = jax.device_put(CLIPS, NamedSharding(mesh, PartitionSpec("data")))
        found = jax.jit(function)(KEY, sharded)
    np.testing.assert_allclose(found, jax.jit(function)(KEY, CLIPS), rtol=0, atol=1e-6)


def test_on_refuses_functions_of_images_for_videos() -> None:
    batch = {"video": jnp.asarray(CLIPS), "label": jnp.zeros(8)}
    for function, name in ((augment.random_flip, "random_flip"), (FUNCTIONS["chain"], "random_crop")):
        message = f"on: {name} changes each frame of 'video' independently. per_clip({name}) changes all frames of a"
        with pytest.raises(ValueError, match=re.escape(message)):
            augment.on("video", function)(KEY, batch)
        alike = augment.per_clip(function)
        np.testing.assert_array_equal(augment.on("video", alike)(KEY, batch)["video"], alike(KEY, batch["video"]))
    own = augment.on("video", lambda key, videos: videos[:, ::-1])(KEY, batch)
    np.testing.assert_array_equal(own["video"], CLIPS[:, ::-1])
    with pytest.raises(ValueError, match=r"on: random_flip moves the pixels of 'video', but the batch has 'flow' too"):
        augment.on("video", augment.per_clip(augment.random_flip))(KEY, batch | {"flow": jnp.zeros(8)})
    augment.on("video", augment.per_clip(FUNCTIONS["color"]))(KEY, batch | {"flow": jnp.zeros(8)})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: augment.per_clip(3), TypeError, "per_clip: expected a function (key, images) -> images, such as"),  # type: ignore[arg-type]
        (lambda: augment.per_clip(augment.random_flip)(0, CLIPS), TypeError, "per_clip: key must be a JAX random key"),  # type: ignore[arg-type]
        (
            lambda: augment.per_clip(augment.random_flip)(KEY, CLIPS[0, 0]),
            ValueError,
            "per_clip: videos must have the shape (*batch, frames, height, width, channels) and at least one frame, "
            "but videos.shape=(8, 6, 3).",
        ),
        (lambda: augment.per_clip(augment.random_flip)(KEY, CLIPS[:, :0]), ValueError, "videos.shape=(8, 0, 8, 6, 3)."),
        (
            lambda: augment.per_clip(lambda key, images: (images, images))(KEY, CLIPS),  # type: ignore[arg-type,return-value]
            TypeError,
            "per_clip: expected a function that returns images, but it returns tuple.",
        ),
        (lambda: augment.per_clip(augment.random_flip)(KEY, "no"), TypeError, "videos must be an array of numbers"),
    ],
)
def test_refused_calls(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()
