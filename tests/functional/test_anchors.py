"""Anchors and regions of a pyramid: equal to torchvision's, and to loops over the definitions."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, functional
from tests.compiled import compiled_functions
from tests.oracles import boxes as oracle
from tests.oracles.torchvision_detection import stored

F = compiled_functions(functional)


def test_anchors_are_torchvisions() -> None:
    """Two strides, several sizes and ratios; the rounding of halves and the order are compared too."""
    found = functional.anchors((2, 3), strides=(4, 8), sizes=(32, 70))
    np.testing.assert_array_equal(found, stored()["anchors 0"])
    found = functional.anchors((3, 2), strides=16, sizes=(128, 256, 512), ratios=(0.3, 1.0))
    np.testing.assert_array_equal(found, stored()["anchors 1"])


def test_the_nine_anchors_of_the_paper() -> None:
    """Areas and ratios differ by no more than rounding half a side to an integer; centres are at the positions."""
    found = np.asarray(functional.anchors((3, 2), strides=16, sizes=(128, 256, 512), offset=0.5)).reshape(3, 2, 9, 4)
    sides = found[..., 2:] - found[..., :2]
    for index, (ratio, size) in enumerate((r, s) for r in (0.5, 1, 2) for s in (128, 256, 512)):
        exact = np.array([size / math.sqrt(ratio), size * math.sqrt(ratio)])
        np.testing.assert_allclose(sides[..., index, :], np.broadcast_to(exact, (3, 2, 2)), atol=1)
    centres = (found[..., :2] + found[..., 2:]) / 2
    assert centres[2, 1].tolist() == [[24, 40]] * 9


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"map_shape": (2, 3, 4)}, ShapeError, r"^anchors: map_shape must be \(height, width\), not \(2, 3, 4\)"),
        ({"map_shape": 2}, ShapeError, r"^anchors: map_shape must be \(height, width\), not 2"),
        ({"sizes": 32}, ValueError, r"sizes must be one or more positive numbers, not 32\. Write one as \(32,\)"),
        ({"sizes": ()}, ValueError, r"^anchors: sizes must be one or more positive numbers, not \(\)"),
        ({"ratios": (1.0, -2.0)}, ValueError, r"^anchors: ratios must be one or more positive numbers"),
        ({"offset": 2}, ValueError, r"^anchors: offset=2 must be from 0, the corner of a position, to 1"),
        ({"strides": 0}, ShapeError, r"^anchors: strides=0 must be at least 1"),
    ],
)
def test_anchors_that_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        functional.anchors(**{"map_shape": (2, 3), "strides": 4, "sizes": (8,), **change})


OPTIONS: dict[str, Any] = {"strides": (4, 8, 16), "output_size": 2, "sampling_ratio": 2, "canonical_size": 56}
# Areas at the limits between levels, areas beyond the first and the last level, and boxes without area.
EDGES = np.array([[0, 0, s, s] for s in (27.99, 28, 55.9, 56, 112, 1, 0, 400)], np.float32)


def test_regions_of_a_pyramid_are_torchvisions() -> None:
    found = F.pyramid_roi_align(
        [stored()[f"map {i}"] for i in range(3)], stored()["region boxes"], aligned=False, **OPTIONS
    )
    np.testing.assert_allclose(found, stored()["regions"], atol=1e-5)


def test_each_box_is_read_from_the_level_of_its_size() -> None:
    maps = [stored()[f"map {i}"] for i in range(3)]
    boxes = np.concatenate([stored()["region boxes"], EDGES])

    def loss(maps: Any, boxes: Any) -> Any:
        found = F.pyramid_roi_align(maps, boxes, aligned=True, **OPTIONS)
        return (found * jnp.arange(float(found.size)).reshape(found.shape)).sum(), found

    both = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    (of_maps, of_boxes), found = jax.device_get(both(maps, boxes))
    assert not np.any(of_boxes) and all(np.any(each) for each in of_maps)
    for box, got in zip(boxes, found, strict=True):
        side = math.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1e-9))
        level = min(max(math.floor(4 + math.log2(side / 56) + 1e-6), 2), 4) - 2
        expected = oracle.roi_align(maps[level], box[None], (2, 2), scale=1 / (4 << level), ratio=2, aligned=True)
        np.testing.assert_allclose(got, expected[0], atol=1e-4)


MAPS, BOX = [np.ones((4, 4, 2), np.float32), np.ones((2, 2, 2), np.float32)], np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"strides": (4, 16)},
            ValueError,
            r"^pyramid_roi_align: strides=\(4, 16\) must have one power of two for each",
        ),
        ({"strides": (4,)}, ValueError, r"strides=\(4,\) must have one power of two for each of the 2 maps"),
        ({"strides": 4}, ValueError, r"strides=4 must have one power of two for each of the 2 maps"),
        ({"strides": (6, 12)}, ValueError, r"strides=\(6, 12\) must have one power of two"),
        ({"sampling_ratio": 0}, ValueError, r"^pyramid_roi_align: sampling_ratio=0 must be at least 1\."),
        ({"canonical_size": 0}, ValueError, r"canonical_size=0 must be a positive number: 224 for usual backbones"),
        (
            {"boxes": BOX[0]},
            ShapeError,
            r"maps and boxes must have the shapes \(\*batch, height, width, channels\) and",
        ),
        ({"maps": [MAPS[0], MAPS[1][:0]]}, ShapeError, r"\(0, 2, 2\) have no pixels on some level"),
        ({"maps": [MAPS[0], MAPS[1].astype(int)]}, TypeError, r"maps must be of one floating type, not float32, int"),
    ],
)
def test_regions_that_are_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"maps": MAPS, "boxes": BOX, "strides": (4, 8), "output_size": 2, "sampling_ratio": 2, "aligned": True}
    with pytest.raises(error, match=message):
        functional.pyramid_roi_align(**{**given, **change})
