"""The cells of the neocognitron, against the equations of the paper in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.models._neocognitron import CCells, SCells, Stage


def test_cells_answer_as_the_paper_s_equations_say(key: jax.Array) -> None:
    stage = Stage(planes=3, s_window=3, c_window=3, selectivity=2.0)
    x = np.asarray(jax.random.uniform(key, (5, 5, 2)))
    a, b = np.asarray(jax.random.uniform(key, (3, 3, 2, 3))), np.array([0.5, 2.0, 9.0])
    distance = np.hypot(*np.indices((3, 3)) - 1.0)
    c, d = (decay**distance / (decay**distance).sum() for decay in (0.9, 0.8))
    s = np.asarray(SCells(stage).apply({"params": {"a": a, "b": jnp.asarray(b, jnp.float32)}}, x))
    part = x[1:4, 0:3]  # the window that the cell at (2, 1) reads
    v = np.sqrt((c[:, :, None] / 2 * part**2).sum())
    for plane in range(3):
        ratio = (1 + (a[..., plane] * part).sum()) / (1 + 2 * 2 / 3 * b[plane] * v)
        assert s[2, 1, plane] == pytest.approx(2 * max(ratio - 1, 0), rel=1e-4)
    answers = np.asarray(CCells(stage).apply({}, jnp.asarray(s)))
    near = (d[:, :, None] * s[1:4, 0:3]).sum((0, 1))
    u = np.maximum((1 + near) / (1 + near.mean()) - 1, 0)
    np.testing.assert_allclose(answers[2, 1], u / (0.5 + u), rtol=1e-4)
