"""LeNet-5 as published in 1998 (LeCun, Bottou, Bengio and Haffner), including its output codes and its loss."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array, as_arrays
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional import avg_pool, conv
from jaxcnn.models._layers import DIGITS
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv

# Table I of the paper: the maps of S2 that each map of C3 reads.
C3_READS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


def squash(x: jax.Array) -> jax.Array:
    """``1.7159 tanh(2x / 3)``, which is 1 at 1 and -1 at -1 (the paper's appendix A).

    >>> squash(jnp.array([-1.0, 0.0, 1.0])).round(3)
    Array([-1.,  0.,  1.], dtype=float32)
    """
    return 1.7159 * jnp.tanh(2 / 3 * x)


def uniform_over_fan_in(fan_in: int) -> Any:
    """The initializer of the paper: uniform on ``+-2.4 / fan_in``.

    >>> bool(abs(uniform_over_fan_in(24)(jax.random.key(0), (9,))).max() < 0.1)
    True
    """
    bound = 2.4 / fan_in

    def initialize(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)

    return initialize


class Subsampling(nn.Module):
    """``squash(coefficient * sum + bias)`` of each 2x2 window, with one coefficient and one bias for each map.

    Attributes:
        dtype: type of the computation.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to half the height and width."""
        channels, init = x.shape[-1], uniform_over_fan_in(4)
        dtype = self.dtype or x.dtype
        coefficient = self.param("coefficient", init, (channels,)).astype(dtype)
        bias = self.param("bias", init, (channels,)).astype(dtype)
        total = 4 * avg_pool(x.astype(dtype), (2, 2), strides=2)
        ones = (1,) * (x.ndim - 1)
        return squash(total * coefficient.reshape(*ones, channels) + bias.reshape(*ones, channels))


class SparseConv(nn.Module):
    """A convolution in which each output map reads a subset of the input maps, with parameters for that subset only.

    Attributes:
        reads: for each output map, the input maps that it reads.
        window: side of the kernel.
        dtype: type of the computation.
    """

    reads: Sequence[Sequence[int]]
    window: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, height, width, channels)`` to one map for each entry of ``reads``, without padding."""
        dtype, area = self.dtype or x.dtype, self.window**2
        links = [(source, target) for target, sources in enumerate(self.reads) for source in sources]
        fan_in = [area * len(self.reads[target]) for _, target in links]
        kernel = self.param("kernel", self._initialize(fan_in), (self.window, self.window, len(links))).astype(dtype)
        bias_init = self._initialize([area * len(sources) for sources in self.reads])
        bias = self.param("bias", bias_init, (len(self.reads),)).astype(dtype)
        place = np.full((x.shape[-1], len(self.reads)), len(links))  # the index of the zero after all links
        for index, link in enumerate(links):
            place[link] = index
        padded = jnp.pad(kernel, ((0, 0), (0, 0), (0, 1)))
        return conv(x.astype(dtype), padded[:, :, place], bias=bias, padding="VALID")

    def _initialize(self, fan_in: Sequence[int]) -> Any:
        """``uniform_over_fan_in`` with a separate fan-in for each entry of the last axis."""

        def initialize(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
            bound = jnp.asarray(2.4 / np.asarray(fan_in), dtype).reshape((1,) * (len(shape) - 1) + (-1,))
            return bound * jax.random.uniform(key, tuple(shape), dtype, -1, 1)

        return initialize


class LeNet5of1998(nn.Module):
    """LeNet-5 of the paper: 60,000 trainable parameters on 32x32 images, 0.95 % errors on MNIST.

    Layers as in section II.B: C1 (6 maps, 5x5), S2 (subsampling with a coefficient and a bias for each map), C3 (16
    maps, each of which reads the maps of S2 listed in table I), S4 (as S2), C5 (120 maps, each of which covers all of
    S4), F6 (84 units), and radial basis functions. The activation is ``1.7159 tanh(2x / 3)``, and parameters are
    initialised uniformly on ``+-2.4 / fan_in``.

    An output unit is the squared distance of F6 from a fixed code, ``y[i] = sum of (x - w[i])**2`` over 84 entries of
    +1 and -1, the 7x12 picture of the digit. The logit is ``-y[i]``, so that the class with the largest logit is the
    prediction. The loss is ``map_loss``, equation 9 of the paper.

    The pictures in figure 3 of the paper are too small to copy every pixel with certainty; the codes here are redrawn
    from it. As in the paper, the input is expected to be -0.1 for the background and 1.175 for ink.

    Args:
        num_classes: number of logits, at most the number of codes.
        dtype: type of the computation; parameters stay float32.

    >>> variables = jax.eval_shape(LeNet5of1998().init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    >>> {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in variables["params"].items()}
    {'c1': 156, 'c3': 1516, 'c5': 48120, 'f6': 10164, 's2': 12, 's4': 32}
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``c1`` to ``logits``."""
        x = as_array(x, name="x")
        if not (x.ndim >= 3 and all(not is_symbolic(size) and 32 <= size <= 35 for size in x.shape[-3:-1])):
            raise ShapeError(
                f"expected images of 32x32 (up to 35x35), channels last, so that C5 covers S4; "
                f"got x.shape={x.shape}. Pad 28x28 digits by 2 on every side, or resize."
            )
        if not 1 <= self.num_classes <= len(DIGITS):
            raise ValueError(f"there are codes for 1 to {len(DIGITS)} classes, not {self.num_classes}.")
        outputs = {"c1": squash(self._conv("c1", 6, 25 * x.shape[-1])(x))}
        outputs["s2"] = Subsampling(self.dtype, name="s2")(outputs["c1"])
        outputs["c3"] = squash(SparseConv(C3_READS, 5, self.dtype, name="c3")(outputs["s2"]))
        outputs["s4"] = Subsampling(self.dtype, name="s4")(outputs["c3"])
        outputs["c5"] = squash(self._conv("c5", 120, 25 * 16)(outputs["s4"]))
        init = uniform_over_fan_in(120)
        f6 = nn.Dense(84, dtype=self.dtype, kernel_init=init, bias_init=init, name="f6")
        outputs["f6"] = squash(f6(outputs["c5"].reshape(*x.shape[:-3], 120)))
        codes = jnp.asarray(DIGITS[: self.num_classes].reshape(self.num_classes, -1), outputs["f6"].dtype)
        ones = (1,) * (outputs["f6"].ndim - 1)
        distance = jnp.square(outputs["f6"][..., None, :] - codes.reshape(*ones, *codes.shape))
        return outputs | {"logits": -distance.sum(-1)}

    def _conv(self, name: str, features: int, fan_in: int) -> nn.Module:
        init = uniform_over_fan_in(fan_in)
        return Conv(features, (5, 5), padding="VALID", dtype=self.dtype, kernel_init=init, bias_init=init, name=name)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, 32, 32, channels)``."""
        return self.features(x, train)["logits"]


def map_loss(logits: ArrayLike, labels: ArrayLike, *, floor: float = 1.0) -> jax.Array:
    """The paper's maximum a posteriori criterion for each image: ``y[label] + log(exp(-j) + sum_i exp(-y[i]))``.

    With ``y = -logits``. The second term increases the distance to the codes of the other classes; the constant ``j``
    limits its effect on classes that are already far away. The mean over images is equation 9 of the paper.

    Args:
        logits: ``(*batch, classes)``.
        labels: ``(*batch,)``, integers.
        floor: ``j``, positive; the paper does not state its value.

    Returns:
        ``(*batch,)``.

    Raises:
        ShapeError: labels of another shape than the batch.

    >>> loss = map_loss(jnp.array([-0.5, -60.0]), jnp.array(0))  # near its code, and far from the other
    >>> print(f"{loss:.3f}")
    0.474
    """
    logits, labels = as_arrays(logits=logits, labels=labels)
    if labels.shape != logits.shape[:-1]:
        raise ShapeError(f"logits {logits.shape} require labels {logits.shape[:-1]}, not {labels.shape}.")
    right = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    constant = jnp.full((*logits.shape[:-1], 1), -floor, logits.dtype)
    return jax.nn.logsumexp(jnp.concatenate([logits, constant], -1), axis=-1) - right


register(
    ModelInfo(
        name="lenet5_1998",
        paper="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998",
        input_shape=(32, 32, 1),
        num_classes=10,
        parameters=60_000,
        macs=117_600 + 240_000 + 48_000 + 10_080,
        accuracy="99.05 % MNIST",
    ),
    LeNet5of1998,
)
