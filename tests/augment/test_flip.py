"""Random flips: the results, and how often an image is flipped."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import augment
from tests.compiled import compiled
from tests.tiers import default_rows

random_flip = compiled(augment.random_flip)

IMAGES = np.random.default_rng(0).normal(size=(1000, 3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize(("axis", "mirror"), [("height", np.flipud), ("width", np.fliplr)])
@pytest.mark.parametrize("probability", default_rows([0, 0.2, 0.5, 1.0], keep=[0, 0.2]))
def test_mirrors_so_many(key: jax.Array, axis: str, mirror: Any, probability: float) -> None:
    y = np.asarray(random_flip(key, IMAGES, axis=axis, probability=probability))
    kept = np.array([np.array_equal(after, before) for before, after in zip(IMAGES, y, strict=True)])
    turned = np.array([np.array_equal(after, mirror(before)) for before, after in zip(IMAGES, y, strict=True)])
    assert np.all(kept != turned)
    # Four standard deviations of the mean of 1000 draws; no tolerance where the probability is 0 or 1.
    assert abs(turned.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / 1000)


GOOD = jnp.zeros((2, 4, 4, 1))
MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"axis": "widht"}, ValueError, "axis='widht' is not known. Did you mean 'width'?"),
    ({"probability": 50}, ValueError, "probability=50 must be finite, at least 0 and at most 1."),
    ({"probability": -0.1}, ValueError, "probability=-0.1 must be finite, at least 0 and at most 1."),
    ({"probability": "half"}, TypeError, "probability must be a plain number, not 'half' (str)."),
]


@pytest.mark.parametrize(("options", "kind", "message"), MISTAKES)
def test_mistakes(key: jax.Array, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="^random_flip: " + re.escape(message)):
        random_flip(key, GOOD, **options)
