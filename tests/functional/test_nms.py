"""Non-maximum suppression of short lists, of several blocks, and of sharded lists, against loops."""

from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import functional
from jaxcnn._portable import portable_operations
from tests.compiled import compiled_functions
from tests.functional.drawn_boxes import drawn
from tests.oracles import boxes as oracle

F = compiled_functions(functional)

N, TRIALS = 40, 60


def test_nms_against_loops() -> None:
    """Sixty lists with ties in the scores and exact overlaps, at thresholds below, at and above 0.5, in one program."""
    generator = np.random.default_rng(1)
    boxes = np.stack([drawn(generator, N, whole=bool(trial % 2)) for trial in range(TRIALS)])
    scores = (generator.integers(0, 12, (TRIALS, N)) / 12).astype(np.float32)
    classes = generator.integers(0, 3, (TRIALS, N))
    mask = np.arange(N) < generator.integers(1, N + 1, (TRIALS, 1))
    thresholds = (0.3, 0.5, 0.7)

    @jax.jit
    def every() -> Any:
        lists = [F.nms(boxes, scores, iou_threshold=t, max_output=N) for t in thresholds]
        lists += [F.nms(boxes, scores, iou_threshold=t, max_output=N, classes=classes) for t in thresholds]
        lists += [F.nms(boxes, scores, iou_threshold=t, max_output=N, mask=mask) for t in thresholds]
        return lists, F.nms(boxes, scores, iou_threshold=0.3, max_output=5)

    lists, first = jax.device_get(every())
    dropped = 0
    for number, (indices, valid) in enumerate(lists):
        for trial in range(TRIALS):
            count = mask[trial].sum() if number >= 6 else N
            kinds = classes[trial] if 3 <= number < 6 else None
            expected = oracle.nms(boxes[trial, :count], scores[trial, :count], thresholds[number % 3], kinds)
            assert indices[trial][valid[trial]].tolist() == expected
            assert (indices[trial][~valid[trial]] == -1).all()
            dropped += count - len(expected)
    assert dropped > 1000, "lists in which boxes drop others"
    np.testing.assert_array_equal(first[0], lists[0][0][:, :5])


def test_nms_of_unusual_lists() -> None:
    """An empty list, more outputs than boxes, an overlap exactly at the threshold, and a score of NaN."""
    pair = np.array([[0, 0, 10, 10], [0, 0, 10, 3], [0, 0, 10, 10]], np.float32)

    @jax.jit
    def every() -> Any:
        return (
            F.nms(pair[:0], np.zeros(0, np.float32), iou_threshold=0.5, max_output=2),
            F.nms(pair, np.array([3, 2, 1], np.float32), iou_threshold=0.3, max_output=5),
            F.nms(pair, np.array([np.nan, 2, 1], np.float32), iou_threshold=0.5, max_output=3),
            F.nms(pair, np.array([3, 2, 1], np.float32), iou_threshold=0.0, max_output=0),
        )

    nothing, exact, spoilt, none = jax.device_get(every())
    assert nothing[0].tolist() == [-1, -1] and not nothing[1].any()
    # In float32, 30 / 100 is above 0.3; torchvision compares in float32 too.
    assert exact[0].tolist() == [0, -1, -1, -1, -1]
    assert spoilt[0].tolist() == [1, 2, -1]
    assert none[0].shape == (0,)


def test_long_lists_are_selected_block_by_block() -> None:
    """More boxes than one block has, dense and in three classes; some are padding, and one list is all padding."""
    generator = np.random.default_rng(5)
    number = 4500
    corner = generator.uniform(0, 400, (2, number, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(5, 40, (2, number, 2))], -1).astype(np.float32)
    scores = (generator.integers(0, 900, (2, number)) / 900).astype(np.float32)
    classes = generator.integers(0, 3, (2, number))
    mask = generator.random((2, number)) < np.array([[0.9], [0.0]])

    indices, valid = F.nms(boxes, scores, iou_threshold=0.3, max_output=1200, classes=classes, mask=mask)
    there = np.flatnonzero(mask[0])
    selected = there[oracle.nms_of_arrays(boxes[0, there], scores[0, there], classes[0, there], 0.3)]
    assert 1200 < len(selected) < 3500 and valid[0].all() and not valid[1].any()
    assert indices[0].tolist() == selected[:1200].tolist()


@pytest.mark.parametrize("number", [257, 512, 700])
def test_lists_of_a_few_blocks(number: int) -> None:
    """Full and partial last blocks, more outputs than boxes, no outputs; in ``shard_map`` and portable programs."""
    generator = np.random.default_rng(number)
    boxes = np.stack([drawn(generator, number, whole=whole) for whole in (False, True)])
    scores = (generator.integers(0, 90, (2, number)) / 90).astype(np.float32)

    def select(boxes: jax.Array, scores: jax.Array) -> Any:
        return F.nms(boxes, scores, iou_threshold=0.5, max_output=number + 3)

    indices, valid = jax.jit(select)(boxes, scores)
    for trial in range(2):
        assert indices[trial][valid[trial]].tolist() == oracle.nms(boxes[trial], scores[trial], 0.5, None)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    split = jax.sharding.PartitionSpec("data")
    inside = jax.jit(jax.shard_map(select, mesh=mesh, in_specs=split, out_specs=split))(boxes, scores)
    np.testing.assert_array_equal(inside[0], indices)
    with portable_operations():
        np.testing.assert_array_equal(jax.jit(lambda *each: select(*each))(boxes, scores)[0], indices)
    assert F.nms(boxes, scores, iou_threshold=0.5, max_output=0)[0].shape == (2, 0)


def test_a_dropped_box_of_an_earlier_block_drops_no_other() -> None:
    """The last box overlaps the one before it, which a box of the first block drops; there is room for 200 boxes."""
    apart = [[20 * place, 0, 20 * place + 10, 10] for place in range(1, 155)]
    boxes = np.array([[0, 0, 10, 10]] * 101 + apart + [[0, 0, 10, 6], [0, 0, 10, 3.5]], np.float32)
    indices, valid = F.nms(boxes, -np.arange(257.0), iou_threshold=0.5, max_output=200)
    assert indices[valid].tolist() == [0, *range(101, 255), 256]


@pytest.mark.parametrize("number", [40, 700])
def test_lists_that_are_sharded_stay_sharded(number: int) -> None:
    """Over a mesh with Explicit axes, which the types of all constants must have too."""
    generator = np.random.default_rng(number)
    boxes = np.stack([drawn(generator, number) for _ in range(4)])
    scores = generator.random((4, number), np.float32)

    def select(boxes: jax.Array, scores: jax.Array) -> Any:
        return F.nms(boxes, scores, iou_threshold=0.5, max_output=number)

    explicit = (jax.sharding.AxisType.Explicit,)
    mesh = jax.make_mesh((4,), ("data",), axis_types=explicit, devices=jax.devices()[:4])
    placed = jax.device_put((boxes, scores), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    program = jax.jit(select).lower(*placed).compile()
    indices, valid = jax.device_get(program(*placed))
    assert "all-gather" not in (program.as_text() or "all-gather")
    for trial in range(4):
        assert indices[trial][valid[trial]].tolist() == oracle.nms(boxes[trial], scores[trial], 0.5, None)
