"""A convolutional autoencoder of handwritten digits: strided convolutions down, transposed convolutions up.

A 16x16 digit is encoded in a few numbers and decoded again. The loss is the squared error of each pixel; the measure is
the PSNR of the test images in dB. ``measure`` gives the PSNR of the best linear code of the same size, the first
principal components of the training images. The settings were chosen with ``hold_out=6``, without test images.

run     jaxcnn repeat autoencoder_digits --seeds 3
cost    not known (several starts, or a busy machine), 2 cores
result  code=16: 24.85 ± 0 psnr of components, 26.2546 ± 0.1769 psnr over 3 seeds
result  code=4: 17.63 ± 0 psnr of components, 19.4935 ± 0.0858 psnr over 3 seeds
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import data, metrics, nn
from jaxcnn.train import Experiment, Trained, decay_mask, regression, to_unit, warmup_cosine, with_schedule

VARIANTS: dict[str, dict[str, Any]] = {"code=16": {}, "code=4": {"code": 4}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    code: Annotated[int, "numbers that encode an image"] = 16
    width: Annotated[int, "channels of the first convolution; the second has twice as many"] = 16
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines initial parameters and order"] = 0
    epochs: Annotated[int, "passes over the training images"] = 60
    batch_size: Annotated[int, "images of a step"] = 64
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-4


class Autoencoder(linen.Module):
    """Two convolutions with stride 2, a code, and two transposed convolutions with stride 2."""

    code: int
    width: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Images of the shape of ``x``, decoded from their codes."""
        height, width, channels = x.shape[1:]
        x = linen.relu(nn.Conv(self.width, (4, 4), strides=2, name="down1")(x))
        x = linen.relu(nn.Conv(2 * self.width, (4, 4), strides=2, name="down2")(x))
        code = linen.Dense(self.code, name="code")(x.reshape(len(x), -1))
        small = (height // 4, width // 4, 2 * self.width)
        x = linen.relu(linen.Dense(small[0] * small[1] * small[2], name="decode")(code)).reshape(-1, *small)
        x = linen.relu(nn.ConvTranspose(self.width, (4, 4), strides=2, transpose_kernel=True, name="up1")(x))
        return linen.sigmoid(nn.ConvTranspose(channels, (4, 4), strides=2, transpose_kernel=True, name="up2")(x))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    digits = data.hold_out(data.load("digits", image_size=16), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(digits.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.05)
    functions = regression(Autoencoder(config.code, config.width), source="image", target="image")

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        decoded = functions["predict"](variables, batch)["image"]
        return {
            "loss": ((decoded - batch["image"]) ** 2).mean((1, 2, 3)),
            "psnr": metrics.psnr(batch["image"], decoded, data_range=1.0),
        }

    def measure(trained: Trained) -> dict[str, float]:
        """The PSNR of the test images, decoded from as many principal components."""
        return {"psnr_of_components": components_psnr(digits, config.code)}

    return Experiment(
        **functions | {"evaluate": evaluate},
        data=digits,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        best="psnr",
        measure=measure,
    )


def components_psnr(digits: data.Dataset, count: int) -> float:
    """The mean PSNR of test images projected on the first principal components of the training images."""
    train, test = (np.asarray(to_unit(jnp.asarray(split["image"]))) for split in (digits.train, digits.test))
    mean = train.mean(0).ravel()
    axes = np.linalg.svd(train.reshape(len(train), -1) - mean, full_matrices=False)[2][:count]
    decoded = mean + (test.reshape(len(test), -1) - mean) @ axes.T @ axes
    return float(metrics.psnr(test, decoded.reshape(test.shape).clip(0, 1), data_range=1.0).mean())
