"""Two networks for one video: one reads a frame, the other the motion of ten frames (Simonyan and Zisserman 2014)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array, common_dtype, kind_of_dtype
from jaxcnn._errors import ShapeError
from jaxcnn.functional import local_response_norm, max_pool
from jaxcnn.models._layers import as_images, classifier, dropout_layer, require_classes
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv

PAPER = "Simonyan, Zisserman: Two-Stream Convolutional Networks for Action Recognition in Videos, 2014"
FLOWS = 10
# Rows and columns are rounded up, as in the framework of the paper.
overlapping_pool = functools.partial(max_pool, window_shape=(3, 3), strides=2, ceil_mode=True)
_as_input = functools.partial(as_images, smallest=201, largest=232, advice="The dense layers require a map of 6x6.")


def stack_flows(flows: ArrayLike, *, subtract_mean: bool = True) -> jax.Array:
    """The input of a temporal network: the flows of consecutive frames as channels.

    Channel ``2 k`` is the displacement along the columns from frame ``k`` to the next, and ``2 k + 1`` that along the
    rows (equation 1 of the paper).

    Args:
        flows: ``(*batch, frames, height, width, 2)``, as ``functional.optical_flow`` returns it for pairs of frames.
        subtract_mean: whether the mean displacement of each flow is subtracted, which removes most of the motion of a
            camera.

    Returns:
        ``(*batch, height, width, 2 * frames)``.

    Raises:
        ShapeError: fewer than four axes, or no two displacements.
        TypeError: booleans or complex numbers.

    >>> flows = jnp.ones((10, 8, 8, 2)).at[:, 0, 0].set(3.0)
    >>> stack_flows(flows).shape, stack_flows(flows, subtract_mean=False)[0, 0]
    ((8, 8, 20), Array([3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3.,
           3., 3., 3.], dtype=float32))
    """
    x = _as_floating(flows, name="flows")
    if x.ndim < 4 or x.shape[-1] != 2:
        raise ShapeError(f"expected flows (*batch, frames, height, width, 2); got flows.shape={x.shape}.")
    if subtract_mean:
        x = x - x.mean((-3, -2), keepdims=True)
    x = jnp.moveaxis(x, -4, -2)
    return x.reshape(*x.shape[:-2], 2 * x.shape[-2])


def mean_of_scores(logits: Sequence[ArrayLike]) -> jax.Array:
    """The mean over several networks of the probability of each class: late fusion, or an ensemble.

    Args:
        logits: of each network, ``(*batch, classes)``, all of one shape.

    Returns:
        probabilities ``(*batch, classes)``.

    Raises:
        ShapeError: no logits, or of several shapes.
        TypeError: one array instead of a list, booleans or complex numbers.

    >>> mean_of_scores([jnp.zeros(2), jnp.array([0.0, 99.0])])
    Array([0.25, 0.75], dtype=float32)
    """
    if hasattr(logits, "shape") or not hasattr(logits, "__iter__"):
        got = f"one array of shape {logits.shape}" if hasattr(logits, "shape") else repr(logits)
        raise TypeError(f"logits must be a list of arrays, one for each network, not {got}.")
    arrays = [_as_floating(each, name="logits") for each in logits]
    if len({each.shape for each in arrays}) != 1 or not arrays[0].ndim:
        raise ShapeError(
            f"expected the logits (*batch, classes) of one or more networks, of one shape; got "
            f"{', '.join(str(each.shape) for each in arrays) or 'none'}."
        )
    dtype = common_dtype(*arrays)
    return jnp.stack([jax.nn.softmax(each.astype(dtype)) for each in arrays]).mean(0)


def _as_floating(value: ArrayLike, *, name: str) -> jax.Array:
    x = as_array(value, name=name)
    if x.dtype == jnp.bool_ or kind_of_dtype(x.dtype) == "complex":
        raise TypeError(f"{name} must be real numbers, not {x.dtype}.")
    return x if kind_of_dtype(x.dtype) == "floating" else x.astype(jnp.zeros(()).dtype)


class CNNM2048(nn.Module):
    """The network CNN-M-2048 (Chatfield et al. 2014) of each stream: five convolutions and three dense layers.

    Convolutions of 7x7 with stride 2, 5x5 with stride 2, and three of 3x3; overlapping max pools after the first,
    second and last, which round sizes up; response normalisation after the first two. Kernels are initialised from a
    normal distribution with standard deviation 0.01, biases with 0.

    Images are 201x201 to 232x232, for which the dense layers read a 6x6 map. ``features`` returns ``conv1`` to
    ``conv5`` after the rectifier, ``pool1``, ``pool2``, ``pool5``, ``full6``, ``full7`` and ``logits``.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.
        second_norm: whether the second convolution has a response normalisation; in the temporal stream it has none.
        dropout_rate: fraction of the hidden units dropped in training; requires an rng named ``dropout``. 0.9 in the
            paper for networks trained on video alone.
        hidden: units of the first two dense layers.

    >>> for channels in (3, 20):
    ...     x = jnp.zeros((1, 224, 224, channels))
    ...     variables = jax.eval_shape(CNNM2048(num_classes=101).init, jax.random.key(0), x)
    ...     print(sum(leaf.size for leaf in jax.tree.leaves(variables)))
    90627813
    90707781
    """

    num_classes: int = 101
    dtype: DTypeLike | None = None
    second_norm: bool = True
    dropout_rate: float = 0.5
    hidden: tuple[int, int] = (4096, 2048)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Every named map of the network, from ``conv1`` to ``logits``."""
        x = _as_input(x)
        normal = nn.initializers.normal(0.01)
        conv = functools.partial(Conv, dtype=self.dtype, kernel_init=normal)
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=normal)
        dropout = dropout_layer(self.dropout_rate, train=train)
        conv1 = nn.relu(conv(96, (7, 7), 2, "VALID", name="conv1")(x))
        pool1 = overlapping_pool(local_response_norm(conv1))
        conv2 = nn.relu(conv(256, (5, 5), 2, 1, name="conv2")(pool1))
        pool2 = overlapping_pool(local_response_norm(conv2) if self.second_norm else conv2)
        conv3 = nn.relu(conv(512, (3, 3), 1, 1, name="conv3")(pool2))
        conv4 = nn.relu(conv(512, (3, 3), 1, 1, name="conv4")(conv3))
        conv5 = nn.relu(conv(512, (3, 3), 1, 1, name="conv5")(conv4))
        pool5 = overlapping_pool(conv5)
        full6 = nn.relu(dense(self.hidden[0], name="full6")(pool5.reshape(*x.shape[:-3], 6 * 6 * 512)))
        full7 = nn.relu(dense(self.hidden[1], name="full7")(dropout(full6)))
        logits = classifier(self.num_classes, dtype=self.dtype, kernel_init=normal, name="head")(dropout(full7))
        outputs = {"conv1": conv1, "pool1": pool1, "conv2": conv2, "pool2": pool2, "conv3": conv3, "conv4": conv4}
        return outputs | {"conv5": conv5, "pool5": pool5, "full6": full6, "full7": full7, "logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, height, width, channels)``."""
        return self.features(x, train)["logits"]


class TwoStream(nn.Module):
    """Both streams: channels 0 to 2 are a frame, the others the flows of consecutive frames (``stack_flows``).

    The scores of the two networks are averaged, as in section 2 of the paper: the logits are the logarithm of the mean
    of the probabilities. The paper trains each stream alone (``two_stream_spatial``, ``two_stream_temporal``); their
    variables are the entries ``spatial`` and ``temporal`` here.

    ``features`` returns ``spatial`` and ``temporal``, the logits of each stream, and ``logits``.

    Args:
        num_classes: number of classes.
        dtype: type of the computation; parameters stay float32.
        dropout_rate: as in ``CNNM2048``.
        hidden: as in ``CNNM2048``.

    >>> variables = jax.eval_shape(TwoStream().init, jax.random.key(0), jnp.zeros((1, 224, 224, 23)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    181335594
    """

    num_classes: int = 101
    dtype: DTypeLike | None = None
    dropout_rate: float = 0.5
    hidden: tuple[int, int] = (4096, 2048)

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The logits of each stream, and those of both."""
        x = _as_input(x)
        require_classes(self.num_classes, instead="features of one stream are those of two_stream_spatial or _temporal")
        if x.shape[-1] < 5 or x.shape[-1] % 2 == 0:
            raise ShapeError(
                f"expected a frame of three channels and two channels for each flow, (*batch, height, width, 3 + 2 L); "
                f"got x.shape={x.shape}."
            )
        stream = functools.partial(
            CNNM2048, self.num_classes, self.dtype, dropout_rate=self.dropout_rate, hidden=self.hidden
        )
        spatial = stream(name="spatial")(x[..., :3], train)
        temporal = stream(second_norm=False, name="temporal")(x[..., 3:], train)
        both = jnp.stack([jax.nn.log_softmax(spatial), jax.nn.log_softmax(temporal)])
        logits = jax.nn.logsumexp(both, axis=0) - jnp.log(2.0).astype(both.dtype)
        return {"spatial": spatial, "temporal": temporal, "logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of a frame and flows ``(*batch, height, width, 3 + 2 L)``."""
        return self.features(x, train)["logits"]


# name: module, channels, parameters, multiply-adds, accuracy on UCF-101, split 1
FORMS: dict[str, tuple[Any, int, int, int, str]] = {
    "two_stream_spatial": (CNNM2048, 3, 90_627_813, 1_663_894_560, "52.3 %"),
    "two_stream_temporal": (
        functools.partial(CNNM2048, second_norm=False),
        2 * FLOWS,
        90_707_781,
        2_613_994_368,
        "81.0 %",
    ),
    "two_stream": (TwoStream, 3 + 2 * FLOWS, 181_335_594, 4_277_888_928, "85.9 %"),
}
for _name, (_module, _channels, _parameters, _macs, _accuracy) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=(224, 224, _channels),
            num_classes=101,
            parameters=_parameters,
            macs=_macs,
            accuracy=f"{_accuracy} UCF-101 split 1",
        ),
        _module,
    )
