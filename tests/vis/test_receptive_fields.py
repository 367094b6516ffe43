"""The frames are at the positions of the summary, and the picture is complete."""

import jax
import numpy as np
import pytest
from flax import linen
from matplotlib.patches import Rectangle

from jaxcnn.models import Summary, create, summary
from jaxcnn.vis import receptive_fields_figure


@pytest.fixture(scope="module")
def lenet() -> Summary:
    return summary(create("lenet5"), (1, 32, 32, 1))


def test_frames_are_those_of_the_middle_units(lenet: Summary) -> None:
    frames = [each for each in receptive_fields_figure(lenet).axes[0].patches if isinstance(each, Rectangle)]
    assert [(frame.get_xy(), frame.get_width()) for frame in frames] == [
        ((14, 14), 5),  # c1: unit 14 of 28
        ((14, 14), 6),  # s2: unit 7 of 14, jump 2
        ((10, 10), 14),
        ((8, 8), 16),
        ((0, 0), 32),  # c5 has one unit, whose receptive field is the image
    ]


def test_the_whole_frame_is_in_the_picture() -> None:
    found = summary(_Padded(), (1, 8, 12, 3))
    axes = receptive_fields_figure(found).axes[0]
    assert axes.get_xlim() == (0, 12) and axes.get_ylim() == (12, -4)
    assert [text.get_text() for text in axes.texts] == ["down  16\N{MULTIPLICATION SIGN}3"]


class _Padded(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dense(2)(linen.Conv(1, (16, 3), strides=8, padding=((4, 4), (1, 1)), name="down")(x).mean((1, 2)))


def test_the_image_is_behind_the_frames_and_without_one_a_grid(lenet: Summary) -> None:
    digit = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    (drawn,) = receptive_fields_figure(lenet, image=digit).axes[0].images
    np.testing.assert_allclose(drawn.get_array(), digit[..., 0] / 255, rtol=1e-6)
    (grid,) = receptive_fields_figure(lenet).axes[0].images
    assert [len(set(line)) for line in (grid.get_array()[0], grid.get_array()[:, 0])] == [2, 2]


def test_refusals(lenet: Summary) -> None:
    with pytest.raises(ValueError, match=r"image must have the shape \(32, 32, 1 or 3\).*image.shape=\(28, 28, 1\)"):
        receptive_fields_figure(lenet, image=np.zeros((28, 28, 1)))
    flat = summary(linen.Dense(3), (1, 7))
    with pytest.raises(ValueError, match=r"input_shape=\(1, 7\) is not one batch of images"):
        receptive_fields_figure(flat)
    with pytest.raises(ValueError, match="_Mean has no layer with a map of the image"):
        receptive_fields_figure(summary(_Mean(), (1, 4, 4, 1)))


class _Mean(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dense(3)(x.mean((1, 2)))
