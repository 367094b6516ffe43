"""Transposed convolution as a module, with the arguments, the variables and the results of Flax's module."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.linen.dtypes import promote_dtype
from flax.typing import Initializer
from jax import lax
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis, int_per_axis
from jaxcnn._geometry import ConvAlgorithm
from jaxcnn.functional import conv
from jaxcnn.nn._conv import make_parameters
from jaxcnn.nn._flax_conv import FlaxTransposePadding, flax_transpose_pads, kernel_size_per_axis


class ConvTranspose(linen.Module):
    """A convolution of the dilated input, a drop-in for ``flax.linen.ConvTranspose``.

    The arguments, their order and defaults, the variables and the results are those of Flax. By default the kernel is
    ``(*kernel_size, in_features, features)`` and is not flipped. With ``transpose_kernel=True`` it is
    ``(*kernel_size, features, in_features)``, the kernel of the ``conv`` that is transposed, and the module computes
    ``functional.conv_transpose`` with that kernel. Names of ``padding`` are the padding of that ``conv``; counts are
    zeros around the dilated input. So PyTorch's ``ConvTranspose2d(..., padding=p, output_padding=e)`` is
    ``transpose_kernel=True`` with ``padding=((r - 1 - p, r - 1 - p + e), ...)``, where ``r = dilation * (k - 1) + 1``.

    As in ``Conv``, a bare integer as ``kernel_size`` is an error.

    Attributes:
        features: number of output channels.
        kernel_size: the window, one integer per spatial axis.
        strides: dilation of the input; None is 1.
        padding: ``"SAME"``, ``"VALID"``, ``"CIRCULAR"``, or counts.
        kernel_dilation: distance between taps of the kernel; None is 1.
        use_bias: whether to add a bias.
        mask: array of the kernel's shape that multiplies the kernel.
        dtype: of the computation; None infers it from input and parameters.
        param_dtype: of the parameters.
        precision: as in ``jax.lax.conv_general_dilated``.
        kernel_init: initializer of the kernel.
        bias_init: initializer of the bias.
        transpose_kernel: flips the window and swaps the channel axes of the kernel.
        promote_dtype: promotes input, kernel and bias to one dtype.
        preferred_element_type: as in ``functional.conv``.
        algorithm: as in ``functional.conv`` (keyword only, not in Flax).

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose(8, (4, 4), strides=(2, 2), transpose_kernel=True)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 16, 16, 3)))
    >>> y.shape, variables["params"]["kernel"].shape
    ((1, 32, 32, 8), (4, 4, 8, 3))
    """

    features: int
    kernel_size: Sequence[int]
    strides: IntPerAxis | None = None
    padding: FlaxTransposePadding = "SAME"
    kernel_dilation: IntPerAxis | None = None
    use_bias: bool = True
    mask: ArrayLike | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = linen.initializers.lecun_normal()
    bias_init: Initializer = linen.initializers.zeros_init()
    transpose_kernel: bool = False
    promote_dtype: Callable[..., Any] = promote_dtype
    preferred_element_type: DTypeLike | None = None
    algorithm: ConvAlgorithm = dataclasses.field(default="auto", kw_only=True)

    @linen.compact
    def __call__(self, inputs: ArrayLike) -> jax.Array:
        """Maps ``(*batch, *spatial, in_features)`` to ``(*batch, *out_spatial, features)``."""
        x = as_array(inputs, name="inputs")
        window = kernel_size_per_axis(self.kernel_size, x.shape)
        ndim, in_features = len(window), x.shape[-1]
        strides = int_per_axis(1 if self.strides is None else self.strides, ndim, name="strides")
        dilation = int_per_axis(
            1 if self.kernel_dilation is None else self.kernel_dilation,
            ndim,
            name="kernel_dilation",
        )
        pads = flax_transpose_pads(
            self.padding,
            x.shape[-ndim - 1 : -1],
            window,
            strides=strides,
            kernel_dilation=dilation,
            transpose_kernel=self.transpose_kernel,
        )
        channels = (self.features, in_features) if self.transpose_kernel else (in_features, self.features)
        kernel, bias = make_parameters(self, (*window, *channels))
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        circular = self.padding == "CIRCULAR"
        if circular:
            # The period includes the gap after the last entry.
            gaps = [(0, stride - 1, stride - 1) for stride in strides]
            outer = [(0, 0, 0)] * (x.ndim - 1 - ndim)
            x = lax.pad(x, jnp.zeros((), x.dtype), [*outer, *gaps, (0, 0, 0)])
            strides = (1,) * ndim
        return conv(
            x,
            kernel.swapaxes(-1, -2) if self.transpose_kernel else kernel,
            bias=bias,
            padding=pads,
            padding_mode="circular" if circular else "zeros",
            input_dilation=strides,
            kernel_dilation=dilation,
            flip_kernel=self.transpose_kernel,
            algorithm=self.algorithm,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )
