"""Mean and variance of a batch, on each platform by the fastest sums that are exact enough."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._symbolic import is_less, is_symbolic, larger

INT32_END = 2**31
SAMPLE_EVERY = 16
MAXIMUM_SQUARED_MEAN = 8.0  # times the variance: with a larger mean, plain sums of squares are not exact enough
CLOSE = 1e-4  # a distance from the running mean, relative to it


class Moments(NamedTuple):
    """Moments of one batch: the mean is ``centre + rest``, and only ``rest`` is differentiated."""

    entries: jax.Array
    centre: jax.Array
    rest: jax.Array
    var: jax.Array


def batch_moments(
    x: jax.Array,
    narrow: Any,
    mean: jax.Array,
    var: jax.Array,
    mask: jax.Array | None,
    axis_name: Any,
    axis_index_groups: Any,
) -> Moments:
    """Mean and biased variance of each channel; the given ones for a channel without entries that count.

    ``narrow`` is a dtype that holds the entries of ``x`` exactly.
    """
    groups = None if axis_index_groups is None else tuple(map(tuple, axis_index_groups))
    over = _Axis(axis_name, groups)
    entries = jnp.asarray(over.sum(_entries(x, mask))).astype(x.dtype)
    some = entries > 0
    mean, var = mean.astype(x.dtype), var.astype(x.dtype)
    centre, rest, batch_var = _moments(over, narrow, x, mask, jnp.where(some, entries, 1), lax.stop_gradient(mean))
    return Moments(entries, jnp.where(some, centre, mean), rest, jnp.where(some, batch_var, var))


class _Axis(NamedTuple):
    """The mapped axis over which a batch is divided, if any."""

    name: Any
    groups: tuple[tuple[int, ...], ...] | None

    def sum(self, value: Any) -> Any:
        """The sum over the devices that share a batch."""
        return value if self.name is None else lax.psum(value, self.name, axis_index_groups=self.groups)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _moments(
    over: _Axis, narrow: Any, x: jax.Array, mask: jax.Array | None, entries: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A centre near the mean, the difference between the mean and the centre, and the variance.

    Both are exact for any centre, so the centre need not be differentiated, and ``y`` is more exact than with the
    rounded mean. With a centre within ``k`` standard deviations of the mean the variance has an error of ``k**2``
    roundings. The derivatives are explicit because those that JAX derives read the batch once more.

    ``start`` is the running mean; only the choice of the centre on a TPU depends on it.
    """
    centre, first, second = lax.platform_dependent(
        x,
        mask,
        entries,
        start,
        cpu=functools.partial(_sums_then_centred, over),
        tpu=functools.partial(_about_running_mean, over, narrow),
        default=functools.partial(_about_sample, over),
    )
    rest = over.sum(first) / entries
    var = over.sum(second) / entries - lax.square(rest)
    return centre, rest, jnp.where(var < 0, 0, var)


