"""Frames of the live view: their tiles, and their values against separately computed gradients."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn.live._examples import can_draw, drawing, is_light, some_examples
from jaxcnn.live._frame import Example, FrameProgram
from jaxcnn.live._tiles import layer_tiles, to_bytes, weight_columns, weight_tiles
from tests.train import tiny


def test_tiles_have_a_channel_each_and_say_what_their_bytes_mean() -> None:
    layer = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    made = jax.jit(layer_tiles)(layer)
    low, high, pixels = float(made["low"]), float(made["high"]), np.asarray(made["pixels"])
    assert (low, high) == (layer.min(), layer.max()) and pixels.shape == (3, 5, 4, 1)
    back = low + (high - low) * pixels[..., 0] / 255
    np.testing.assert_allclose(back, layer.transpose(2, 0, 1), atol=(high - low) / 500)
    layer[0, 0, 0] = 0
    signed = jax.jit(lambda x: layer_tiles(x, signed=True))(layer)
    assert float(signed["high"]) == -float(signed["low"]) == np.abs(layer).max()
    assert np.asarray(signed["pixels"])[0, 0, 0, 0] == 128


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [
        ((10,), (10, 1, 1, 1)),
        ((6, 10), (1, 10, 6, 1)),
        ((5, 6, 4, 3), (3, 6, 4, 1)),
        ((130, 70, 100), (64, 44, 35, 1)),
    ],
)
def test_layers_of_every_rank_are_drawn_and_large_ones_thinned(shape: tuple[int, ...], tiles: tuple[int, ...]) -> None:
    assert jax.eval_shape(layer_tiles, jax.ShapeDtypeStruct(shape, np.float32))["pixels"].shape == tiles


@pytest.mark.parametrize(
    ("shape", "tiles", "columns"),
    [
        ((5, 5, 1, 6), (6, 5, 5, 1), 0),
        ((7, 7, 3, 8), (8, 7, 7, 3), 0),
        ((3, 3, 6, 16), (60, 3, 3, 1), 6),
        ((3, 4, 2), (8, 1, 3, 1), 4),
        ((3, 5, 5, 2, 4), (8, 5, 5, 1), 2),
        ((300, 10), (1, 10, 100, 1), 0),
    ],
)
def test_kernels_of_every_rank_are_drawn(shape: tuple[int, ...], tiles: tuple[int, ...], columns: int) -> None:
    assert jax.eval_shape(weight_tiles, jax.ShapeDtypeStruct(shape, np.float32))["pixels"].shape == tiles
    assert weight_columns(shape) == columns


def test_the_row_of_a_kernels_tile_is_its_output_and_the_column_its_input() -> None:
    kernel = np.zeros((3, 3, 6, 16), np.float32)
    kernel[..., 1, 2] = 1
    pixels = np.asarray(jax.jit(weight_tiles)(kernel)["pixels"])
    assert [index for index, tile in enumerate(pixels) if (tile == 255).all()] == [2 * weight_columns(kernel.shape) + 1]


def test_values_that_are_not_finite_are_said_and_the_others_drawn() -> None:
    made = jax.jit(lambda x: to_bytes(x, signed=False))(np.array([np.nan, 1.0, 3.0, np.inf]).reshape(4, 1, 1, 1))
    assert np.isnan(made["low"]) and np.isnan(made["high"])
    assert np.asarray(made["pixels"]).ravel().tolist() == [0, 85, 255, 0]


def test_drawings_have_the_dtype_the_range_and_the_channels_of_the_images() -> None:
    images = np.linspace(-1, 1, 2 * 4 * 3 * 3, dtype=np.float32).reshape(2, 4, 3, 3)
    examples = {"image": images, "label": np.array([1, 2])}
    assert can_draw(examples) and not can_draw({**examples, "boxes": np.zeros((2, 4))})
    drawn = drawing(examples, bytes([0, 255, *[0] * 10]))
    assert not drawn.labelled and drawn.arrays["image"].shape == (1, 4, 3, 3)
    assert drawn.arrays["image"][0, 0, :2].tolist() == [[-1, -1, -1], [1, 1, 1]]
    with pytest.raises(ValueError, match="expected 4x3 pixels, got 5"):
        drawing(examples, bytes(5))
    dark = np.zeros((1, 5, 5, 1), np.uint8)
    dark[:, 2, 2] = 255
    assert not is_light({"image": dark}) and is_light({"image": 255 - dark})


@pytest.mark.gate
def test_a_frame_has_the_gradients_of_the_loss_of_its_example() -> None:
    experiment = tiny.build(tiny.Config())
    examples = some_examples(experiment)
    variables = jax.jit(experiment.init)(jax.random.key(0), experiment.prepare({"image": examples["image"][:1]}))
    program = FrameProgram(experiment, examples)
    assert not program.ready(variables)
    program.wait()
    assert program.failure is None and program.ready(variables)
    one: dict[str, Any] = {name: array[3:4] for name, array in examples.items()}
    frame = program(variables, Example(one))

    prepared = dict(experiment.prepare(one))
    slopes = jax.jit(
        jax.grad(lambda params: experiment.evaluate({**variables, "params": params}, prepared)["loss"].sum())
    )(variables["params"])
    names = [name for name, _ in program.weights]
    assert names and all(name.endswith("kernel") for name in names)
    for name, (weights, gradients) in zip(names, frame["weights"], strict=True):
        module, leaf = name.split("/")
        assert weights["high"] == np.abs(variables["params"][module][leaf]).max()
        np.testing.assert_allclose(gradients["high"], np.abs(slopes[module][leaf]).max(), rtol=1e-5)
    logits = dict(zip([name for name, _ in program.layers], frame["layers"], strict=True))
    shares = np.asarray(frame["probabilities"])
    last = next(reversed(logits.values()))[1]  # d loss / d logits = probabilities - one-hot label
    expected = shares - np.eye(len(shares))[one["label"][0]]
    np.testing.assert_allclose(last["high"], np.abs(expected).max(), rtol=1e-5)
    np.testing.assert_allclose(frame["loss"], -np.log(shares[one["label"][0]]), rtol=1e-5)
    np.testing.assert_allclose(frame["predictions"][3], shares, rtol=1e-5)

    drawn = program(variables, Example(one, labelled=False))
    np.testing.assert_allclose(drawn["loss"], -np.log(shares.max()), rtol=1e-5)


def test_a_network_that_cannot_be_shown_is_said() -> None:
    whole = tiny.build(tiny.Config())
    experiment = dataclasses.replace(whole, evaluate=lambda variables, batch: {"score": batch["label"] * 0.0})
    program = FrameProgram(experiment, some_examples(whole))
    program.ready(jax.eval_shape(whole.init, jax.random.key(0), {"image": np.zeros((1, 32, 32, 1), np.float32)}))
    program.wait()
    assert program.failure is not None and "evaluate returns no 'loss'" in program.failure
