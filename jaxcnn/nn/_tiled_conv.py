"""Tiled convolution as a module."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from flax.typing import Initializer
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._geometry import PaddingMode, conv_kernel_shape
from jaxcnn.functional import tiled_conv
from jaxcnn.nn._flax_conv import FlaxPadding, kernel_size_per_axis
from jaxcnn.nn._local_conv import make_filters, unshared_options


class TiledConv(linen.Module):
    """``functional.tiled_conv`` with a set of filters that repeats over the positions, and a bias for each filter.

    The arguments are those of ``Conv``, and ``tiles``. The kernel is ``(*tiles, *kernel_size, in_features // groups,
    features)`` and the bias ``(*tiles, features)``: both are shared in the same pattern. ``kernel_init`` initialises
    each filter separately, like that of a convolution.

    Attributes:
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: step of the window; None is 1.
        padding: a name of Flax's or of ``functional.conv``, or counts; see ``Conv``.
        input_dilation: distance between entries of the input; None is 1.
        kernel_dilation: distance between taps of the kernel; None is 1.
        feature_group_count: number of groups of channels.
        use_bias: whether to add a bias.
        mask: array of the kernel's shape that multiplies the kernel.
        dtype: of the computation; None infers it from input and parameters.
        param_dtype: of the parameters.
        precision: as in ``jax.lax.conv_general_dilated``.
        kernel_init: initializer of one filter.
        bias_init: initializer of the bias.
        promote_dtype: promotes input, kernel and bias to one dtype.
        tiles: number of filters that repeat along each axis, an integer or one per spatial axis (keyword only).
        padding_mode: values of the padding (keyword only).

    Source: Le et al. (2010), "Tiled convolutional neural networks"; Goodfellow, Bengio and Courville, Deep Learning
    (2016), section 9.5, also for the bias.

    >>> import jax, jax.numpy as jnp
    >>> layer = TiledConv(6, (5, 5), tiles=2, padding="VALID")
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> y.shape, variables["params"]["kernel"].shape, variables["params"]["bias"].shape
    ((1, 4, 4, 6), (2, 2, 5, 5, 3, 6), (2, 2, 6))
    """

    features: int
    kernel_size: Sequence[int]
    strides: IntPerAxis | None = 1
    padding: FlaxPadding = "SAME"
    input_dilation: IntPerAxis | None = 1
    kernel_dilation: IntPerAxis | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: ArrayLike | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = linen.initializers.lecun_normal()
    bias_init: Initializer = linen.initializers.zeros_init()
    promote_dtype: Callable[..., Any] = promote_dtype
    tiles: IntPerAxis = dataclasses.field(kw_only=True)
    padding_mode: PaddingMode = dataclasses.field(default="zeros", kw_only=True)

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Convolves ``(*batch, *spatial, in_features)`` to ``(*batch, *out_spatial, features)``."""
        x = as_array(inputs, name="inputs")
        options, padding_mode = unshared_options(self, x.shape)
        window = kernel_size_per_axis(self.kernel_size, x.shape)
        tiles = int_per_axis(self.tiles, len(window), name="tiles")
        shared = conv_kernel_shape(x.shape[-1], self.features, window, feature_group_count=self.feature_group_count)
        kernel, bias = make_filters(self, (*tiles, *shared))
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return tiled_conv(x, kernel, bias=bias, padding_mode=padding_mode, precision=self.precision, **options)
