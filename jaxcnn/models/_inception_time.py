"""InceptionTime: windows of several lengths on time series (Fawaz et al. 2020)."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike
from jaxcnn.functional import max_pool
from jaxcnn.models._layers import as_series, as_series_mask, classifier, masked, masked_mean
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.models._series import KERNEL_INIT, keras_norm
from jaxcnn.nn import Conv


class InceptionTime(nn.Module):
    """One network of the ensemble InceptionTime: modules of parallel convolutions, and the mean over time.

    Each module has a convolution of one entry that reduces the channels (unless there is only one channel),
    convolutions of 40, 20 and 10 entries on its result, and a max pool over 3 entries with a convolution of one entry,
    all without biases. Their channels are concatenated, and a batch norm and a rectifier follow. After every third
    module the input of the first of these three is added, through a convolution of one entry and a norm. The paper
    trains five networks from different initial values and averages their probabilities (``mean_of_scores``).

    Series are ``(*batch, length, channels)`` of any length; masks are as in ``FCN1D``. ``features`` returns ``module1``
    to ``module6``, ``pooled`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        depth: number of modules.
        width: channels of each convolution of a module, whose result has ``len(windows) + 1`` times as many.
        windows: window sizes of the parallel convolutions of a module.
        norm: creates a norm.

    >>> variables = jax.eval_shape(InceptionTime().init, jax.random.key(0), jnp.zeros((1, 150, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    420450
    """

    num_classes: int = 2
    dtype: DTypeLike | None = None
    depth: int = 6
    width: int = 32
    windows: Sequence[int] = (40, 20, 10)
    norm: Callable[..., nn.Module] = keras_norm

    @nn.compact
    def features(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> dict[str, jax.Array]:
        """The series after each module, their mean over time, and the logits."""
        x = as_series(x)
        valid = as_series_mask(mask, x)
        conv = functools.partial(Conv, use_bias=False, dtype=self.dtype, kernel_init=KERNEL_INIT)
        norm = functools.partial(self.norm, use_running_average=not train, dtype=self.dtype)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.float32)  # the pools fill masked entries with -inf
        x = shortcut = masked(x, valid)
        outputs = {}
        for index in range(1, self.depth + 1):
            name = f"module{index}"
            y = x if x.shape[-1] == 1 else conv(self.width, (1,), name=f"{name}_bottleneck")(x)
            branches = [conv(self.width, (window,), name=f"{name}_conv{window}")(y) for window in self.windows]
            largest = masked(max_pool(masked(x, valid, fill=-jnp.inf), (3,), strides=1, padding="SAME"), valid)
            branches.append(conv(self.width, (1,), name=f"{name}_pool")(largest))
            x = masked(nn.relu(norm(name=f"{name}_norm")(jnp.concatenate(branches, -1), mask=valid)), valid)
            if index % 3 == 0:
                shortcut = conv(x.shape[-1], (1,), name=f"{name}_shortcut_conv")(shortcut)
                shortcut = norm(name=f"{name}_shortcut_norm")(shortcut, mask=valid)
                x = shortcut = masked(nn.relu(x + shortcut), valid)
            outputs[name] = x
        pooled = masked_mean(x, valid)
        head = classifier(self.num_classes, dtype=self.dtype, kernel_init=KERNEL_INIT, name="head")
        return outputs | {"pooled": pooled, "logits": head(pooled)}

    def __call__(self, x: jax.Array, train: bool = False, mask: ArrayLike | None = None) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of series ``(*batch, length, channels)``."""
        return self.features(x, train, mask)["logits"]


register(
    ModelInfo(
        name="inception_time",
        paper="Fawaz, Lucas, Forestier, Pelletier, Schmidt, Weber, Webb, Idoumghar, Muller, Petitjean: InceptionTime: "
        "Finding AlexNet for Time Series Classification, 2020",
        input_shape=(150, 1),
        num_classes=2,
        parameters=420_450,
        macs=62_721_856,
        accuracy="100.0 % GunPoint, mean of 5 networks",
    ),
    InceptionTime,
)
