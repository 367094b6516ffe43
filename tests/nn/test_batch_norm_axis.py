"""Every batch norm of a model over one axis: each device computes the numbers of the whole batch."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxcnn.nn import BatchNorm, batch_norm_axis
from tests.tiers import default_rows


class Network(linen.Module):
    """Batch norms as submodules of ``setup``, inline, under ``remat``, and one with its own axis."""

    norm: Callable[..., linen.Module]
    own_axis: Any = None

    def setup(self) -> None:
        self.first = self.norm(momentum=0.5)

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = linen.Dense(4)(self.first(x, use_running_average=not train))
        x = linen.remat(self.norm)(use_running_average=not train, name="again")(jnp.tanh(x))
        return self.norm(use_running_average=not train, axis_name=self.own_axis, name="own")(x)


@pytest.mark.parametrize("norm", default_rows([BatchNorm, linen.BatchNorm], keep=[BatchNorm]))
def test_parts_give_the_numbers_of_the_whole(key: jax.Array, norm: Callable[..., linen.Module]) -> None:
    x = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    model = Network(norm)
    variables = jax.jit(functools.partial(model.init, train=False))(key, x)

    def loss(variables: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        y, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return jnp.mean(y**3 * jnp.arange(1.0, 5.0)[None]), (y, updates)

    (_, (y, updates)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables, x)

    mesh = jax.make_mesh((8,), ("devices",), axis_types=(AxisType.Auto,))

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("devices")), out_specs=P("devices"))
    def parts(variables: Any, x: jax.Array) -> Any:
        with batch_norm_axis("devices"):
            (_, (y, updates)), grads = jax.value_and_grad(loss, has_aux=True)(variables, x)
        each = jax.tree.map(lambda leaf: lax.pcast(leaf[None] / 8, "devices", to="varying"), grads["params"])
        return y, jax.tree.map(lambda leaf: leaf[None], updates), each

    by_part, updates_by_part, grads_by_part = jax.tree.map(np.asarray, parts(variables, x))
    np.testing.assert_allclose(by_part, y, rtol=1e-4, atol=1e-5)
    for part in range(8):
        jax.tree.map(
            lambda a, b, part=part: np.testing.assert_allclose(a[part], b, rtol=1e-4, atol=1e-6),
            updates_by_part,
            updates,
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-5), grads_by_part, grads["params"])


def test_an_axis_of_its_own_stays(key: jax.Array) -> None:
    """The axis ``parts`` is for all batch norms but the one with its own axis, ``groups``."""
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 3)).astype(np.float32)
    model = Network(BatchNorm, own_axis="groups")
    variables = jax.jit(functools.partial(model.init, train=False))(key, x[0, 0])

    def apply(x: jax.Array) -> Any:
        with batch_norm_axis("parts"):
            return model.apply(variables, x, train=True, mutable=["batch_stats"])[1]["batch_stats"]

    stats = jax.jit(jax.vmap(jax.vmap(apply, axis_name="parts"), axis_name="groups"))(x)
    first, own = np.asarray(stats["first"]["mean"]), np.asarray(stats["own"]["mean"])
    assert (first[:, 0] == first[:, 1]).all() and (first[0] != first[1]).any()
    assert (own[0] == own[1]).all() and (own[:, 0] != own[:, 1]).any()


def test_nothing_stays_behind(key: jax.Array) -> None:
    x = jax.random.normal(key, (4, 3))
    layer = BatchNorm(use_running_average=False)
    with batch_norm_axis("nowhere"):
        variables = layer.init(key, x)  # this model names no axis
    layer.apply(variables, x, mutable=["batch_stats"])
    with batch_norm_axis("nowhere"), pytest.raises(NameError, match="nowhere"):
        layer.apply(variables, x, mutable=["batch_stats"])
