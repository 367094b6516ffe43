"""Muon: momentum whose update is made orthogonal, as the CIFAR-10 speed-run defines it for convolutions."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from jaxcnn._error_context import error_context

# The fifth-degree polynomial a s + b s^3 + c s^5 that takes small singular values to about 1 in the fewest rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)


class MuonState(NamedTuple):
    """The number of updates, and the momentum of each kernel."""

    count: jax.Array  # type: ignore[assignment]  # over the method of tuples
    momentum: Any


def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.6,
    nesterov: bool = True,
    steps: int = 3,
    coefficients: tuple[float, float, float] = QUINTIC,
    renormalize: bool = True,
    dtype: DTypeLike = jnp.bfloat16,
) -> optax.GradientTransformation:
    """Kernels of fixed norm that move by orthogonalised momentum: ``w <- sqrt(out) w / |w| - lr O(g + m buf)``.

    ``buf <- m buf + g``; without ``nesterov`` it is ``O(buf)``. ``O`` is ``orthogonalize`` of the kernel as a matrix
    whose rows are its outputs, and ``|w|`` the root of the sum of squares over the whole kernel. There is no weight
    decay, which the fixed norm replaces, and no factor for the kernel's shape: ``optax.contrib.muon`` has five rounds,
    such a factor, and no fixed norm.

    Only kernels are supported; ``by_pattern`` or ``optax.partition`` gives other parameters another optimizer.

    Args:
        learning_rate: a number or a schedule.
        momentum: ``m``, the weight of the old value.
        nesterov: whether to use Nesterov momentum.
        steps: rounds of ``orthogonalize``.
        coefficients: of its polynomial.
        renormalize: gives each kernel the norm ``sqrt(out)`` before it moves.
        dtype: the dtype in which the orthogonalisation is computed.

    Raises:
        ValueError: a parameter that is not a kernel, on ``init``; or an update without parameters.

    Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks", and the Muon version of
    airbench94.

    >>> kernel, gradient = jnp.ones((3, 3, 4, 8)), jax.random.normal(jax.random.key(0), (3, 3, 4, 8))
    >>> optimizer = muon(0.24)
    >>> updates, _ = optimizer.update(gradient, optimizer.init(kernel), kernel)
    >>> moved = kernel / jnp.linalg.norm(kernel.ravel()) * 8**0.5 - (kernel + updates)
    >>> singular = jnp.linalg.svd(moved.reshape(36, 8), compute_uv=False) / 0.24
    >>> bool((singular > 0.5).all() and (singular < 1.3).all())  # about equally long steps in every direction
    True
    """

    @error_context("muon")
    def init(params: Any) -> MuonState:
        jax.tree_util.tree_map_with_path(_check_kernel, params)
        return MuonState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    @error_context("muon")
    def update(updates: Any, state: MuonState, params: Any = None) -> tuple[Any, MuonState]:
        if params is None:
            raise ValueError("update(gradients, state, params) requires params: it rescales the parameters.")
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        past = jax.tree.map(lambda old, g: momentum * old + g, state.momentum, updates)
        ahead = jax.tree.map(lambda new, g: g + momentum * new, past, updates) if nesterov else past

        def moved(direction: jax.Array, kernel: jax.Array) -> jax.Array:
            matrix = direction.reshape(-1, kernel.shape[-1])
            step = orthogonalize(matrix, steps=steps, coefficients=coefficients, dtype=dtype).reshape(kernel.shape)
            step = -jnp.asarray(rate, kernel.dtype) * step.astype(kernel.dtype)
            if not renormalize:
                return step
            scale = math.sqrt(kernel.shape[-1]) / jnp.sqrt(jnp.sum(jnp.square(kernel)))
            return (scale - 1) * kernel + step

        return jax.tree.map(moved, ahead, params), MuonState(optax.safe_increment(state.count), past)

    return optax.GradientTransformation(init, update)


def orthogonalize(
    matrix: jax.Array,
    *,
    steps: int = 3,
    coefficients: tuple[float, float, float] = QUINTIC,
    dtype: DTypeLike = jnp.bfloat16,
) -> jax.Array:
    """An approximation of the nearest orthogonal matrix: every singular value becomes about 1.

    ``X <- M / (|M| + 1e-7)``, then ``steps`` times ``X <- a X + (b A + c A^2) X`` with ``A = X X^T``: a Newton-Schulz
    iteration, an odd polynomial of the singular values that does not change the singular vectors. So it commutes with
    transposition and with any reordering of rows or columns: the order in which ``(window, in)`` is flattened does not
    change the step. ``A`` has the smaller of the two sizes.

    Args:
        matrix: ``(rows, columns)``.
        steps: rounds; after three, singular values of at least a fiftieth of the norm are between 0.68 and 1.21.
        coefficients: ``(a, b, c)``.
        dtype: of the computation; the result has it too.

    >>> tilted = jnp.array([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])  # singular values 5 and 1
    >>> x = orthogonalize(tilted, steps=5, dtype=jnp.float32)
    >>> [round(value, 1) for value in jnp.linalg.svd(x, compute_uv=False).tolist()]
    [0.8, 0.7]
    """
    a, b, c = coefficients
    x = matrix.astype(dtype)
    norm = jnp.sqrt(jnp.sum(jnp.square(x.astype(jnp.promote_types(dtype, jnp.float32)))))
    x = x / (norm + 1e-7).astype(dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x


def _check_kernel(path: Any, leaf: jax.Array) -> None:
    if leaf.ndim < 2:
        name = jax.tree_util.keystr(path) or "the parameter"
        raise ValueError(
            f"{name} of the shape {leaf.shape} is not a kernel (*window, in, out). Use another optimizer for "
            f"biases and scales: jaxcnn.train.by_pattern, or optax.partition."
        )
