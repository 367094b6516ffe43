"""The transforms of JAX that every augmentation has to support."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

Augment = Callable[[jax.Array, jax.Array], jax.Array]


def check_jit_and_vmap(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    """Compares ``jit``, ``vmap`` over keys, and ``vmap`` over keys and batches; the augmentation has to be linear."""
    expected = augment(key, images)
    np.testing.assert_allclose(jax.jit(augment)(key, images), expected, atol=1e-5)
    keys = jnp.stack([jax.random.fold_in(key, 1), key])
    np.testing.assert_allclose(jax.jit(jax.vmap(augment, (0, None)))(keys, images)[1], expected, atol=1e-5)
    both = jax.jit(jax.vmap(augment))(keys, jnp.stack([images, 2 * images]))
    np.testing.assert_allclose(both[1], 2 * expected, atol=1e-5)


def check_adjoint(augment: Augment, key: jax.Array) -> None:
    """Checks linearity in the images: ``<A x, g> = <x, A^T g>``, and the tangent of ``A`` is ``A``."""
    with jax.enable_x64(True):
        x, g = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 7, 9, 2)))
        move = jax.jit(lambda images: augment(key, images))
        y, pull = jax.vjp(move, x)
        assert y.dtype == np.float64
        np.testing.assert_allclose(jnp.vdot(y, g), jnp.vdot(x, pull(g)[0]), rtol=1e-12)
        np.testing.assert_allclose(jax.jvp(move, (x,), (g,))[1], move(g), rtol=1e-12, atol=1e-12)


def check_sharded(augment: Augment, key: jax.Array, images: jax.Array, kind: AxisType) -> None:
    """A batch that is split over eight devices gives the same result, and stays split without moving images."""
    grad = jax.jit(jax.grad(lambda images: jnp.sum(augment(key, images) ** 2)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        placed = jax.device_put(images, NamedSharding(mesh, P("data")))
        compiled = jax.jit(augment).lower(key, placed).compile()
        y, pulled = compiled(key, placed), grad(placed)
    assert "all-gather" not in compiled.as_text()
    assert y.sharding.spec[0] == "data"
    np.testing.assert_allclose(y, jax.jit(augment)(key, images), atol=1e-5)
    np.testing.assert_allclose(pulled, grad(images), atol=1e-4)


def check_shard_map_and_export(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    """Under ``shard_map`` each device draws random numbers; the draws are equal here because the key is."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    each = jax.jit(jax.shard_map(augment, mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data")))(key, images)
    size = len(images) // 8
    part = slice(5 * size, 6 * size)
    whole = jax.jit(augment)
    np.testing.assert_allclose(np.asarray(each)[part], whole(key, np.asarray(images)[part]), atol=1e-5)
    exported = jax.export.export(whole)(key, images)
    np.testing.assert_allclose(exported.call(key, images), whole(key, images), atol=1e-5)
