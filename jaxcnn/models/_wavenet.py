"""Stacks of dilated causal convolutions, which predict each entry of a series from earlier ones (Oord et al. 2016)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv
from jaxcnn.models._layers import as_series, require_classes
from jaxcnn.models._registry import ModelInfo, register

# The last ``dilation`` inputs of each layer, at ``position % dilation``, and the number of entries read so far.
Cache = dict[str, Any]


class CausalConv(nn.Module):
    """A causal convolution with two taps at the distance ``dilation``, of a whole series or of its next entry."""

    in_features: int
    features: int
    dilation: int
    dtype: Any

    def setup(self) -> None:
        """The parameters of ``__call__`` and ``step``."""
        shape = (2, self.in_features, self.features)
        self.kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(*batch, length, in_features)`` to ``(*batch, length, features)``."""
        x, kernel, bias = promote_dtype(x, self.kernel, self.bias, dtype=self.dtype)
        return conv(x, kernel, bias=bias, padding="CAUSAL", kernel_dilation=self.dilation)

    def step(self, x: jax.Array, before: jax.Array) -> jax.Array:
        """The result for an entry ``(*batch, in_features)``, with the entry ``dilation`` positions before it."""
        window = jnp.stack([before, x], axis=-2)
        window, kernel, bias = promote_dtype(window, self.kernel, self.bias, dtype=self.dtype)
        return conv(window, kernel, bias=bias, padding="VALID")[..., 0, :]


class ResidualLayer(nn.Module):
    """``tanh(filter * x) sigmoid(gate * x)``, added to ``x`` and to the output, each through a dense layer."""

    width: int
    skip_width: int
    dilation: int
    dtype: Any

    def setup(self) -> None:
        """The three convolutions; filter and gate are one convolution with ``2 * width`` channels."""
        self.gated = CausalConv(self.width, 2 * self.width, self.dilation, self.dtype)
        self.residual = nn.Dense(self.width, dtype=self.dtype)
        self.skip = nn.Dense(self.skip_width, dtype=self.dtype)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The next layer's input, and the layer's part of the output."""
        return self._combined(x, self.gated(x))

    def step(self, x: jax.Array, before: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As ``__call__``, for one entry, with the entry ``dilation`` positions before it."""
        return self._combined(x, self.gated.step(x, before))

    def _combined(self, x: jax.Array, filter_and_gate: jax.Array) -> tuple[jax.Array, jax.Array]:
        values, gates = jnp.split(filter_and_gate, 2, axis=-1)
        y = jnp.tanh(values) * nn.sigmoid(gates)
        return x + self.residual(y), self.skip(y)


class WaveNetStack(nn.Module):
    """Stacks of gated causal convolutions of two entries, with dilations that double from layer to layer.

    A convolution of one entry maps the series to ``width`` channels. Each layer computes ``tanh(filter * x)
    sigmoid(gate * x)``. One convolution of one entry adds this to the input of the layer, another one to the output of
    the network. Output ``t`` depends only on inputs up to ``t``: on the last ``1 + stacks * sum(dilations)`` of them,
    3,070 by default. To predict the next entry, the target of entry ``t`` is entry ``t + 1``.

    ``__call__`` returns the logits of every entry. ``step`` returns the logits of the next entry from a cache of the
    inputs of the layers. Parameters and results are the same, and its time does not depend on the length of the series:

        cache = model.initial_cache(batch_shape)
        logits, cache = model.apply(variables, x[..., 0, :], cache, method="step")

    Args:
        num_classes: number of logits of each entry.
        dtype: type of the computation; parameters stay float32.
        dilations: of the layers of a stack.
        stacks: number of repetitions of these layers.
        width: channels of the layers.
        skip_width: channels of the output before the last two convolutions of one entry.

    >>> model = WaveNetStack(num_classes=4, dilations=(1, 2), stacks=1, width=2, skip_width=3)
    >>> x = jnp.ones((4, 1))
    >>> variables = jax.jit(model.init)(jax.random.key(0), x)
    >>> step = jax.jit(lambda entry, cache: model.apply(variables, entry, cache, method="step"))
    >>> cache = model.initial_cache(())
    >>> for entry in x:
    ...     logits, cache = step(entry, cache)
    >>> bool(jnp.allclose(logits, jax.jit(model.apply)(variables, x)[-1], atol=1e-6))
    True
    """

    num_classes: int = 256
    dtype: DTypeLike | None = None
    dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    stacks: int = 3
    width: int = 32
    skip_width: int = 64

    def setup(self) -> None:
        """The layers of ``__call__`` and ``step``."""
        require_classes(self.num_classes, instead="pass the number of values that an entry takes")
        self.input = nn.Dense(self.width, dtype=self.dtype)
        self.layers = [
            ResidualLayer(self.width, self.skip_width, dilation, self.dtype) for dilation in self._dilations()
        ]
        self.hidden = nn.Dense(self.skip_width, dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def _dilations(self) -> tuple[int, ...]:
        return tuple(self.dilations) * self.stacks

    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The series after each layer, ``layer1`` and so on, and the logits of every entry."""
        x = self.input(as_series(x))
        maps, parts = {}, []
        for number, layer in enumerate(self.layers, 1):
            x, part = layer(x)
            maps[f"layer{number}"] = x
            parts.append(part)
        return maps | {"logits": self._output(parts)}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, length, num_classes)`` of series ``(*batch, length, channels)``."""
        return self.features(x, train)["logits"]

    def initial_cache(self, batch_shape: Sequence[int]) -> Cache:
        """The cache before the first entry of series with these batch axes."""
        dtype = jnp.float32 if self.dtype is None else self.dtype
        queues = [jnp.zeros((*batch_shape, dilation, self.width), dtype) for dilation in self._dilations()]
        return {"queues": queues, "position": jnp.zeros((), jnp.int32)}

    def step(self, x: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Logits ``(*batch, num_classes)`` of the next entry ``(*batch, channels)``, and the next cache.

        Raises:
            ShapeError: a cache of other batch axes than the entry's.
        """
        x = as_array(x, name="x")
        if cache["queues"][0].shape[:-2] != x.shape[:-1]:
            raise ShapeError(
                f"expected an entry (*batch, channels) with the batch axes of the cache, "
                f"{cache['queues'][0].shape[:-2]}; got x.shape={x.shape}. Start with initial_cache(x.shape[:-1])."
            )
        x, parts, queues, position = self.input(x), [], [], cache["position"]
        for layer, queue in zip(self.layers, cache["queues"], strict=True):
            place = position % queue.shape[-2]
            before = jax.lax.dynamic_index_in_dim(queue, place, axis=-2, keepdims=False)
            queues.append(jax.lax.dynamic_update_index_in_dim(queue, x.astype(queue.dtype), place, axis=-2))
            x, part = layer.step(x, before)
            parts.append(part)
        return self._output(parts), {"queues": queues, "position": position + 1}

    def _output(self, parts: Sequence[jax.Array]) -> jax.Array:
        return self.head(nn.relu(self.hidden(nn.relu(sum(parts[1:], start=parts[0])))))


register(
    ModelInfo(
        name="wavenet_stack",
        paper="Oord, Dieleman, Zen, Simonyan, Vinyals, Graves, Kalchbrenner, Senior, Kavukcuoglu: WaveNet: A "
        "Generative Model for Raw Audio, 2016",
        input_shape=(4096, 1),
        num_classes=256,
        parameters=240_704,
        macs=964_820_992,
    ),
    WaveNetStack,
)
