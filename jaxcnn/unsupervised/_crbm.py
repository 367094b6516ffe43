"""The convolutional restricted Boltzmann machine with probabilistic max pooling."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import as_int, int_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.functional import conv, conv_transpose

Params = Mapping[str, jax.Array]
Visible = Literal["binary", "gaussian"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CRBM:
    """A convolutional restricted Boltzmann machine whose hidden maps are pooled in blocks.

    The energy of visible units ``v`` and hidden units ``h`` is::

        E(v, h) = (sum(v**2) / 2 [gaussian] - c sum(v) - sum(h (conv(v, kernel) + b))) / sigma**2

    without padding, and in each block of ``block x block`` hidden units of a map at most one is on. So the hidden units
    of a block, with a state in which all are off, are a softmax of their inputs and 0; a pooling unit is on if one of
    its block is. Parameters are ``kernel`` ``(*window, channels, features)``, ``bias`` ``(features,)`` (``b``) and
    ``visible_bias`` ``(channels,)`` (``c``).

    Attributes:
        window_shape: height and width of a kernel.
        features: number of hidden maps.
        channels: of the images.
        block: side of a block; 1 is no pooling.
        visible: ``"binary"`` units or ``"gaussian"`` ones, with standard deviation ``sigma``.
        sigma: for binary units, the square root of a temperature.

    Source: Lee, Grosse, Ranganath and Ng (2009), "Convolutional deep belief networks for scalable unsupervised learning
    of hierarchical representations".

    >>> crbm = CRBM(window_shape=(3, 3), features=2)
    >>> params = crbm.init(jax.random.key(0))
    >>> hidden, pooled = crbm.hidden(params, jnp.zeros((1, 6, 6, 1)))
    >>> hidden.shape, pooled.shape, pooled[0, 0, 0]
    ((1, 4, 4, 2), (1, 2, 2, 2), Array([0.8, 0.8], dtype=float32))
    """

    window_shape: Sequence[int]
    features: int
    channels: int = 1
    block: int = 2
    visible: Visible = "binary"
    sigma: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_shape", int_per_axis(self.window_shape, 2, name="window_shape"))
        for name in ("features", "channels", "block"):
            if as_int(getattr(self, name), name=name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        check_choice(self.visible, get_args(Visible), name="visible")
        if isinstance(self.sigma, int | float) and not self.sigma > 0:
            raise ValueError(f"sigma={self.sigma} must be positive.")

    def init(self, key: jax.Array, *, scale: float = 0.01, activation: float | None = None) -> dict[str, jax.Array]:
        """Initial parameters: kernels are normal with standard deviation ``scale``, biases are 0.

        Args:
            key: determines the kernels.
            scale: of the kernels.
            activation: probability of a hidden unit in a block whose kernel responds with 0, which determines the
                hidden biases: ``sigma**2 log(activation / (1 - block**2 activation))``. If it is the target of the
                sparsity, kernels do not all become the mean image in the first steps. None sets the biases to 0.

        Raises:
            ValueError: an ``activation`` that is not between 0 and ``1 / block**2``.

        >>> crbm = CRBM(window_shape=(3, 3), features=1)
        >>> crbm.hidden(crbm.init(jax.random.key(0), scale=0.0, activation=0.1), jnp.zeros((4, 4, 1)))[0][0, 0]
        Array([0.1], dtype=float32)
        """
        shape = (*self.window_shape, self.channels, self.features)
        bias = 0.0
        if activation is not None:
            if not 0 < activation < 1 / self.block**2:
                raise ValueError(
                    f"activation={activation} must be between 0 and {1 / self.block**2}: of a block of {self.block} x "
                    f"{self.block} units at most one is on."
                )
            bias = self.sigma**2 * math.log(activation / (1 - self.block**2 * activation))
        return {
            "bias": jnp.full(self.features, bias),
            "kernel": scale * jax.random.normal(key, shape),
            "visible_bias": jnp.zeros(self.channels),
        }

    def crop(self, v: ArrayLike) -> jax.Array:
        """Images without the last rows and columns that do not fill a block.

        Args:
            v: ``(*batch, height, width, channels)``.

        Raises:
            ShapeError: fewer than three axes, or images too small for a block.

        >>> CRBM(window_shape=(12, 12), features=1).crop(jnp.zeros((28, 28, 1))).shape
        (27, 27, 1)
        """
        v = as_array(v, name="v")
        smallest = tuple(side + self.block - 1 for side in self.window_shape)
        if v.ndim < 3 or any(size < least for size, least in zip(v.shape[-3:-1], smallest, strict=True)):
            raise ShapeError(
                f"expected images (*batch, height, width, channels) of at least {smallest[0]} x {smallest[1]}, for "
                f"which a block of {self.block} x {self.block} fits, got {v.shape}."
            )
        height, width = (
            size - (size - side + 1) % self.block for size, side in zip(v.shape[-3:-1], self.window_shape, strict=True)
        )
        return v[..., :height, :width, :]

    def hidden(self, params: Params, v: ArrayLike, *, top_down: ArrayLike | None = None) -> tuple[jax.Array, jax.Array]:
        """Probabilities of the hidden units and of the pooling units, given the visible ones.

        ``P(h[i] = 1 | v) = exp(I[i]) / (1 + sum of exp(I) over the block)``, with the input ``I`` of ``E``, and
        ``P(pooled = 1 | v)`` is the sum of these probabilities over the block.

        Args:
            params: of the machine.
            v: ``(*batch, height, width, channels)``.
            top_down: an input of each pooling unit from a layer above, added to the input of each unit of its block.

        Returns:
            ``(*batch, height - window height + 1, width - window width + 1, features)``, and the pooled maps.

        Raises:
            ShapeError: images of another shape, or maps that are not divided into blocks; see ``crop``.
        """
        probabilities = self._probabilities(params, v, top_down)
        return _from_blocks(probabilities, self.block), probabilities.sum(-1)

    def sample_hidden(self, key: jax.Array, params: Params, v: ArrayLike) -> jax.Array:
        """Hidden units drawn given the visible ones: 0 or 1, at most one in a block.

        Args:
            key: determines what is drawn.
            params: of the machine.
            v: ``(*batch, height, width, channels)``.

        Raises:
            ShapeError: as for ``hidden``.
        """
        logits = self._with_off(self._inputs(params, v))
        drawn = jax.random.categorical(key, logits)
        return _from_blocks(jax.nn.one_hot(drawn, logits.shape[-1], dtype=logits.dtype)[..., :-1], self.block)

    def mean_visible(self, params: Params, h: ArrayLike) -> jax.Array:
        """The mean of the visible units given the hidden ones.

        ``c + conv_transpose(h, kernel)`` of Gaussian units, and the sigmoid of this over ``sigma**2`` of binary ones.

        Args:
            params: of the machine.
            h: ``(*batch, rows, columns, features)``.
        """
        h = as_array(h, name="h").astype(params["kernel"].dtype)
        total = conv_transpose(h, params["kernel"], padding="VALID", precision="highest")
        total = total + params["visible_bias"].reshape((1,) * (total.ndim - 1) + (-1,))
        return total if self.visible == "gaussian" else jax.nn.sigmoid(total / self.sigma**2)

    def sample_visible(self, key: jax.Array, params: Params, h: ArrayLike) -> jax.Array:
        """Visible units drawn given the hidden ones.

        Args:
            key: determines what is drawn.
            params: of the machine.
            h: ``(*batch, rows, columns, features)``.
        """
        mean = self.mean_visible(params, h)
        if self.visible == "gaussian":
            return mean + self.sigma * jax.random.normal(key, mean.shape, mean.dtype)
        return jax.random.bernoulli(key, mean).astype(mean.dtype)

    def free_energy(self, params: Params, v: ArrayLike) -> jax.Array:
        """``F(v) = -log(sum of exp(-E(v, h)) over the hidden units)``, ``(*batch,)``.

        Args:
            params: of the machine.
            v: ``(*batch, height, width, channels)``.

        Raises:
            ShapeError: as for ``hidden``.
        """
        inputs = self._inputs(params, v)
        v = as_array(v, name="v").astype(inputs.dtype)
        own = -v * params["visible_bias"].reshape((1,) * (v.ndim - 1) + (-1,))
        own = own + v**2 / 2 if self.visible == "gaussian" else own
        blocks = jax.nn.logsumexp(self._with_off(inputs), axis=-1)
        return own.sum((-3, -2, -1)) / self.sigma**2 - blocks.sum((-3, -2, -1))

    def loss(
        self,
        key: jax.Array,
        params: Params,
        v: ArrayLike,
        *,
        steps: int = 1,
        mean_field: bool = False,
        target: float = 0.0,
        sparsity: float = 0.0,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """A loss whose gradient is that of contrastive divergence, with a penalty that keeps hidden units rarely on.

        ``sigma**2 (F(v) - F(v')) / n``, where ``v'`` is drawn by ``steps`` rounds of Gibbs sampling from ``v`` and is a
        constant for the gradient, and ``n`` is the number of units of a hidden map. So the gradient with respect to the
        kernel is ``-(v x P(h | v) - v' x P(h | v')) / n``. The penalty moves the hidden biases alone: its derivative
        with respect to ``b[k]`` is ``sparsity (mean of P(h | v) in map k - target)``.

        Args:
            key: determines what is drawn.
            params: of the machine.
            v: ``(batch, height, width, channels)``.
            steps: rounds of Gibbs sampling; 1 is CD-1.
            mean_field: whether visible units are replaced by their mean instead of being drawn, as in the paper for
                Gaussian units.
            target: the desired mean of the hidden units.
            sparsity: weight of the penalty.

        Returns:
            the loss ``(batch,)``, and ``reconstruction``, the mean squared error of the first round, and
            ``activation``, the mean of the hidden probabilities, each ``(batch,)``.

        Raises:
            ShapeError: as for ``hidden``.
            ValueError: ``steps`` below 1.
        """
        if as_int(steps, name="steps") < 1:
            raise ValueError(f"steps={steps} must be at least 1.")
        v = as_array(v, name="v").astype(params["kernel"].dtype)
        probabilities, _ = self.hidden(params, v)

        def round_of_gibbs(v: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
            hidden_key, visible_key = jax.random.split(key)
            h = self.sample_hidden(hidden_key, params, v)
            drawn = self.mean_visible(params, h) if mean_field else self.sample_visible(visible_key, params, h)
            return drawn, None

        fantasy = lax.stop_gradient(lax.scan(round_of_gibbs, v, jax.random.split(key, steps))[0])
        units = probabilities.shape[-3] * probabilities.shape[-2]
        divergence = self.sigma**2 * (self.free_energy(params, v) - self.free_energy(params, fantasy)) / units
        away = lax.stop_gradient(probabilities.mean((0, 1, 2))) - target
        rebuilt = self.mean_visible(params, probabilities)
        metrics = {
            "reconstruction": ((rebuilt - v) ** 2).mean((1, 2, 3)),
            "activation": probabilities.mean((1, 2, 3)),
        }
        return divergence + sparsity * (away * params["bias"]).sum(), lax.stop_gradient(metrics)

    def _inputs(self, params: Params, v: ArrayLike, top_down: ArrayLike | None = None) -> jax.Array:
        """The inputs of the hidden units, ``(*batch, rows, columns, features, block * block)``."""
        kernel = params["kernel"]
        v = as_array(v, name="v").astype(kernel.dtype)
        expected = (*self.window_shape, self.channels, self.features)
        if v.ndim < 3 or v.shape[-1] != self.channels or kernel.shape != expected:
            raise ShapeError(
                f"expected images (*batch, height, width, {self.channels}) and a kernel {expected}, got {v.shape} and "
                f"{kernel.shape}."
            )
        rows, columns = (size - side + 1 for size, side in zip(v.shape[-3:-1], self.window_shape, strict=True))
        if rows < 1 or columns < 1 or rows % self.block or columns % self.block:
            raise ShapeError(
                f"images of {v.shape[-3]} x {v.shape[-2]} give hidden maps of {rows} x {columns}, which cannot be "
                f"divided into blocks of {self.block} x {self.block}. Try crop(v)."
            )
        total = conv(v, kernel, padding="VALID", precision="highest")
        total = _to_blocks(
            (total + params["bias"].reshape((1,) * (total.ndim - 1) + (-1,))) / self.sigma**2, self.block
        )
        return total if top_down is None else total + as_array(top_down, name="top_down").astype(total.dtype)[..., None]

    def _probabilities(self, params: Params, v: ArrayLike, top_down: ArrayLike | None) -> jax.Array:
        return jax.nn.softmax(self._with_off(self._inputs(params, v, top_down)))[..., :-1]

    @staticmethod
    def _with_off(inputs: jax.Array) -> jax.Array:
        """The inputs of a block, and 0 for the state in which all of its units are off."""
        return jnp.concatenate([inputs, jnp.zeros((*inputs.shape[:-1], 1), inputs.dtype)], -1)


def _to_blocks(maps: jax.Array, block: int) -> jax.Array:
    """``(*batch, rows, columns, features)`` as ``(*batch, rows / block, columns / block, features, block * block)``."""
    *batch, rows, columns, features = maps.shape
    parts = maps.reshape(*batch, rows // block, block, columns // block, block, features)
    parts = jnp.moveaxis(parts, (-4, -2), (-2, -1))
    return parts.reshape(*batch, rows // block, columns // block, features, block * block)


def _from_blocks(blocks: jax.Array, block: int) -> jax.Array:
    """The inverse of ``_to_blocks``."""
    *batch, rows, columns, features, _ = blocks.shape
    parts = jnp.moveaxis(blocks.reshape(*batch, rows, columns, features, block, block), (-2, -1), (-4, -2))
    return parts.reshape(*batch, rows * block, columns * block, features)