@_moments.defjvp
def _moments_jvp(over: _Axis, narrow: Any, primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, mask, entries, start = primals
    dx = tangents[0]
    centre, rest, var = _moments(over, narrow, x, mask, entries, start)
    first, second = _sums(mask, dx, dx * (x - row(centre, x)))
    d_rest = over.sum(first) / entries
    d_var = 2 * (over.sum(second) / entries - rest * d_rest)
    return (centre, rest, var), (jnp.zeros_like(centre), d_rest, d_var)


def _sums_then_centred(
    over: _Axis, x: jax.Array, mask: jax.Array | None, entries: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean, and the sums of the differences from it and of their squares; from plain sums if they are exact enough.

    On a CPU XLA reduces plain sums fastest; on other platforms the branch would wait for the host.
    """
    first, second = _sums(mask, x, lax.square(x))
    mean = over.sum(first) / entries
    var = over.sum(second) / entries - lax.square(mean)
    near = jnp.all((lax.square(mean) <= MAXIMUM_SQUARED_MEAN * var) & (var < jnp.inf))

    def from_plain_sums() -> tuple[jax.Array, jax.Array]:
        here = jnp.asarray(_entries(x, mask)).astype(x.dtype)
        rest = first - here * mean
        return rest, second - mean * (first + rest)

    def centred_sums() -> tuple[jax.Array, jax.Array]:
        centred = x - row(mean, x)
        rest, squares = _sums(mask, centred, lax.square(centred))
        return rest, squares

    return mean, *lax.cond(near, from_plain_sums, centred_sums)


def _about_running_mean(
    over: _Axis, narrow: Any, x: jax.Array, mask: jax.Array | None, entries: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The sums about the running mean if they are exact enough, else about the mean of the batch.

    The running mean is known before the batch, so that XLA adds up the results of a convolution while it writes them;
    a TPU then reads them one time fewer than with a centre that depends on them. A second pass is executed if the
    running mean is far from the mean of the batch, as in the first steps of training if the mean is large. It reads the
    batch in its own type; otherwise XLA would write a wider copy.
    """
    start = jnp.where(jnp.isfinite(start), start, jnp.zeros((), start.dtype))
    centred = x - row(start, x)
    first, second = _sums(mask, centred, lax.square(centred))
    rest = over.sum(first) / entries
    var = over.sum(second) / entries - lax.square(rest)
    # A distance that is small for the running mean changes the variance by less than the rounding of the entries does.
    small = jnp.abs(rest) <= CLOSE * jnp.abs(start)
    near = jnp.all((small | (lax.square(rest) <= MAXIMUM_SQUARED_MEAN * var)) & (var < jnp.inf))
    centre = start + jnp.where(near, jnp.zeros((), rest.dtype), rest)

    def second_pass(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        centred = batch.astype(x.dtype) - row(centre, x)
        return near | ~near, jnp.stack(_sums(mask, centred, lax.square(centred)))

    # A loop of at most one iteration: for a conditional the TPU compiler (libtpu 0.0.50) terminates the process.
    batch = x.astype(narrow)
    _, sums = lax.while_loop(lambda state: ~state[0], second_pass, (near, jnp.stack([first, second])))
    return centre, sums[0], sums[1]


def _about_sample(
    over: _Axis, x: jax.Array, mask: jax.Array | None, entries: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The mean of a sample, or with a mask of all entries, and the sums about it: one pass and a part of one."""
    if mask is None:
        sample = _sample(x)
        (first,) = _sums(None, sample)
        number = larger(math.prod(sample.shape[:-1]), 1)
        centre = over.sum(first) / over.sum(number if is_symbolic(number) else float(number))
    else:
        (first,) = _sums(mask, x)
        centre = over.sum(first) / entries
    centred = x - row(centre, x)
    rest, squares = _sums(mask, centred, lax.square(centred))
    return centre, rest, squares


def _entries(x: jax.Array, mask: jax.Array | None) -> Any:
    """The number of entries on this device that count, for all channels or for each.

    A known number is a float, because it may exceed the range of 32-bit integers.
    """
    number = math.prod(x.shape[:-1])
    if mask is None:
        return number if is_symbolic(number) else float(number)
    whole = jnp.broadcast_to(mask, (*x.shape[:-1], mask.shape[-1]))
    if is_symbolic(number) or number < INT32_END:
        return jnp.sum(whole, tuple(range(x.ndim - 1)), dtype=jnp.int32)
    rows = jnp.sum(whole, x.ndim - 2, dtype=jnp.int32)
    return jnp.sum(rows.astype(x.dtype), tuple(range(x.ndim - 2)))


def _sums(mask: jax.Array | None, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The sum of each channel over the entries that count."""
    axes = tuple(range(arrays[0].ndim - 1))
    if mask is not None:
        arrays = tuple(jnp.where(mask, array, jnp.zeros((), array.dtype)) for array in arrays)
    return tuple(jnp.sum(array, axes) for array in arrays)


def _sample(x: jax.Array) -> jax.Array:
    """Every sixteenth row of large images; all rows of small ones.

    A sharded axis is not sliced, so that every device has its part.
    """
    height = x.shape[1] if x.ndim > 3 else 0
    if not is_less(SAMPLE_EVERY - 1, height) or jax.typeof(x).sharding.spec[1] is not None:
        return x
    return lax.slice_in_dim(x, SAMPLE_EVERY // 2, height, SAMPLE_EVERY, axis=1)


def row(vector: jax.Array, x: jax.Array) -> jax.Array:
    """A number per channel, in the rank and dtype of ``x``."""
    return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
