"""Muon against loops in NumPy, and each row of the table of recipes in docs/training.md."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn.train import by_pattern, decay_mask, muon, triangular, warmup_cosine
from tests.tiers import default_rows

RNG = np.random.default_rng(0)
SHAPES = {"tall": (3, 3, 6, 4), "wide": (1, 1, 2, 5), "dense": (7, 3)}


def slow_step(kernel: np.ndarray, g: np.ndarray, buf: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """One step in the axis order of the reference: output channels, then input channels, then the window."""
    kernel = kernel * np.sqrt(kernel.shape[-1]) / np.sqrt((kernel**2).sum())
    buf = 0.6 * buf + g
    ahead = np.moveaxis(g + 0.6 * buf, (-1, -2), (0, 1))  # OIHW
    x = ahead.reshape(len(ahead), -1)
    x = x / (np.sqrt((x**2).sum()) + 1e-7)
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    for _ in range(3):
        s = x @ x.T
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
    x = x.T if flip else x
    return kernel - rate * np.moveaxis(x.reshape(ahead.shape), (0, 1), (-1, -2)), buf


def test_agrees_with_loops_over_steps_of_a_schedule() -> None:
    params = {name: RNG.normal(size=shape) for name, shape in SHAPES.items()}
    gradients = [{name: RNG.normal(size=shape) for name, shape in SHAPES.items()} for _ in range(3)]
    expected = dict(params)
    bufs = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    with jax.enable_x64(True):
        optimizer = muon(lambda step: jnp.asarray([0.24, 0.18, 0.12])[step], dtype=jnp.float64)

        @jax.jit
        def stepped(gradient: Any, state: Any, ours: Any) -> Any:
            updates, state = optimizer.update(gradient, state, ours)
            return optax.apply_updates(ours, updates), state

        ours: Any = params
        state = jax.jit(optimizer.init)(ours)
        for step, gradient in enumerate(gradients):
            ours, state = stepped(gradient, state, ours)
            for name in SHAPES:
                rate = 0.24 * (1 - step / 4)
                expected[name], bufs[name] = slow_step(expected[name], gradient[name], bufs[name], rate)
        for name in SHAPES:
            np.testing.assert_allclose(ours[name], expected[name], rtol=1e-9, atol=1e-12)


def test_bfloat16_is_near_float32_and_parameters_keep_their_dtype() -> None:
    kernel, gradient = (jnp.asarray(RNG.normal(size=(3, 3, 8, 16)), jnp.float32) for _ in range(2))
    steps = [muon(1.0, dtype=dtype) for dtype in (jnp.bfloat16, jnp.float32)]
    low, exact = (jax.jit(lambda g, k, one=one: one.update(g, one.init(k), k)[0])(gradient, kernel) for one in steps)
    assert low.dtype == jnp.float32
    assert 0 < float(jnp.linalg.norm((low - exact).ravel()) / jnp.linalg.norm(exact.ravel())) < 0.05


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=re.escape("muon: ['bias'] of the shape (8,) is not a kernel")):
        muon(0.1).init({"bias": jnp.zeros(8)})
    with pytest.raises(ValueError, match=r"muon: update\(gradients, state, params\) requires params"):
        muon(0.1).update(jnp.zeros((2, 2)), muon(0.1).init(jnp.zeros((2, 2))))


def test_triangle_has_its_corners() -> None:
    schedule = triangular(2.0, total_steps=476)
    values = np.array([float(schedule(step)) for step in (0, 109, 476, 500)])
    np.testing.assert_allclose(values, [0.4, 2.0, 0.14, 0.14], rtol=1e-6)
    assert float(triangular(2.0, total_steps=10, warmup=0)(0)) == 2.0


def test_coupled_decay_is_that_of_pytorch() -> None:
    """L2 in the gradient, then momentum: p -= lr (g' + m buf), buf = m buf + g', g' = 2000 g + wd p."""
    rate, decay, momentum = 0.1, 0.02, 0.85
    optimizer = optax.chain(
        optax.scale(2000.0), optax.add_decayed_weights(decay), optax.sgd(rate, momentum=momentum, nesterov=True)
    )
    ours = jnp.asarray([1.0, -2.0])
    state = optimizer.init(ours)
    slow, buf = np.array([1.0, -2.0]), np.zeros(2)
    for step in range(3):
        g = np.array([1e-3, 2e-3]) * (step + 1)
        updates, state = optimizer.update(jnp.asarray(g, jnp.float32), state, ours)
        ours = optax.apply_updates(ours, updates)
        total = 2000 * g + decay * slow
        buf = momentum * buf + total
        slow = slow - rate * (total + momentum * buf)
    np.testing.assert_allclose(ours, slow, rtol=1e-5)


PAGE = Path(__file__).parent.parent.parent / "docs" / "training.md"
CALLS = dict(re.findall(r"^\| ([^|]+) \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
PARAMS = {
    "group1": {"conv1": {"kernel": np.ones((3, 3, 2, 4), np.float32)}},
    "head": {"kernel": np.ones((4, 3), np.float32), "bias": np.ones(3, np.float32)},
}


@pytest.mark.parametrize("recipe", default_rows(list(CALLS), keep=list(CALLS)[::5]))
def test_each_recipe_of_the_page_takes_a_step(recipe: str) -> None:
    """Optimizers change every parameter by a finite amount; schedules have decreased after the last step."""
    names = {
        "optax": optax,
        "schedule": 1e-2,
        "decay_mask": decay_mask,
        "muon": muon,
        "by_pattern": by_pattern,
        "triangular": triangular,
        "warmup_cosine": warmup_cosine,
        "total_steps": 50,
    }
    made = eval(CALLS[recipe], names)
    if callable(made) and not isinstance(made, optax.GradientTransformation):
        assert float(made(50)) < 0.2
        return

    @jax.jit
    def after_two_steps(params: Any) -> Any:
        state = made.init(params)
        for _ in range(2):
            updates, state = made.update(params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    moved = jax.tree.map(lambda new, old: float(np.abs(new - old).max()), after_two_steps(PARAMS), PARAMS)
    assert all(0 < value < np.inf for value in jax.tree.leaves(moved)), moved


def test_the_page_has_its_table() -> None:
    assert len(CALLS) >= 10
