"""Additions to Optax: which parameters decay, and schedules for any number of steps."""

import math
from collections.abc import Callable
from typing import Any

import jax
import optax


def decay_mask(params: Any) -> Any:
    """True for the parameters that weight decay applies to: kernels, not biases, scales or other vectors.

    Pass it as ``mask=`` to ``optax.adamw`` or ``optax.add_decayed_weights``.

    Args:
        params: a pytree of arrays.

    >>> import jax.numpy as jnp
    >>> decay_mask({"conv": {"kernel": jnp.ones((3, 3, 1, 8)), "bias": jnp.zeros(8)}})
    {'conv': {'bias': False, 'kernel': True}}
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def with_schedule(
    make: Callable[..., optax.GradientTransformation], schedule: optax.Schedule, **options: Any
) -> optax.GradientTransformation:
    """The optimizer ``make(learning_rate, **options)``, whose state records the learning rate of each step.

    It is ``optax.inject_hyperparams`` for the learning rate only. The run's ``metrics.jsonl`` records the rate from the
    optimizer's state. An optimizer that is made without this function works too, but its rate is not recorded.

    Args:
        make: a function such as ``optax.adamw``, whose first argument is the learning rate.
        schedule: the learning rate by step.
        options: the other arguments of ``make``.

    Returns:
        an Optax transformation.

    Raises:
        TypeError: ``schedule`` is not a function; a constant rate is ``optax.constant_schedule(rate)``.

    >>> optimizer = with_schedule(optax.sgd, optax.linear_schedule(0.5, 0.0, 10), momentum=0.9)
    >>> state = optimizer.init({"w": 1.0})
    >>> _, state = optimizer.update({"w": 1.0}, state)
    >>> float(state.hyperparams["learning_rate"])
    0.5
    """
    if not callable(schedule):
        raise TypeError(
            f"expected a schedule, a function of the step, got {schedule!r}. For a constant learning rate: "
            f"optax.constant_schedule({schedule!r})."
        )

    def optimizer(learning_rate: Any) -> optax.GradientTransformation:
        return make(learning_rate, **options)

    return optax.inject_hyperparams(optimizer)(learning_rate=schedule)


def warmup_cosine(peak_lr: float, *, total_steps: int, warmup: float) -> optax.Schedule:
    """A learning rate that rises linearly from 0 over a share of the steps, then falls to 0 as half a cosine.

    Raises:
        ValueError: there is no step, ``warmup`` is not in [0, 1), or ``peak_lr`` is negative or not finite.

    >>> schedule = warmup_cosine(0.1, total_steps=100, warmup=0.2)
    >>> [round(float(schedule(step)), 3) for step in (0, 10, 20, 60, 100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    _check(peak_lr, total_steps, warmup)
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0, peak_value=peak_lr, warmup_steps=int(warmup * total_steps), decay_steps=total_steps
    )


def triangular(
    peak_lr: float, *, total_steps: int, warmup: float = 0.23, start: float = 0.2, end: float = 0.07
) -> optax.Schedule:
    """A learning rate that rises linearly from a share of its peak, and then falls linearly to another share.

    The defaults are those of the CIFAR-10 speed-run before Muon. Linear to zero without a warm-up is
    ``optax.linear_schedule(peak_lr, 0.0, total_steps)``.

    Args:
        peak_lr: the largest learning rate.
        total_steps: updates of the run; the schedule reaches its end after them and stays there.
        warmup: fraction of the steps in which the rate rises.
        start: the rate at the first update, as a fraction of the peak.
        end: the rate after the last update, as a fraction of the peak.

    Raises:
        ValueError: there is no step, ``warmup`` is not in [0, 1), or ``peak_lr`` is negative or not finite.

    >>> schedule = triangular(1.0, total_steps=100, warmup=0.2, end=0.0)
    >>> [round(float(schedule(step)), 3) for step in (0, 10, 20, 60, 100)]
    [0.2, 0.6, 1.0, 0.5, 0.0]
    """
    _check(peak_lr, total_steps, warmup)
    rising = int(warmup * total_steps)
    falling = optax.linear_schedule(peak_lr, end * peak_lr, total_steps - rising)
    if not rising:
        return falling
    return optax.join_schedules([optax.linear_schedule(start * peak_lr, peak_lr, rising), falling], [rising])


def _check(peak_lr: float, total_steps: int, warmup: float) -> None:
    if total_steps < 1:
        raise ValueError(f"total_steps={total_steps}; a run needs at least one. Is epochs at least 1?")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup={warmup} is the share of steps that warm up, at least 0 and less than 1.")
    if not 0 <= peak_lr < math.inf:
        raise ValueError(f"peak_lr={peak_lr} is the largest learning rate, at least 0 and finite.")
