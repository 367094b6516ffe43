"""Maps over images, kernels and feature maps: the colours of values, and the errors."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jaxcnn import vis

IMAGE = np.random.default_rng(0).random((4, 4, 3))


def test_a_signed_map_is_drawn_from_red_to_blue_and_others_from_white() -> None:
    maps = {"signed": np.array([[-3.0, 0.0], [1.0, 2.0]]), "positive": np.array([[0.0, 4.0], [1.0, 2.0]])}
    _, signed, positive = vis.explanation_figure(IMAGE, maps, [], title="").axes
    assert signed.images[0].get_cmap().name == "RdBu" and signed.images[0].get_clim() == pytest.approx(
        (-3, 3), rel=0.02
    )
    assert positive.images[0].get_cmap().name == "Blues" and positive.images[0].get_clim() == pytest.approx(
        (0, 4), rel=0.02
    )
    assert [signed.get_xlabel(), positive.get_xlabel()] == ["-3 to 2", "0 to 4"]


def test_of_channels_the_strongest_is_drawn() -> None:
    values = np.zeros((4, 4, 3))
    values[1, 2] = [1, -5, 3]
    values[0, 0] = [0, 0, 2]
    figure = vis.explanation_figure(IMAGE, {"gradient": values}, [], title="")
    (drawn,) = (image.get_array() for image in figure.axes[1].images)
    assert drawn[1, 2] == -5 and drawn[0, 0] == 2 and np.abs(drawn).sum() == 7


def test_kernels_are_about_mid_grey_each_to_its_own_scale() -> None:
    kernel = np.zeros((1, 2, 1, 2))
    kernel[0, :, 0, 0], kernel[0, :, 0, 1] = [0.1, -0.1], [0, 8]
    one, two = (image.get_array() for image in vis.kernels_figure(kernel, title="").axes[0].images)
    np.testing.assert_allclose(one, [[1, 0]])
    np.testing.assert_allclose(two, [[0.5, 1]])


def test_kernels_of_several_channels_have_a_tile_for_each_pair() -> None:
    figure = vis.kernels_figure(np.ones((3, 3, 2, 2)), title="")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0>0", "0>1", "1>0", "1>1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vis.explanation_figure(np.ones((4, 4)), {}, [], title=""), "image must have the shape (height, width"),
        (
            lambda: vis.explanation_figure(IMAGE, {"a": np.ones(4)}, [], title=""),
            "explanation_figure: the map 'a' must have the shape (rows, columns) or that of an image, not (4,)",
        ),
        (lambda: vis.units_figure([], [], title=""), "units_figure: there are no images to draw"),
        (
            lambda: vis.units_figure([("p", np.ones((2, 1, 4, 4, 1)))], ["a"], title=""),
            "'p' must have the shape (1 units, images, height, width, 1 or 3), not (2, 1, 4, 4, 1)",
        ),
        (
            lambda: vis.kernels_figure(np.ones((3, 3, 2)), title=""),
            "kernel must have the shape (height, width, in, out)",
        ),
        (
            lambda: vis.feature_maps_figure(np.ones((3, 3)), title=""),
            "maps must have the shape (height, width, channels)",
        ),
    ],
)
def test_other_arrays_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
