"""Windows of an image as an array (im2col), and the sum of overlapping windows (col2im), its exact adjoint.

One axis at a time: a window of ``31 x 31`` costs 31 + 31 slices, not 961, and each slice is a copy, so integers and
bfloat16 pass through unrounded on every platform (a convolution with an identity kernel promises neither).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis, window_per_axis
from jaxcnn._geometry import Padding, PatchPlan, plan_fold, plan_patches, split_image_shape
from jaxcnn._symbolic import is_less
from jaxcnn.functional._padding import dilate_and_pad


def extract_patches(
    x: ArrayLike,
    window_shape: Sequence[int],
    *,
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
) -> jax.Array:
    """Copies every window of ``x`` out (im2col): the entries that each position of a convolution reads.

    ``patches[..., o, j, c] = x[..., o * stride - before + j * dilation, c]`` on each axis, zero outside ``x``.
    A convolution is the product of these patches with the kernel over the window and the channels.

    Args:
        x: ``(*batch, *spatial, channels)``, of any type.
        window_shape: one integer per spatial axis; it determines the number of spatial axes.
        strides: steps between windows. There is no default, because libraries differ in theirs.
        padding: as in ``conv``, with zeros.
        window_dilation: steps between the entries of a window.

    Returns:
        ``(*batch, *out_spatial, *window, channels)``, of the type of ``x``.

    Raises:
        ShapeError: no window fits, or options that do not match the number of axes.
        ValueError: an unknown name of padding.
        TypeError: options that are not made of integers.

    Source: Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks for document
    processing", on unrolling convolution.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> F.extract_patches(jnp.arange(5)[:, None], (3,), strides=1)[..., 0]
    Array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]], dtype=int32)
    """
    x = as_array(x, name="x")
    _, sizes = split_image_shape(x.shape, len(window_per_axis(window_shape)))
    plan = plan_patches(sizes, window_shape, strides=strides, padding=padding, window_dilation=window_dilation)
    return gather_windows(x, plan)


def fold_patches(
    patches: ArrayLike,
    *,
    output_shape: Sequence[int],
    window_shape: Sequence[int],
    strides: IntPerAxis,
    padding: Padding = "VALID",
    window_dilation: IntPerAxis = 1,
) -> jax.Array:
    """Adds every window at the position that it was copied from (col2im): the exact adjoint of ``extract_patches``.

    ``x[..., n, c] = sum of patches[..., o, j, c] over all (o, j) with o * stride - before + j * dilation == n``, on
    each axis. Entries in the padding are dropped, and an entry that no window reads is 0. Half-precision sums are
    taken in float32.

    Args:
        patches: ``(*batch, *out_spatial, *window, channels)``, as ``extract_patches`` lays them out.
        output_shape: the spatial shape of the image, without padding.
        window_shape: as given to ``extract_patches``, like ``strides``, ``padding`` and ``window_dilation``.

    Returns:
        ``(*batch, *output_shape, channels)``, of the type of ``patches``.

    Raises:
        ShapeError: the patches are not those of an image of ``output_shape`` with these options.
        ValueError: an unknown name of padding.
        TypeError: options that are not made of integers, or patches of booleans, which have no sum.

    Source: the operator Col2Im of ONNX (opset 18), and ``fold`` of PyTorch, laid out channels-last.

    >>> import jax.numpy as jnp
    >>> from jaxcnn import functional as F
    >>> ones = F.extract_patches(jnp.ones((5, 1)), (3,), strides=1)
    >>> F.fold_patches(ones, output_shape=(5,), window_shape=(3,), strides=1)[:, 0]  # how many windows read each
    Array([1., 2., 3., 2., 1.], dtype=float32)
    """
    patches = as_array(patches, name="patches")
    if patches.dtype == jnp.bool_:
        raise TypeError("booleans have no sum. Convert the patches, for instance with .astype(jnp.int32).")
    plan = plan_fold(
        patches.shape,
        output_shape,
        window_shape,
        strides=strides,
        padding=padding,
        window_dilation=window_dilation,
    )
    return _add_windows(patches, plan)


def gather_windows(x: jax.Array, plan: PatchPlan) -> jax.Array:
    """``(*batch, *sizes, channels)`` to ``(*batch, *positions, *window, channels)``."""
    batch_ndim = x.ndim - plan.ndim - 1
    x = dilate_and_pad(x, plan.pads)
    # From the last axis to the first, each new window axis goes before the others: they end up in order.
    for axis in reversed(range(plan.ndim)):
        x = _gather_axis(x, plan, axis, batch_ndim)
    return x


def _gather_axis(x: jax.Array, plan: PatchPlan, axis: int, batch_ndim: int) -> jax.Array:
    """Cuts one spatial axis into windows; the new axis comes right after the spatial axes."""
    at, to = batch_ndim + axis, batch_ndim + plan.ndim
    count, window = plan.positions[axis], plan.window[axis]
    stride, dilation = plan.strides[axis], plan.dilation[axis]
    if stride == window and dilation == 1:  # windows side by side: a view, nothing is copied twice
        x = lax.slice_in_dim(x, 0, count * stride, axis=at)
        x = x.reshape(*x.shape[:at], count, window, *x.shape[at + 1 :])
        return jnp.moveaxis(x, at + 1, to)
    if is_less(count, window):  # few large windows: a slice for each position instead of one for each entry
        span = dilation * (window - 1) + 1
        parts = [lax.slice_in_dim(x, o * stride, o * stride + span, dilation, axis=at) for o in range(count)]
        return jnp.moveaxis(jnp.stack(parts, axis=at), at + 1, to)
    span = stride * (count - 1) + 1
    parts = [lax.slice_in_dim(x, j * dilation, j * dilation + span, stride, axis=at) for j in range(window)]
    return jnp.stack(parts, axis=to)


def _add_windows(patches: jax.Array, plan: PatchPlan) -> jax.Array:
    """``(*batch, *positions, *window, channels)`` to ``(*batch, *sizes, channels)``: the adjoint of the above."""
    batch_ndim = patches.ndim - 2 * plan.ndim - 1
    dtype = patches.dtype
    x = patches.astype(jnp.float32) if dtype in (jnp.bfloat16, jnp.float16) else patches
    for axis in range(plan.ndim):
        x = _add_axis(x, plan, axis, batch_ndim)
    return x.astype(dtype)


def _add_axis(x: jax.Array, plan: PatchPlan, axis: int, batch_ndim: int) -> jax.Array:
    """Adds the windows of one axis, whose window axis is the first after the spatial ones, and removes the padding."""
    at, to = batch_ndim + axis, batch_ndim + plan.ndim
    count, window = plan.positions[axis], plan.window[axis]
    stride, dilation = plan.strides[axis], plan.dilation[axis]
    before, after = plan.pads[axis]
    padded = plan.sizes[axis] + before + after
    if stride == window and dilation == 1:
        x = jnp.moveaxis(x, to, at + 1)
        x = x.reshape(*x.shape[:at], count * window, *x.shape[at + 2 :])
        return _spread(x, at, 1, -before, padded - count * window - after)
    if is_less(count, window):
        parts, step, gap, span = jnp.moveaxis(x, to, at + 1), stride, dilation, dilation * (window - 1) + 1
        split, number = at, count
    else:
        parts, step, gap, span = x, dilation, stride, stride * (count - 1) + 1
        split, number = to, window
    total = None
    for index in range(number):
        part = lax.index_in_dim(parts, index, axis=split, keepdims=False)
        part = _spread(part, at, gap, index * step - before, padded - index * step - span - after)
        total = part if total is None else total + part
    assert total is not None  # a window has at least one entry
    return total


def _spread(x: jax.Array, axis: int, gap: int, before: int, after: int) -> jax.Array:
    """Puts ``gap - 1`` zeros between the entries of an axis and pads or crops its ends."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, gap - 1)
    return lax.pad(x, jnp.zeros((), x.dtype), config)
