"""Depthwise and separable convolution as modules."""

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
from jaxcnn._axes import IntPerAxis, as_int
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import ConvAlgorithm, PaddingMode
from jaxcnn.functional import depthwise_conv, separable_conv
from jaxcnn.nn._flax_conv import FlaxPadding, flax_conv_padding, kernel_size_per_axis


class DepthwiseConv(linen.Module):
    """``functional.depthwise_conv`` with a kernel and a bias: each channel is convolved separately.

    The variables are those of a ``Conv`` with as many groups as channels: ``kernel``
    ``(*kernel_size, 1, channels * channel_multiplier)`` and ``bias``.

    Attributes:
        kernel_size: the window, one integer per spatial axis.
        channel_multiplier: output channels per input channel.
        strides: step of the window; None is 1.
        padding: a name of Flax's or of ``functional.conv``, or counts; see ``Conv``.
        kernel_dilation: distance between taps of the kernel; None is 1.
        use_bias: whether to add a bias.
        dtype: of the computation; None infers it from input and parameters.
        param_dtype: of the parameters.
        precision: as in ``jax.lax.conv_general_dilated``.
        kernel_init: initializer of the kernel.
        bias_init: initializer of the bias.
        promote_dtype: promotes input, kernel and bias to one dtype.
        padding_mode: values of the padding.
        algorithm: as in ``functional.depthwise_conv``.

    >>> import jax, jax.numpy as jnp
    >>> y, variables = DepthwiseConv((3, 3)).init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 32)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))  # a full 3 x 3 convolution has 9,248
    320
    """

    kernel_size: Sequence[int]
    channel_multiplier: int = 1
    strides: IntPerAxis | None = 1
    padding: FlaxPadding = "SAME"
    kernel_dilation: IntPerAxis | None = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = linen.initializers.lecun_normal()
    bias_init: Initializer = linen.initializers.zeros_init()
    promote_dtype: Callable[..., Any] = promote_dtype
    padding_mode: PaddingMode = "zeros"
    algorithm: ConvAlgorithm = "auto"

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Convolves ``(*batch, *spatial, channels)`` to ``(*batch, *out_spatial, channels * channel_multiplier)``."""
        x = as_array(inputs, name="inputs")
        window = kernel_size_per_axis(self.kernel_size, x.shape)
        width = x.shape[-1] * _multiplier(self.channel_multiplier)
        kernel = self.param("kernel", self.kernel_init, (*window, 1, width), self.param_dtype)
        bias = self.param("bias", self.bias_init, (width,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return depthwise_conv(x, kernel, bias=bias, precision=self.precision, **_options(self, window))


class SeparableConv(linen.Module):
    """``functional.separable_conv`` with two kernels and a bias: a depthwise convolution, then a pointwise one.

    The variables are ``depthwise_kernel`` ``(*kernel_size, 1, in_features * channel_multiplier)``, ``pointwise_kernel``
    ``(1, ..., 1, in_features * channel_multiplier, features)`` and ``bias`` ``(features,)``. For a norm or an
    activation between the two, use ``DepthwiseConv`` and ``Conv``.

    Attributes:
        features: number of output channels.
        kernel_size: the window of the depthwise part, one integer per spatial axis.
        channel_multiplier: intermediate channels per input channel.
        strides: of the depthwise part; None is 1.
        padding: a name of Flax's or of ``functional.conv``, or counts; see ``Conv``.
        kernel_dilation: distance between taps of the depthwise kernel; None is 1.
        use_bias: whether to add a bias.
        dtype: of the computation; None infers it from input and parameters.
        param_dtype: of the parameters.
        precision: as in ``jax.lax.conv_general_dilated``.
        kernel_init: initializer of both kernels.
        bias_init: initializer of the bias.
        promote_dtype: promotes input, kernels and bias to one dtype.
        padding_mode: values of the padding.
        algorithm: of the depthwise part, as in ``functional.depthwise_conv``.

    >>> import jax, jax.numpy as jnp
    >>> y, variables = SeparableConv(64, (3, 3)).init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 32)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))  # a full 3 x 3 convolution has 18,496
    2400
    """

    features: int
    kernel_size: Sequence[int]
    channel_multiplier: int = 1
    strides: IntPerAxis | None = 1
    padding: FlaxPadding = "SAME"
    kernel_dilation: IntPerAxis | None = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = linen.initializers.lecun_normal()
    bias_init: Initializer = linen.initializers.zeros_init()
    promote_dtype: Callable[..., Any] = promote_dtype
    padding_mode: PaddingMode = "zeros"
    algorithm: ConvAlgorithm = "auto"

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Convolves ``(*batch, *spatial, in_features)`` to ``(*batch, *out_spatial, features)``."""
        x = as_array(inputs, name="inputs")
        window = kernel_size_per_axis(self.kernel_size, x.shape)
        width = x.shape[-1] * _multiplier(self.channel_multiplier)
        ones = (1,) * len(window)
        depthwise = self.param("depthwise_kernel", self.kernel_init, (*window, 1, width), self.param_dtype)
        pointwise = self.param("pointwise_kernel", self.kernel_init, (*ones, width, self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, depthwise, pointwise, bias = self.promote_dtype(x, depthwise, pointwise, bias, dtype=self.dtype)
        return separable_conv(
            x,
            depthwise,
            pointwise,
            bias=bias,
            precision=self.precision,
            **_options(self, window),
        )


def _multiplier(value: int) -> int:
    multiplier = as_int(value, name="channel_multiplier")
    if multiplier < 1:
        raise ShapeError(f"channel_multiplier={multiplier} must be at least 1.")
    return multiplier


def _options(module: Any, window: tuple[int, ...]) -> dict[str, Any]:
    """The options that both modules pass to their function."""
    dilation = 1 if module.kernel_dilation is None else module.kernel_dilation
    padding, padding_mode = flax_conv_padding(module.padding, module.padding_mode, window, kernel_dilation=dilation)
    return {
        "strides": 1 if module.strides is None else module.strides,
        "padding": padding,
        "padding_mode": padding_mode,
        "kernel_dilation": dilation,
        "algorithm": module.algorithm,
    }
