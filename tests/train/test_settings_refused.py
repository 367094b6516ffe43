"""Errors for numbers that a loss, a normalisation or a schedule cannot use, at the place where they are passed."""

from collections.abc import Callable
from typing import Any

import pytest

from jaxcnn.train import cross_entropy, standardize, triangular, warmup_cosine


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cross_entropy(5), r"cross_entropy: expected a label_smoothing of at least 0 and less than 1, got 5"),
        (lambda: cross_entropy(-0.1), r"at least 0 and less than 1, got -0\.1"),
        (lambda: cross_entropy(float("nan")), r"at least 0 and less than 1, got nan"),
        (
            lambda: standardize([0.5, 0.5], [0.2, 0.0]),
            r"standardize: .*std=\[0\.2 0\. \]\. A channel that has one",
        ),
        (lambda: standardize([float("nan")], [0.2]), r"standardize: expected finite means"),
        (
            lambda: warmup_cosine(-0.1, total_steps=9, warmup=0.1),
            r"warmup_cosine: peak_lr=-0\.1 is the largest",
        ),
        (lambda: warmup_cosine(0.1, total_steps=9, warmup=1), r"warmup_cosine: warmup=1 is the share of steps that"),
        (
            lambda: warmup_cosine(0.1, total_steps=0, warmup=0.1),
            r"warmup_cosine: total_steps=0; .*Is epochs at least",
        ),
        (lambda: triangular(0.1, total_steps=9, warmup=-1), r"triangular: warmup=-1 is the share of steps"),
        (lambda: triangular(float("inf"), total_steps=9), r"triangular: peak_lr=inf is the largest learning rate"),
        (lambda: triangular(0.1, total_steps=0), r"triangular: total_steps=0; a run needs at least one"),
    ],
)
def test_numbers_without_a_meaning(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
