"""Objectives on series of different lengths, whose padding must not matter."""

from typing import Any

import jax
import numpy as np
import pytest
from flax import linen

from jaxcnn import models, train
from tests.models.small import quick_jit

LENGTHS = np.array([7, 4, 5])


def batch(length: int, padding: float) -> dict[str, np.ndarray]:
    mask = np.arange(length) < LENGTHS[:, None]
    values = np.random.default_rng(0).standard_normal((3, 7, 2)).astype(np.float32)
    series = np.full((3, length, 2), padding, np.float32)
    series[:, :7] = np.where(mask[:, :7, None], values, padding)
    return {
        "series": series,
        "mask": mask,
        "label": np.array([0, 1, 1]),
        "target": np.array([[0.5, 0], [1, 2], [3, 1]], np.float32),
    }


@pytest.mark.parametrize("task", [train.classification, train.regression])
def test_padding_does_not_matter_with_a_mask(task: Any) -> None:
    functions = task(models.create("fcn_1d", num_classes=2), source="series", mask="mask")
    variables = quick_jit(functions["init"])(jax.random.key(0), batch(7, 0))

    def every(batch: dict[str, np.ndarray]) -> Any:
        losses, aux = functions["objective"](variables, batch, jax.random.key(1))
        return losses, aux.updates, functions["evaluate"](variables, batch), functions["predict"](variables, batch)

    short, long = (quick_jit(every)(each) for each in (batch(7, 0), batch(11, 1000)))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), short, long)
    blind = task(models.create("fcn_1d", num_classes=2), source="series")
    assert (
        np.abs(quick_jit(blind["objective"])(variables, batch(11, 1000), jax.random.key(1))[0] - long[0]).max() > 1e-2
    )


class WithoutMask(linen.Module):
    """A model that has no argument ``mask``."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Two numbers for each series."""
        return linen.Dense(2)(x.mean(1))


@pytest.mark.parametrize("task", [train.classification, train.regression])
def test_a_model_without_an_argument_mask_is_refused(task: Any) -> None:
    message = r"mask is for a model that is called with mask=\.\.\., but WithoutMask\.__call__ has no argument mask"
    with pytest.raises(TypeError, match=message):
        task(WithoutMask(), source="series", mask="mask")
