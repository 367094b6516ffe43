"""The colours of a flow equal those of torchvision.utils.flow_to_image for the same displacements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.vis import flow_to_color

VECTORS = np.array([[0, 0], [2, 0], [0, 2], [-2, 0], [0, -2], [1, 1], [-0.5, 0.25], [0.3, -1.5]], np.float32)
COLOURS = [
    [255, 255, 255],
    [255, 0, 0],
    [255, 229, 0],
    [0, 209, 255],
    [87, 0, 255],
    [255, 155, 74],
    [183, 255, 219],
    [152, 59, 255],
]


def test_colours_are_torchvisions() -> None:
    found = flow_to_color(VECTORS.reshape(2, 1, 4, 2)).reshape(8, 3)
    np.testing.assert_allclose(found.astype(int), COLOURS, rtol=0, atol=1)  # torchvision rounds down in float32


def test_a_given_length_saturates_and_longer_ones_are_darker() -> None:
    colours = flow_to_color(VECTORS.reshape(1, 8, 2), largest=1.0)[0]
    np.testing.assert_array_equal(colours[0], 255)
    np.testing.assert_array_equal(colours[1], np.floor(0.75 * np.array(COLOURS[1])))
    np.testing.assert_array_equal(flow_to_color(VECTORS.reshape(1, 8, 2), largest=jnp.float32(1))[0], colours)
    np.testing.assert_array_equal(flow_to_color(np.zeros((2, 2, 2))), 255)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"flow_to_color: expected a flow \(\*batch, height, width, 2\); got flow"):
        flow_to_color(VECTORS)
    with pytest.raises(ValueError, match="expected a finite flow; got NaN or infinity"):
        flow_to_color(np.full((1, 1, 2), np.nan))
    with pytest.raises(TypeError, match=r"expected a flow of real numbers, .* got complex numbers"):
        flow_to_color(np.zeros((2, 2, 2), complex))
    with pytest.raises(ValueError, match="largest='a' must be a positive number"):
        flow_to_color(np.zeros((2, 2, 2)), largest="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="largest=0 must be a positive number"):
        flow_to_color(np.zeros((1, 1, 2)), largest=0)
    with pytest.raises(TypeError, match="flow_to_color: flow must be an array of numbers, not a list of str"):
        flow_to_color(["cat"])
    with pytest.raises(TypeError, match="a flow is drawn outside of compiled functions: return it from the function"):
        jax.jit(flow_to_color)(np.zeros((1, 1, 2)))
