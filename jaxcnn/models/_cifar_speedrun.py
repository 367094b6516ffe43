"""The eight-layer network that reaches 94 % on CIFAR-10 in seconds (Jordan 2024)."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array, common_dtype
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv, extract_patches, max_pool
from jaxcnn.models._layers import as_images, check_images, classifier, torch_bias, torch_kernel
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import BatchNorm, Conv


def dirac_kernel(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """An initializer of ``(*window, in, out)`` kernels whose first ``in`` outputs are the identity.

    The other outputs are initialised as in PyTorch, uniformly on ``+-1 / sqrt(fan_in)``.
    """
    *window, channels, features = shape
    same = min(channels, features)
    centre = tuple(size // 2 for size in window)
    identity = jnp.zeros((*window, channels, same), dtype).at[centre].set(jnp.eye(channels, same, dtype=dtype))
    return jnp.concatenate([identity, torch_kernel(key, shape, dtype)[..., same:]], -1)


def unit_kernel(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """PyTorch's initial kernel divided by its standard deviation."""
    kernel = torch_kernel(key, shape, dtype)
    return kernel / jnp.std(kernel, ddof=1)


def whitening_kernel(images: ArrayLike, *, window_shape: Sequence[int] = (2, 2), epsilon: float = 5e-4) -> jax.Array:
    """Filters whose responses to ``images`` are uncorrelated with mean square 1, followed by their negatives.

    Filter ``i`` is ``v_i / sqrt(lambda_i + epsilon)``, with the eigenvectors ``v_i`` and eigenvalues ``lambda_i`` of
    the uncentred second moments of all patches, in descending order.

    Args:
        images: ``(*batch, height, width, channels)``, normalised as in training.
        window_shape: height and width of a patch.
        epsilon: limits the amplification of directions with a small variance.

    Returns:
        ``(*window_shape, channels, 2 * patch)`` where ``patch`` is the number of values in a patch.

    Raises:
        ShapeError: ``images`` has another rank, or images are smaller than a patch.
        TypeError: ``images`` is not made of numbers.

    >>> images = jax.random.normal(jax.random.key(0), (8, 16, 16, 3))
    >>> kernel = whitening_kernel(images)
    >>> kernel.shape, bool((kernel[..., 12:] == -kernel[..., :12]).all())
    ((2, 2, 3, 24), True)
    """
    images = as_array(images, name="images")
    check_images(images.shape, smallest=max(window_shape))
    images = images.astype(common_dtype(images, jnp.float32))  # products of uint8 values overflow
    patches = extract_patches(images, tuple(window_shape), strides=1)
    shape = patches.shape[-3:]
    flat = patches.reshape(-1, math.prod(shape))
    moments = jnp.matmul(flat.T, flat, precision=jax.lax.Precision.HIGHEST) / len(flat)
    eigenvalues, eigenvectors = jnp.linalg.eigh(moments)
    filters = (eigenvectors / jnp.sqrt(jnp.maximum(eigenvalues, 0) + epsilon)[None])[:, ::-1].reshape(*shape, -1)
    return jnp.concatenate([filters, -filters], -1)


class Whitening(nn.Module):
    """A 2x2 convolution for the kernel of ``whitening_kernel``.

    Attributes:
        frozen: stops the gradient of the kernel.
        frozen_bias: stops the gradient of the bias.
        dtype: type of the computation.
    """

    frozen: bool = True
    frozen_bias: bool = False
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height - 1, width - 1, 8 * channels)``."""
        patch = 4 * x.shape[-1]
        kernel = self.param("kernel", torch_kernel, (2, 2, x.shape[-1], 2 * patch))
        bias = self.param("bias", torch_bias(patch), (2 * patch,))
        if self.frozen:
            kernel = jax.lax.stop_gradient(kernel)
        if self.frozen_bias:
            bias = jax.lax.stop_gradient(bias)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv(x, kernel, bias=bias, padding="VALID")


class ConvGroup(nn.Module):
    """Convolution, 2x2 max pooling, norm, GELU, convolution, norm, GELU.

    Attributes:
        features: output channels of both convolutions.
        norm: creates a norm.
        dtype: type of the computation.
    """

    features: int
    norm: Callable[..., nn.Module]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to ``(*batch, height // 2, width // 2, features)``."""
        layer = functools.partial(
            Conv, self.features, (3, 3), padding=1, use_bias=False, dtype=self.dtype, kernel_init=dirac_kernel
        )
        x = max_pool(layer(name="conv1")(x), (2, 2), strides=2)
        x = nn.gelu(self.norm(name="norm1")(x), approximate=False)
        return nn.gelu(self.norm(name="norm2")(layer(name="conv2")(x)), approximate=False)


