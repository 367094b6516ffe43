"""Rows for batch norm, its statistics and its folding."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn.functional._batch_norm import BatchStats, batch_norm, batch_stats
from jaxcnn.functional._fold_batch_norm import fold_batch_norm
from tests.functional.cases.case import Case


def stats_of(mean: jax.Array, var: jax.Array, count: float = 3) -> BatchStats:
    return BatchStats(mean, var, jnp.asarray(count, mean.dtype))


def trained(**options: Any) -> Any:
    def call(x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array) -> Any:
        return batch_norm(x, stats_of(mean, var), scale=scale, bias=bias, train=True, **options)

    return call


def masked(**options: Any) -> Any:
    def call(x: jax.Array, mask: jax.Array, mean: jax.Array, var: jax.Array) -> Any:
        return batch_norm(x, stats_of(mean, var), train=True, momentum=None, mask=mask, **options)

    return call


CASES = [
    Case(
        function="batch_norm",
        call=trained(momentum=0.75),
        scoped=trained(momentum=0.75, axis_name="data"),
        shapes=((8, 3, 2, 4), (4,), (4,), (4,), (4,)),
        symbolic=("b, h, w, ...", *["..."] * 4),
        batched=(True, False, False, False, False),
        positive=(False, False, True, False, False),
        couples_batch=True,
        note="training",
    ),
    Case(
        function="batch_norm",
        call=masked(),
        scoped=masked(axis_name="data"),
        shapes=((8, 5, 3), (8, 5, 1), (3,), (3,)),
        symbolic=("b, h, ...", "b, h, ...", "...", "..."),
        batched=(True, True, False, False),
        integer=(0, 2, 0, 0),
        positive=(False, False, False, True),
        couples_batch=True,
        note="masked, all batches equally",
        like="batch_norm-training",
    ),
    Case(
        function="batch_norm",
        call=lambda x: batch_norm(x, batch_stats(6, dtype=x.dtype), train=True, unbiased=False)[0],
        scoped=lambda x: batch_norm(x, batch_stats(6), train=True, unbiased=False, axis_name="data")[0],
        shapes=((8, 6),),
        batched=(True,),
        couples_batch=True,
        note="of vectors",
        like="batch_norm-training",
    ),
    Case(
        function="batch_norm",
        call=lambda x, mean, var, scale, bias: batch_norm(
            x, stats_of(mean, var), scale=scale, bias=bias, train=False, epsilon=1e-3
        )[0],
        shapes=((8, 2, 3, 4), (4,), (4,), (4,), (4,)),
        batched=(True, False, False, False, False),
        positive=(False, False, True, False, False),
        note="inference",
    ),
    Case(function="batch_stats", call=lambda: batch_stats(3), shapes=(), batched=()),
    Case(
        function="fold_batch_norm",
        call=lambda kernel, bias, mean, var, scale, offset: fold_batch_norm(
            kernel, bias, stats_of(mean, var), scale=scale, offset=offset
        ),
        shapes=((3, 3, 2, 4), (4,), (4,), (4,), (4,), (4,)),
        batched=(False,) * 6,
        positive=(False, False, False, True, False, False),
    ),
    Case(
        function="fold_batch_norm",
        call=lambda kernel, mean, var: fold_batch_norm(
            kernel, None, stats_of(mean, var), transposed=True, feature_group_count=2
        ),
        shapes=((3, 2, 6), (4,), (4,)),
        batched=(False,) * 3,
        positive=(False, False, True),
        note="transposed, grouped",
        like="fold_batch_norm",
    ),
]
