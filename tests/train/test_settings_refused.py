"""Errors for numbers that a loss, a normalisation or a schedule cannot use, at the place where they are passed."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
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


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 2), (3, 5, 4, 2), (3, 4, 5, 4, 2)])
def test_standardize_keeps_the_axes_of_series_images_and_videos(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape, np.float32)
    found = standardize([0.5, 0.25], [0.2, 0.1])(jnp.asarray(x))
    np.testing.assert_allclose(found, (x - np.array([0.5, 0.25])) / np.array([0.2, 0.1]), rtol=1e-5, atol=1e-6)
