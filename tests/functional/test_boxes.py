"""Areas, overlaps and encodings of boxes, and regions, against loops, which are equal to torchvision."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, functional
from tests.compiled import compiled_functions
from tests.functional.drawn_boxes import drawn
from tests.oracles import boxes as oracle

F = compiled_functions(functional)


def test_overlaps_and_encodings_against_loops() -> None:
    generator = np.random.default_rng(0)
    a, b = drawn(generator, 9), drawn(generator, 6) + np.array([0, 0, 1, 1], np.float32)
    weights = (10.0, 10.0, 5.0, 5.0)
    anchors = np.concatenate([b, b[:3]])

    @jax.jit
    def every() -> Any:
        moved = F.encode_boxes(a + 0.5 * np.array([0, 0, 1, 1], np.float32), anchors, weights=weights)
        return {
            "iou": F.box_iou(a, b),
            "giou": F.generalized_box_iou(a, b),
            "area": F.box_area(a),
            "encoded": moved,
            "decoded": F.decode_boxes(moved, anchors, weights=weights),
            "largest": F.decode_boxes(jnp.full(4, 100.0), jnp.array([0.0, 0.0, 16.0, 16.0])),
            "clipped": F.clip_boxes(a, (12, 20)),
            "clipped to each": F.clip_boxes(np.stack([a, a]), np.array([[12, 20], [8, 9]])),
            "areas of bytes": F.box_area(np.array([[0, 0, 200, 200]], np.uint16)),
        }

    got = jax.device_get(every())
    np.testing.assert_allclose(got["iou"], [[oracle.iou(p, q) for q in b] for p in a], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got["giou"], [[oracle.generalized_iou(p, q) for q in b] for p in a], atol=1e-5)
    np.testing.assert_allclose(got["area"], (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]), rtol=1e-6)
    wide = a + 0.5 * np.array([0, 0, 1, 1], np.float32)
    expected = [oracle.encode(p, q, weights) for p, q in zip(wide, anchors, strict=True)]
    np.testing.assert_allclose(got["encoded"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["decoded"], wide, atol=1e-4)
    np.testing.assert_allclose(got["largest"], [1108, 1108, 2108, 2108], rtol=1e-6)
    np.testing.assert_array_equal(got["clipped"], np.clip(a, 0, [20, 12, 20, 12]))
    np.testing.assert_array_equal(got["clipped to each"][1], np.clip(a, 0, [9, 8, 9, 8]))
    assert got["areas of bytes"].tolist() == [40000]


def test_boxes_without_area_have_finite_numbers_and_gradients() -> None:
    """Points, inverted boxes and boxes that touch.

    The log of 0 and 0 / 0 would make the loss of a detector NaN.
    """
    empty = np.array([[1, 1, 1, 1], [3, 3, 1, 1], [0, 0, 2, 2], [2, 0, 4, 2], [1, 1, 1, 5]], np.float32)

    @jax.jit
    def every(boxes: jax.Array) -> Any:
        measures = (
            lambda a: F.box_iou(a, a),
            lambda a: F.generalized_box_iou(a, a),
            lambda a: F.encode_boxes(a, a[::-1]),
            lambda a: F.box_area(a),
        )
        return [(measure(boxes), jax.grad(lambda a, m=measure: m(a).sum())(boxes)) for measure in measures]

    got = jax.device_get(every(empty))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))
    assert got[0][0].diagonal().tolist() == [0, 0, 1, 1, 0] and got[3][0].tolist() == [0, 0, 4, 4, 0]
    moved = jax.grad(lambda a: F.box_iou(a, empty[2:3] + 0.5).sum())(empty)
    assert [bool(row.any()) for row in moved] == [False, False, True, True, False]


def test_area_in_float16_is_computed_in_float32() -> None:
    """300 * 300 exceeds float16, but the covered fraction of it does not."""
    boxes = jnp.array([[0, 0, 300, 300], [0, 0, 300, 150]], jnp.float16)
    iou = F.box_iou(boxes, boxes)
    assert iou.dtype == jnp.float16 and iou.tolist() == [[1, 0.5], [0.5, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_integers_that_do_not_hold_an_area_or_the_size_of_an_image(dtype: str) -> None:
    boxes = np.array([[0, 0, 200, 250], [10, 20, 255, 60]]).astype(dtype)
    wide = boxes.astype(int)
    area = F.box_area(boxes)
    assert area.dtype == jnp.int32
    np.testing.assert_array_equal(area, (wide[:, 2] - wide[:, 0]) * (wide[:, 3] - wide[:, 1]))
    for height, width in ((300, 70_000), (40, 120)):
        clipped = F.clip_boxes(boxes, (height, width))
        assert clipped.dtype == dtype
        np.testing.assert_array_equal(clipped, np.clip(wide, 0, [width, height, width, height]))


CORNERS = np.array([[-3, -2, 9, 8], [2, 3, 2, 3], [4, 1, 30, 25], [0.3, 0.2, 5.1, 4.4], [50, 50, 60, 60]], np.float64)


def test_roi_align_and_pool_against_loops() -> None:
    """Boxes partly and completely outside, without area, larger than the map; with each number of samples."""
    features = np.random.default_rng(2).standard_normal((7, 9, 2))
    settings = [(ratio, aligned) for ratio in (1, 2, 3, None) for aligned in (False, True)]
    whole = np.concatenate([CORNERS, np.array([[0.5, 1.5, 8.5, 2.5], [-0.5, -1.5, 6, 40], [12, 3, 3, 13]])])

    @jax.jit
    def every() -> Any:
        aligned = [
            F.roi_align(features, CORNERS, output_size=(2, 3), spatial_scale=0.5, sampling_ratio=r, aligned=a)
            for r, a in settings
        ]
        return aligned, F.roi_pool(features, whole, output_size=(3, 2), spatial_scale=1.0)

    with jax.enable_x64(True):
        got, pooled = jax.device_get(every())
    for (ratio, aligned), one in zip(settings, got, strict=True):
        expected = oracle.roi_align(features, CORNERS, (2, 3), scale=0.5, ratio=ratio, aligned=aligned)
        np.testing.assert_allclose(one, expected, atol=1e-12, err_msg=f"{ratio}, {aligned}")
    np.testing.assert_array_equal(pooled, oracle.roi_pool(features, whole, (3, 2), scale=1.0))
    assert (pooled == 0).all((1, 2, 3)).any() and (pooled != 0).any()


@pytest.mark.parametrize("ratio", [1, 2], ids=["reads of samples", "sums over the map"])
def test_the_derivatives_of_roi_align_are_those_of_its_matrix(ratio: int) -> None:
    """The matrix is the result for features with one channel for each pixel; 40 boxes are more than one block."""
    generator = np.random.default_rng(5)
    boxes = np.concatenate([CORNERS] * 8) + generator.uniform(0, 1, (40, 4))
    pixels = np.eye(63).reshape(7, 9, 63)
    matrix = oracle.roi_align(pixels, boxes, (2, 3), scale=0.5, ratio=ratio, aligned=True)
    x, moved, weights = (generator.standard_normal(shape) for shape in ((7, 9, 2), (7, 9, 2), (40, 2, 3, 2)))

    @jax.jit
    def every(x: jax.Array) -> Any:
        def align(x: jax.Array) -> jax.Array:
            return F.roi_align(x, boxes, output_size=(2, 3), spatial_scale=0.5, sampling_ratio=ratio, aligned=True)

        return jax.jvp(align, (x,), (moved,)), jax.grad(lambda x: (align(x) * weights).sum())(x)

    with jax.enable_x64(True):
        (value, tangent), gradient = jax.device_get(every(x))
    np.testing.assert_allclose(value, np.einsum("nijp,pc->nijc", matrix, x.reshape(63, 2)), atol=1e-12)
    np.testing.assert_allclose(tangent, np.einsum("nijp,pc->nijc", matrix, moved.reshape(63, 2)), atol=1e-12)
    np.testing.assert_allclose(gradient.reshape(63, 2), np.einsum("nijp,nijc->pc", matrix, weights), atol=1e-12)


def test_a_pool_of_regions_is_the_adaptive_pool_of_its_pixels() -> None:
    features = np.random.default_rng(3).standard_normal((9, 8, 2)).astype(np.float32)

    @jax.jit
    def both(features: jax.Array) -> Any:
        pooled = F.roi_pool(features, np.array([[1.0, 2, 6, 8]]), output_size=(3, 4), spatial_scale=1.0)
        return pooled[0], F.adaptive_max_pool(features[2:9, 1:7], (3, 4))

    np.testing.assert_array_equal(*jax.device_get(both(features)))


def test_float32_boxes_go_with_bfloat16_features() -> None:
    """The box starts at column 301, which bfloat16 cannot represent."""
    ramp = jnp.broadcast_to((jnp.arange(320, dtype=jnp.float32) % 8)[None, :, None], (4, 320, 1)).astype(jnp.bfloat16)
    boxes = np.array([[301.5, 1, 302.5, 2]], np.float32)
    options: dict[str, Any] = {"output_size": 1, "spatial_scale": 1.0}
    aligned = F.roi_align(ramp, boxes, sampling_ratio=1, aligned=False, **options)
    assert aligned.dtype == jnp.bfloat16 and aligned.item() == 302 % 8
    assert F.roi_pool(ramp, boxes - 0.5, **options).item() == 302 % 8


def test_a_maximum_that_is_nan_stays_nan() -> None:
    features = jnp.ones((4, 4, 1)).at[1, 2].set(jnp.nan)
    pooled = F.roi_pool(features, np.array([[0.0, 0, 3, 3]]), output_size=2, spatial_scale=1.0)[0, :, :, 0]
    np.testing.assert_array_equal(pooled, [[1, np.nan], [1, 1]])


BOX, MAP = np.ones((3, 4), np.float32), np.ones((5, 6, 2), np.float32)
ALIGN: dict[str, Any] = {"output_size": 2, "spatial_scale": 1.0, "sampling_ratio": 2, "aligned": True}
NMS: dict[str, Any] = {"iou_threshold": 0.5, "max_output": 2}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.box_area(np.ones((3, 5))), ShapeError, r"^box_area: boxes must have the shape \(..., 4\)"),
        (lambda: F.box_area(np.ones((3, 4), bool)), TypeError, r"^box_area: boxes must be real numbers, not bool"),
        (
            lambda: F.box_iou(BOX, BOX[None]),
            ShapeError,
            r"^box_iou: a and b must have the shapes \(\*batch, n, 4\) and \(\*batch, m, 4\) with the same batch axes",
        ),
        (
            lambda: F.encode_boxes(BOX, BOX[:2]),
            ShapeError,
            r"^encode_boxes: boxes and anchors must have the same shape, but boxes.shape=\(3, 4\)",
        ),
        (
            lambda: F.decode_boxes(BOX, BOX, weights=(1, 1)),
            ShapeError,
            r"^decode_boxes: weights must be four numbers, one for each of dx, dy, dw and dh, not \(1, 1\)",
        ),
        (
            lambda: F.clip_boxes(BOX, np.ones((2, 2))),
            ShapeError,
            r"^clip_boxes: image_shape must be \(height, width\), or have the shape \(\*batch, 2\)",
        ),
        (
            lambda: F.clip_boxes(BOX, np.ones(2, complex)),
            TypeError,
            r"^clip_boxes: image_shape must be real numbers, not complex",
        ),
        (lambda: F.nms(BOX[0], BOX[0], **NMS), ShapeError, r"^nms: boxes must have the shape \(\*batch, n, 4\), but"),
        (lambda: F.nms(BOX, BOX, **NMS), ShapeError, r"^nms: scores must have one entry for each box, the shape \(3,"),
        (lambda: F.nms(BOX, [True] * 3, **NMS), TypeError, r"^nms: scores must be real numbers, not bool"),
        (
            lambda: F.nms(BOX, BOX[:, 0], classes=BOX[:, 0], **NMS),
            TypeError,
            r"^nms: classes must be integers, not float32",
        ),
        (
            lambda: F.nms(BOX, BOX[:, 0], mask=BOX[:, 0], **NMS),
            TypeError,
            r"^nms: mask must be booleans, True for boxes that exist, not float32",
        ),
        (
            lambda: F.nms(BOX, BOX[:, 0], iou_threshold=50, max_output=2),
            ValueError,
            r"^nms: iou_threshold=50 must be from 0 to 1",
        ),
        (
            lambda: functional.nms(BOX, BOX[:, 0], iou_threshold=BOX[0], max_output=2),
            TypeError,
            r"^nms: iou_threshold must be a plain number, not array",
        ),
        (
            lambda: F.nms(BOX, BOX[:, 0], iou_threshold=0.5, max_output=-1),
            ValueError,
            r"^nms: max_output=-1 must be at least 0",
        ),
        (
            lambda: F.roi_align(MAP[None], BOX, **ALIGN),
            ShapeError,
            r"^roi_align: features and boxes must have the shapes \(\*batch, height, width, channels\) and",
        ),
        (lambda: F.roi_align(MAP[:0], BOX, **ALIGN), ShapeError, r"features of shape \(0, 6, 2\) have no pixels"),
        (
            lambda: F.roi_align(MAP.astype(int), BOX, **ALIGN),
            TypeError,
            r"^roi_align: features must be floating, not int",
        ),
        (
            lambda: F.roi_align(MAP, BOX, **{**ALIGN, "sampling_ratio": -1}),
            ValueError,
            r"^roi_align: sampling_ratio=-1 must be at least 1. None adapts it to the size of each box",
        ),
        (
            lambda: F.roi_pool(MAP, BOX, output_size=2, spatial_scale=0),
            ValueError,
            r"^roi_pool: spatial_scale=0 must be a positive number: 1 / 16 for a map of stride 16",
        ),
        (
            lambda: F.roi_pool(MAP, BOX, output_size=0, spatial_scale=1),
            ShapeError,
            r"^roi_pool: output_size=0 must be at least 1",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
