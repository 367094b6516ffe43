"""Models that are small enough to train for a few steps in a test, and the functions of a step."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn import models

Variables = Mapping[str, Any]
# Nearly all the time of these tests is compile time; optimizing a program that runs once costs three times its gain.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Small:
    """One model of a family, made small by its options.

    Attributes:
        name: of the model.
        options: of ``create``.
        size: height and width of the images.
        learning_rate: of the steps that have to lower the loss.
        norms: whether it has batch statistics.
        contrast: of the images that it is made for.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: int = 32
    learning_rate: float = 0.01
    norms: bool = True
    contrast: float = 1.0

    def create(self, **more: Any) -> nn.Module:
        return models.create(self.name, **{"num_classes": 4, **self.options, **more})

    def images(self, *batch: int) -> jax.Array:
        channels = models.info(self.name).input_shape[-1]
        return jax.random.normal(jax.random.key(1), (*batch, self.size, self.size, channels))


NO_DROPOUT = {"dropout_rate": 0.0}
SMALL = [
    Small(name="alexnet", options={"hidden": 64, **NO_DROPOUT}, size=63, learning_rate=5e-4, norms=False),
    Small(
        name="alexnet_2012",
        options={"hidden": 64, **NO_DROPOUT},
        size=227,
        learning_rate=5e-4,
        norms=False,
        contrast=50.0,
    ),
    Small(name="cifar_speedrun", options={"widths": (16, 16, 32), "logit_divisor": 1.0}),
    Small(
        name="convnext_tiny",
        options={"stage_sizes": (1, 1), "widths": (8, 16), "layer_scale_init": 1.0},
        norms=False,
    ),
    Small(name="efficientnet_b0", options={"stages": ((1, 3, 1, 16, 1), (2, 5, 2, 16, 2)), **NO_DROPOUT}),
    Small(name="mobilenet_v2", options={"width": 0.5, "stages": ((1, 16, 1, 1), (2, 24, 2, 2)), **NO_DROPOUT}),
    Small(name="resnet20_cifar", options={"width": 4, "stage_sizes": (1, 1, 1)}),
    Small(name="resnet50", options={"width": 4, "stage_sizes": (1, 1)}),
    Small(name="vgg11_bn", options={"widths": (8, 8), "stage_sizes": (1, 1), "hidden": 64, **NO_DROPOUT}),
]


@functools.cache
def initialized(small: Small) -> Variables:
    """Variables of a small model."""
    return quick_jit(functools.partial(small.create().init, train=False))(jax.random.key(0), small.images(1))


def losses(small: Small, *, steps: int, batch: int) -> list[float]:
    """The losses of Adam on one batch of images whose brightness depends on their class.

    Some of these networks start with outputs close to zero: plain gradient descent on pure noise would take long.
    """
    model, variables = small.create(), dict(initialized(small))
    params, state = variables.pop("params"), variables
    labels = jnp.arange(batch) % 4
    x = small.contrast * (small.images(batch) + 2.0 * labels.reshape(-1, 1, 1, 1) - 3.0)
    optimizer = optax.flatten(optax.adam(small.learning_rate))  # one array: far less to compile

    @quick_jit
    def step(params: Any, state: Any, moments: Any) -> Any:
        def loss(params: Any) -> Any:
            logits, updated = model.apply(
                {"params": params, **state}, x, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(2)}
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated

        (value, updated), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(grads, moments)
        return optax.apply_updates(params, updates), {**state, **updated}, moments, value

    moments, values = quick_jit(optimizer.init)(params), []
    for _ in range(steps):
        params, state, moments, value = step(params, state, moments)
        values.append(float(value))
    return values


def count_multiply_adds(model: nn.Module, shape: tuple[int, ...]) -> int:
    """The number of output positions times the kernel size, summed over all layers with a kernel."""
    total = 0

    def count(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal total
        y = call(*args, **kwargs)
        if context.method_name == "__call__" and context.module.has_variable("params", "kernel"):
            total += math.prod(y.shape[:-1]) * context.module.get_variable("params", "kernel").size
        return y

    def run(key: jax.Array) -> Any:
        with nn.intercept_methods(count):
            return model.init(key, jnp.zeros(shape))

    jax.eval_shape(run, jax.random.key(0))
    return total
