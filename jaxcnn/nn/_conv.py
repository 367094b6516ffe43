"""Convolution as a module, with the arguments, the variables and the results of Flax's module."""

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

from jaxcnn._arrays import ArrayLike, as_array, as_optional_arrays
from jaxcnn._axes import IntPerAxis
from jaxcnn._errors import ShapeError
from jaxcnn._geometry import ConvAlgorithm, PaddingMode, conv_kernel_shape
from jaxcnn.functional import conv
from jaxcnn.nn._flax_conv import FlaxPadding, flax_conv_padding, kernel_size_per_axis


class Conv(linen.Module):
    """``functional.conv`` with a kernel and a bias, a drop-in for ``flax.linen.Conv``.

    The arguments, their order and defaults, the variables ``kernel`` ``(*kernel_size, in_features //
    feature_group_count, features)`` and ``bias`` ``(features,)``, and the results are those of Flax. ``padding``
    accepts Flax's names in addition to those of ``functional.conv``: ``"CIRCULAR"`` and ``"REFLECT"`` pad by ``(k - 1)
    // 2`` before and ``k // 2`` after for every stride; ``"CAUSAL"`` works on every axis.

    Differences: a bare integer as ``kernel_size`` is an error, because it is ambiguous. Flax's deprecated
    ``conv_general_dilated`` and ``conv_general_dilated_cls`` do not exist; ``algorithm`` selects the algorithm.
    Invalid arguments raise ``ShapeError``, ``ValueError`` or ``TypeError``.

    Attributes:
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: step of the window; None is 1.
        padding: a name of Flax's or of ``functional.conv``, or counts.
        input_dilation: distance between entries of the input; None is 1.
        kernel_dilation: distance between taps of the kernel; None is 1.
        feature_group_count: number of groups of channels.
        use_bias: whether to add a bias.
        mask: array of the kernel's shape that multiplies the kernel.
        dtype: of the computation; None infers it from input and parameters.
        param_dtype: of the parameters.
        precision: as in ``jax.lax.conv_general_dilated``.
        kernel_init: initializer of the kernel.
        bias_init: initializer of the bias.
        promote_dtype: promotes input, kernel and bias to one dtype.
        padding_mode: values of the padding (keyword only, not in Flax).
        algorithm: as in ``functional.conv`` (keyword only, not in Flax).

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv(6, (5, 5), padding="VALID")
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    >>> y.shape, variables["params"]["kernel"].shape
    ((1, 28, 28, 6), (5, 5, 3, 6))
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
    algorithm: ConvAlgorithm = dataclasses.field(default="auto", kw_only=True)

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Convolves ``(*batch, *spatial, in_features)`` to ``(*batch, *out_spatial, features)``."""
        x = as_array(inputs, name="inputs")
        window = kernel_size_per_axis(self.kernel_size, x.shape)
        kernel_dilation = 1 if self.kernel_dilation is None else self.kernel_dilation
        padding, padding_mode = flax_conv_padding(
            self.padding, self.padding_mode, window, kernel_dilation=kernel_dilation
        )
        kernel, bias = make_parameters(
            self,
            conv_kernel_shape(x.shape[-1], self.features, window, feature_group_count=self.feature_group_count),
        )
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv(
            x,
            kernel,
            bias=bias,
            strides=1 if self.strides is None else self.strides,
            padding=padding,
            padding_mode=padding_mode,
            input_dilation=1 if self.input_dilation is None else self.input_dilation,
            kernel_dilation=kernel_dilation,
            feature_group_count=self.feature_group_count,
            algorithm=self.algorithm,
            precision=self.precision,
        )


def mask_of(module: Any, kernel_shape: tuple[int, ...]) -> jax.Array | None:
    """The mask of the kernel, if there is one."""
    (mask,) = as_optional_arrays(mask=module.mask)
    if mask is not None and mask.shape != kernel_shape:
        raise ShapeError(f"mask must have the shape of the kernel, {kernel_shape}, but has {mask.shape}.")
    return mask


def make_parameters(module: Any, kernel_shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array | None]:
    """The masked ``kernel`` and the ``bias`` of a convolution module, under Flax's names."""
    mask = mask_of(module, kernel_shape)
    kernel = module.param("kernel", module.kernel_init, kernel_shape, module.param_dtype)
    if mask is not None:
        kernel = kernel * mask.astype(kernel.dtype)
    if not module.use_bias:
        return kernel, None
    return kernel, module.param("bias", module.bias_init, (module.features,), module.param_dtype)