class CifarSpeedrun(nn.Module):
    """The network of airbench94, the record for training CIFAR-10 to 94 % on one GPU: 1,971,640 parameters.

    A 2x2 convolution that whitens patches of 2x2x3 values (24 filters, frozen), three groups of two 3x3 convolutions
    without residuals, 3x3 max pooling, a dense layer without bias, and logits divided by 256. The norms have a bias
    but no scale, an epsilon of 1e-12, and a momentum of 0.6. Convolutions are initialised with identity filters.

    The whitening filters are the parameter ``whiten/kernel``. They are computed from the training images:
    ``params["whiten"]["kernel"] = whitening_kernel(images[:5000])``; ``init`` creates an ordinary initial kernel. With
    ``freeze_whitening`` their gradient is 0, but weight decay would still change them, so exclude them from it. The
    reference trains their bias for the first three of eight epochs; use a learning rate of 0 for it after that. A bias
    that is never trained (``freeze_whitening_bias``) saves the gradient of the largest map, a tenth of the time of a
    step.

    Images are 25x25 to 48x48. ``features`` returns ``whitened``, ``group1`` to ``group3``, ``pooled``, ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters and the sums of the norms stay float32.
        widths: channels of the three groups.
        freeze_whitening: stops the gradient of the whitening filters.
        freeze_whitening_bias: stops the gradient of their bias.
        logit_divisor: divisor of the dense layer's output.
        norm: creates a norm; replace it to share statistics over ``axis_name``.

    >>> variables = jax.eval_shape(CifarSpeedrun().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    1971640
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    widths: Sequence[int] = (64, 256, 256)
    freeze_whitening: bool = True
    freeze_whitening_bias: bool = False
    logit_divisor: float = 256.0
    norm: Callable[..., nn.Module] = functools.partial(BatchNorm, momentum=0.6, epsilon=1e-12, use_scale=False)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after whitening and after each group, the pooled vector, and the logits."""
        x = as_images(x, smallest=25, largest=48, advice="The last pooling requires a map of 3x3 to 5x5.")
        if len(self.widths) != 3:
            raise ShapeError(f"widths must have three entries, one for each group; got {tuple(self.widths)}.")
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        whiten = Whitening(self.freeze_whitening, self.freeze_whitening_bias, self.dtype, name="whiten")
        x = nn.gelu(whiten(x), approximate=False)
        outputs = {"whitened": x}
        for group, width in enumerate(self.widths, 1):
            x = ConvGroup(width, norm, self.dtype, name=f"group{group}")(x)
            outputs[f"group{group}"] = x
        x = max_pool(x, (3, 3), strides=3)
        outputs["pooled"] = x = x.reshape(*x.shape[:-3], x.shape[-1])
        head = classifier(self.num_classes, use_bias=False, dtype=self.dtype, kernel_init=unit_kernel, name="head")
        return outputs | {"logits": head(x) / self.logit_divisor if self.num_classes else x}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="cifar_speedrun",
        paper="Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (airbench94)",
        input_shape=(32, 32, 3),
        num_classes=10,
        parameters=1_971_640,
        macs=118_147_360,
        accuracy="94.01 % CIFAR-10",
    ),
    CifarSpeedrun,
)
