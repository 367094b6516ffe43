"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998) in its usual present form."""

from typing import Any

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_symbolic
from jaxcnn.functional import max_pool
from jaxcnn.models._layers import classifier
from jaxcnn.models._registry import ModelInfo, register
from jaxcnn.nn import Conv


class LeNet5(nn.Module):
    """LeNet-5 in its usual present form: 61,706 parameters on 32x32x1 images.

    Layers as in figure 2 of the paper: C1 (6 maps, 5x5), S2 (2x2), C3 (16 maps, 5x5), S4 (2x2), C5 (120 maps, 5x5, each
    of which covers all of S4), F6 (84 units), output.

    Deliberate differences from the paper, now common: every C3 map reads all six S2 maps (the paper's table I omits
    some), S2 and S4 are max pooling without parameters, the activation is the rectifier, and the output is linear
    logits for a softmax instead of radial basis functions.

    Args:
        num_classes: number of logits.
        dtype: type of the computation; parameters stay float32.

    >>> import jax.numpy as jnp
    >>> variables = jax.eval_shape(LeNet5().init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    61706
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
        valid: dict[str, Any] = {"kernel_size": (5, 5), "padding": "VALID", "dtype": self.dtype}
        c1 = nn.relu(Conv(6, **valid, name="c1")(x))
        s2 = max_pool(c1, (2, 2), strides=2)
        c3 = nn.relu(Conv(16, **valid, name="c3")(s2))
        s4 = max_pool(c3, (2, 2), strides=2)
        c5 = nn.relu(Conv(120, **valid, name="c5")(s4))
        f6 = nn.relu(nn.Dense(84, dtype=self.dtype, name="f6")(c5.reshape(*x.shape[:-3], 120)))
        logits = classifier(self.num_classes, dtype=self.dtype, name="output")(f6)
        return {"c1": c1, "s2": s2, "c3": c3, "s4": s4, "c5": c5, "f6": f6, "logits": logits}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits ``(*batch, num_classes)`` of images ``(*batch, 32, 32, channels)``."""
        return self.features(x, train)["logits"]


register(
    ModelInfo(
        name="lenet5",
        paper="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998",
        input_shape=(32, 32, 1),
        num_classes=10,
        parameters=61_706,
        macs=416_520,
    ),
    LeNet5,
)
