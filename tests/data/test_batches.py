"""Evaluation includes every image exactly once; training drops incomplete batches."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.data._batches import eval_batches, steps_per_epoch


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 300), batch_size=st.integers(1, 320))
def test_every_image_counts_once(count: int, batch_size: int) -> None:
    batches = list(eval_batches(count, batch_size))
    assert {index.shape for index, _ in batches} == {mask.shape for _, mask in batches} == {(batch_size,)}
    assert {index.dtype for index, _ in batches} == {np.dtype(np.int32)}
    seen = np.concatenate([index[mask] for index, mask in batches])
    np.testing.assert_array_equal(seen, np.arange(count))
    assert all(index.min() >= 0 and index.max() < count for index, _ in batches)
    assert len(batches) == -(-count // batch_size)


@pytest.mark.parametrize(("count", "batch_size", "expected"), [(1437, 64, 22), (64, 64, 1), (65, 64, 1), (3, 1, 3)])
def test_a_last_half_batch_is_left_out(count: int, batch_size: int, expected: int) -> None:
    assert steps_per_epoch(count, batch_size) == expected


@pytest.mark.parametrize("function", [steps_per_epoch, eval_batches])
@pytest.mark.parametrize(
    ("count", "batch_size", "kind", "message"),
    [
        (0, 4, ValueError, "count=0 must be at least 1"),
        (4, 0, ValueError, "batch_size=0 must be at least 1"),
        (4, 2.0, TypeError, "batch_size must be an integer, not 2.0"),
    ],
)
def test_what_is_refused_at_the_call(
    function: object, count: int, batch_size: int, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(f"{function.__name__}: {message}")):  # type: ignore[attr-defined]
        function(count, batch_size)  # type: ignore[operator]


def test_a_batch_larger_than_the_data() -> None:
    with pytest.raises(
        ValueError, match="steps_per_epoch: a batch of 5 does not fit 4 images; take a batch_size of at"
    ):
        steps_per_epoch(4, 5)
