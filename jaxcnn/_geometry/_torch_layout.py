"""Detection of kernels in the layout of PyTorch whose shapes also fit the layout of this library."""

from collections.abc import Sequence

# Fewer output channels could be the rows of a window.
FEWEST_CHANNELS = 8


def torch_layout_warning(
    x_shape: Sequence[int], kernel_shape: Sequence[int], *, feature_group_count: int, transposed: bool
) -> str | None:
    """A warning for a kernel that is very probably in PyTorch's layout; None for other kernels.

    A kernel ``(out, in, *window)`` fits as ``(*window, in, out)`` only if the size of the window equals the number of
    channels ``c`` of ``x``, so that its shape is ``(out, c, ..., c)``, as for 3x3 windows on RGB. In the layout of this
    library that is a window of ``out`` by ``c`` from ``c`` to ``c`` channels, which is implausible for ``out`` of at
    least 8. Kernels of one channel (filters along one axis), of equal sizes, with groups, or with one spatial axis are
    plausible in both layouts, and there is no warning. PyTorch's transposed kernels are ``(in, out, *window)``.

    >>> torch_layout_warning((8, 32, 32, 3), (64, 3, 3, 3), feature_group_count=1, transposed=False)
    'conv: kernel.shape=(64, 3, 3, 3) is read as a window of 64x3 from 3 to 3 channels. In the layout of PyTorch ...
    >>> torch_layout_warning((8, 32, 32, 3), (3, 3, 3, 64), feature_group_count=1, transposed=False)
    """
    channels = x_shape[-1]
    out_axis = 1 if transposed else 0
    others = [size for axis, size in enumerate(kernel_shape) if axis != out_axis]
    if len(kernel_shape) < 4 or feature_group_count != 1 or not isinstance(channels, int) or channels < 2:
        return None
    out = kernel_shape[out_axis]
    if out < FEWEST_CHANNELS or out == channels or any(size != channels for size in others):
        return None
    window, theirs = ("x".join(map(str, sizes)) for sizes in (kernel_shape[:-2], kernel_shape[2:]))
    axes = "(2, 3, 1, 0)" if len(kernel_shape) == 4 else "(2, 3, 4, 1, 0)"
    name = "conv_transpose" if transposed else "conv"
    return (
        f"{name}: kernel.shape={tuple(kernel_shape)} is read as a window of {window} from {channels} to {channels} "
        f"channels. In the layout of PyTorch it is a window of {theirs} from {channels} to {out} channels. If the "
        f"latter is intended, use jnp.transpose(kernel, {axes})."
    )
