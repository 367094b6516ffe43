"""U-Net, a network for segmentation (Ronneberger, Fischer and Brox 2015)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._symbolic import is_less, is_symbolic
from jaxcnn.functional import max_pool
from jaxcnn.models._layers import as_images, dropout_layer, require_classes
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv, ConvTranspose

UNetPadding = Literal["VALID", "SAME"]
# The paper's section 3: a deviation of sqrt(2 / N) for N incoming connections.
HE_FAN_IN = nn.initializers.he_normal()


class UNet(nn.Module):
    """U-Net: a contracting and an expanding path, with the maps of the former concatenated to those of the latter.

    Layers as in figure 1 of the paper: two 3x3 convolutions with rectifiers at each level, 2x2 max pooling, 2x2
    up-convolution, and a 1x1 convolution to the classes. With the paper's padding ``"VALID"``, 572x572 pixels give
    classes for the central 388x388, and maps are cropped to the centre before they are concatenated. ``"SAME"``, the
    usual form today, gives a class for every pixel. Dropout is applied to the last two levels of the contracting path;
    the paper does not state its rate, which is 0.5 here.

    With ``"VALID"`` the input of every pool must have even sides, as for 572; with ``"SAME"`` sides are multiples of
    16. The error for other sizes names the nearest valid ones. ``features`` returns ``down1`` to ``down4``, ``bottom``,
    ``up4`` to ``up1`` and ``logits``.

    Args:
        num_classes: number of logits of each pixel.
        dtype: type of the computation; parameters stay float32.
        padding: ``"VALID"`` or ``"SAME"``.
        widths: channels of each level; the number of pools is one less.
        dropout_rate: fraction of units dropped in training; requires an rng named ``dropout``.
        norm: creates a norm after each convolution; None for no norms, as in the paper.

    >>> x = jnp.zeros((1, 572, 572, 1))
    >>> variables = jax.eval_shape(UNet().init, jax.random.key(0), x)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    31030658
    >>> jax.eval_shape(UNet().apply, variables, x).shape
    (1, 388, 388, 2)
    """

    num_classes: int = 2
    dtype: DTypeLike | None = None
    padding: UNetPadding = "VALID"
    widths: Sequence[int] = (64, 128, 256, 512, 1024)
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] | None = None

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps of each level of both paths, and the logits."""
        check_choice(self.padding, get_args(UNetPadding), name="padding")
        x = as_images(x)
        require_classes(self.num_classes, instead='method="features" of a model with classes gives its maps')
        for size in x.shape[-3:-1]:
            check_size(size, depth=len(self.widths) - 1, padding=self.padding)
        outputs: dict[str, jax.Array] = {}
        depth = len(self.widths) - 1
        dropout = dropout_layer(self.dropout_rate, train=train)
        for level in range(1, depth + 1):
            x = self._two_convolutions(f"down{level}", x, self.widths[level - 1], train)
            outputs[f"down{level}"] = x = dropout(x) if level == depth else x
            x = max_pool(x, (2, 2), strides=2)
        outputs["bottom"] = x = dropout(self._two_convolutions("bottom", x, self.widths[depth], train))
        for level in range(depth, 0, -1):
            width = self.widths[level - 1]
            up = ConvTranspose(
                width, (2, 2), (2, 2), "VALID", dtype=self.dtype, kernel_init=HE_FAN_IN, name=f"up{level}_conv"
            )
            x = nn.relu(up(x))
            x = jnp.concatenate([centre_crop(outputs[f"down{level}"], x.shape), x], -1)
            outputs[f"up{level}"] = x = self._two_convolutions(f"up{level}", x, width, train)
        return outputs | {"logits": Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(x)}

    def _two_convolutions(self, level: str, x: jax.Array, width: int, train: bool) -> jax.Array:
        for index in (1, 2):
            name = f"{level}_conv{index}"
            x = Conv(width, (3, 3), padding=self.padding, dtype=self.dtype, kernel_init=HE_FAN_IN, name=name)(x)
            if self.norm is not None:
                x = self.norm(use_running_average=not train, dtype=self.dtype, name=f"{level}_norm{index}")(x)
            x = nn.relu(x)
        return x

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, out_height, out_width, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


def check_size(size: int, *, depth: int, padding: str) -> None:
    """Raises unless every pool halves a side of this size evenly.

    Raises:
        ShapeError: some pool has an odd input; the message names the nearest valid sizes.

    >>> check_size(572, depth=4, padding="VALID")
    >>> check_size(512, depth=4, padding="VALID")
    Traceback (most recent call last):
    jaxcnn.ShapeError: a side of 512 is not halved evenly by each of 4 pools. Try 508 or 524, or padding='SAME'.
    """
    if _fits(size, depth, padding):
        return
    step = 2**depth
    if is_symbolic(size):
        least = next(n for n in itertools.count(1) if _fits(n, depth, padding))
        sides = f"{step}*h" if least == step else f"{step}*h + {least - step}"
        raise ShapeError(
            f"a side of {size} may not be halved evenly by each of {depth} pools. Write symbolic sides such as "
            f'"{sides}" in jax.export.symbolic_shape.'
        )
    near = [n for n in range(max(size - step, 1), size + 16 * step) if _fits(n, depth, padding)]
    best = sorted(sorted(near, key=lambda n: abs(n - size))[:2])
    other = ", or padding='SAME'" if padding == "VALID" and _fits(size, depth, "SAME") else ""
    raise ShapeError(
        f"a side of {size} is not halved evenly by each of {depth} pools. Try {' or '.join(map(str, best))}{other}."
    )


def _fits(size: int, depth: int, padding: str) -> bool:
    """Whether the input of every pool is even and the output is not empty."""
    lost = 4 if padding == "VALID" else 0
    for _ in range(depth):
        size -= lost
        if is_less(size, 2) or size % 2 != 0:
            return False
        size //= 2
    for _ in range(depth):
        size = 2 * (size - lost)
    return is_less(lost, size)


def centre_crop(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """The central part of a map with the height and width of a shape.

    >>> centre_crop(jnp.arange(5.0)[:, None, None], (3, 1, 1))[:, 0, 0]
    Array([1., 2., 3.], dtype=float32)
    """
    top, left = ((x.shape[axis] - shape[axis]) // 2 for axis in (-3, -2))
    return x[..., top : top + shape[-3], left : left + shape[-2], :]


register(
    ModelInfo(
        name="unet",
        paper="Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015",
        input_shape=(572, 572, 1),
        num_classes=2,
        parameters=31_030_658,
        macs=150_428_424_448,
    ),
    UNet,
)
