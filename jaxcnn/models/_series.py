"""Networks that classify time series, without and with shortcuts (Wang, Yan and Oates 2017)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike
from jaxcnn.models._layers import as_series, as_series_mask, classifier, masked, masked_mean, per_stage
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import BatchNorm, Conv

PAPER = "Wang, Yan, Oates: Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline, 2017"
WINDOWS = (8, 5, 3)
# Initialisation and batch norm are those of Keras, in which the published figures were computed.
KERNEL_INIT: Initializer = nn.initializers.glorot_uniform()
keras_norm = functools.partial(BatchNorm, momentum=0.99, epsilon=1e-3)


class FCN1D(nn.Module):
    """The fully convolutional network for series: convolutions of 8, 5 and 3 entries, and the mean over time.

    Each convolution is followed by a batch norm and a rectifier. Series are ``(*batch, length, channels)`` of any
    length. With ``mask`` ``(*batch, length)``, entries for which it is false are padding: they are 0 for every
    convolution, and no statistics of a norm and no mean include them, so that padding does not change the logits of a
    series. ``features`` returns ``conv1`` to ``conv3`` after the rectifier, ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        widths: channels of each convolution.
        windows: window size of each convolution.
        norm: creates a norm.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(FCN1D().init, jax.random.key(0), jnp.zeros((1, 150, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    264962
    """

    num_classes: int = 2
    dtype: DTypeLike | None = None
    widths: Sequence[int] = (128, 256, 128)
    windows: Sequence[int] = WINDOWS
    norm: Callable[..., nn.Module] = keras_norm

    @nn.compact
    def features(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> dict[str, jax.Array]:
        """The series after each convolution, their mean over time, and the logits."""
        x = as_series(x)
        valid = as_series_mask(mask, x)
        outputs = {}
        for index, (width, window) in enumerate(per_stage(widths=self.widths, windows=self.windows), 1):
            conv = Conv(width, (window,), dtype=self.dtype, kernel_init=KERNEL_INIT, name=f"conv{index}")
            norm = self.norm(use_running_average=not train, dtype=self.dtype, name=f"norm{index}")
            outputs[f"conv{index}"] = x = masked(nn.relu(norm(conv(masked(x, valid)), mask=valid)), valid)
        pooled = masked_mean(x, valid)
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=KERNEL_INIT, name="head")
        return outputs | {"pooled": pooled, "logits": head(pooled)}

    def __call__(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of series ``(*batch, length, channels)``."""
        return self.features(x, train, mask)["logits"]


class ResNet1D(nn.Module):
    """The residual network for series: three blocks of three convolutions, and the mean over time.

    The convolutions of a block read 8, 5 and 3 entries. The shortcut is a convolution of one entry where the number of
    channels changes, and has a batch norm in every block. Masks are as in ``FCN1D``. ``features`` returns ``block1`` to
    ``block3``, ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        widths: channels of each block.
        norm: creates a norm.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(ResNet1D().init, jax.random.key(0), jnp.zeros((1, 150, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    504258
    """

    num_classes: int = 2
    dtype: DTypeLike | None = None
    widths: Sequence[int] = (64, 128, 128)
    norm: Callable[..., nn.Module] = keras_norm

    @nn.compact
    def features(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> dict[str, jax.Array]:
        """The series after each block, their mean over time, and the logits."""
        x = as_series(x)
        valid = as_series_mask(mask, x)
        conv = functools.partial(Conv, dtype=self.dtype, kernel_init=KERNEL_INIT)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        outputs, x = {}, masked(x, valid)
        for block, width in enumerate(self.widths, 1):
            y, name = x, f"block{block}"
            for index, window in enumerate(WINDOWS, 1):
                y = conv(width, (window,), name=f"{name}_conv{index}")(y)
                y = norm(name=f"{name}_norm{index}")(y, mask=valid)
                y = masked(y if index == len(WINDOWS) else nn.relu(y), valid)
            if x.shape[-1] != width:
                x = conv(width, (1,), name=f"{name}_shortcut_conv")(x)
            x = norm(name=f"{name}_shortcut_norm")(x, mask=valid)
            outputs[name] = x = masked(nn.relu(x + y), valid)
        pooled = masked_mean(x, valid)
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=KERNEL_INIT, name="head")
        return outputs | {"pooled": pooled, "logits": head(pooled)}

    def __call__(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of series ``(*batch, length, channels)``."""
        return self.features(x, train, mask)["logits"]


# name: module, parameters, multiply-adds of a series of 150 entries, accuracy on GunPoint (Fawaz et al. 2019, 5 runs)
FORMS: dict[str, tuple[Any, int, int, str]] = {
    "fcn_1d": (FCN1D, 264_962, 39_475_456, "100.0 %"),
    "resnet_1d": (ResNet1D, 504_258, 75_043_456, "99.1 %"),
}
for _name, (_module, _parameters, _macs, _accuracy) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(150, 1),
            num_classes=2,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} GunPoint",
        ),
        _module,
    )
