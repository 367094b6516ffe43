"""Unshared convolution as a module: Flax's ``ConvLocal`` with groups and with one kernel axis per window axis."""

import dataclasses
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from flax.typing import Initializer
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis
from jaxcnn._geometry import PaddingMode, local_conv_kernel_shape
from jaxcnn.functional import local_conv
from jaxcnn.nn._conv import mask_of
from jaxcnn.nn._flax_conv import FlaxPadding, flax_conv_padding, kernel_size_per_axis


class LocalConv(linen.Module):
    """``functional.local_conv`` with a filter and a bias for each output position.

    The arguments, their order and defaults, and the results are those of ``flax.linen.ConvLocal``; in addition, groups
    are supported. Differences: the kernel is ``(*out_spatial, *kernel_size, in_features // groups, features)``, while
    Flax flattens the window and the input channels, channels first, into one axis. To convert Flax's kernel, reshape it
    to ``(*out_spatial, in_features, *kernel_size, features)`` and move the ``in_features`` axis after the window.
    ``kernel_init`` initialises each filter separately, like that of a convolution. Flax calls it with the shape of the
    whole kernel, so the fan-in includes the positions, and the initial outputs are too small.

    The parameters determine the spatial size of the input. The bias is ``(*out_spatial, features)``.

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
        precision: as in ``jax.lax.dot_general``.
        kernel_init: initializer of one filter.
        bias_init: initializer of the bias.
        promote_dtype: promotes input, kernel and bias to one dtype.
        padding_mode: values of the padding (keyword only, not in Flax).

    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.5.

    >>> import jax, jax.numpy as jnp
    >>> layer = LocalConv(6, (5, 5), padding="VALID")
    >>> y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> y.shape, variables["params"]["kernel"].shape, variables["params"]["bias"].shape
    ((1, 4, 4, 6), (4, 4, 5, 5, 3, 6), (4, 4, 6))
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
    padding_mode: PaddingMode = dataclasses.field(default="zeros", kw_only=True)

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Convolves ``(*batch, *spatial, in_features)`` to ``(*batch, *out_spatial, features)``."""
        x = as_array(inputs, name="inputs")
        options, padding_mode = unshared_options(self, x.shape)
        shape = local_conv_kernel_shape(x.shape, self.features, self.kernel_size, **options)
        kernel, bias = make_filters(self, shape)
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return local_conv(x, kernel, bias=bias, padding_mode=padding_mode, precision=self.precision, **options)


def unshared_options(module: Any, x_shape: Sequence[int]) -> tuple[dict[str, Any], PaddingMode]:
    """The options of a module that determine sizes, as arguments of the functions, and its padding mode."""
    window = kernel_size_per_axis(module.kernel_size, x_shape)
    kernel_dilation = 1 if module.kernel_dilation is None else module.kernel_dilation
    padding, padding_mode = flax_conv_padding(
        module.padding, module.padding_mode, window, kernel_dilation=kernel_dilation
    )
    options = {
        "strides": 1 if module.strides is None else module.strides,
        "padding": padding,
        "input_dilation": 1 if module.input_dilation is None else module.input_dilation,
        "kernel_dilation": kernel_dilation,
        "feature_group_count": module.feature_group_count,
    }
    return options, padding_mode


def make_filters(module: Any, kernel_shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array | None]:
    """The masked ``kernel``, with each filter initialised separately, and a ``bias`` for each filter."""
    ndim = (len(kernel_shape) - 2) // 2
    lead, shared = kernel_shape[:ndim], kernel_shape[ndim:]
    mask = mask_of(module, kernel_shape)

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        keys = jax.random.split(key, prod(lead))
        return jax.vmap(lambda key: module.kernel_init(key, shared, dtype))(keys).reshape(shape)

    kernel = module.param("kernel", draw, kernel_shape, module.param_dtype)
    if mask is not None:
        kernel = kernel * mask.astype(kernel.dtype)
    if not module.use_bias:
        return kernel, None
    return kernel, module.param("bias", module.bias_init, (*lead, module.features), module.param_dtype)
