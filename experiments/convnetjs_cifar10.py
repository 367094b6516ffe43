"""The network of the ConvNetJS CIFAR-10 demo with the demo's own trainer: Adadelta on four images at a time.

As in the demo: the layers and their initial values (``jaxcnn.models``: convnetjs_cifar10), pixels from -0.5 to 0.5,
shifts by up to 2 pixels with grey at the border, flips, Adadelta (decay 0.95, 1e-6 under the roots, no learning rate),
and its L2 decay of 1e-4, which ConvNetJS divides by the batch size like the gradient.
Different: test images are not augmented, while the demo averages over shifted and flipped copies.
The demo states no accuracy; it trains until its page is closed.

Five epochs are 62,500 steps, of which the last ones gain little. A reason may be that the steps of Adadelta grow: each
adds about 0.05 times the 1e-6 under the root to their mean square.

run     jaxcnn train convnetjs_cifar10   (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    3:33 a run on 1 core
result  48.62 ± 0.60 % test accuracy, 51.39 ± 0.60 % error over 2 seeds
"""

import dataclasses
from typing import Annotated, Any

import jax
import optax

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, classification, decay_mask, to_unit, with_schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    dataset: Annotated[str, "cifar10, mnist, fashion_mnist, digits or folder:/path"] = "cifar10"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 5
    batch_size: Annotated[int, "images of a step"] = 4
    learning_rate: Annotated[float, "factor of Adadelta's updates; it has no rate of its own"] = 1.0
    l2_decay: Annotated[float, "of kernels, added to the gradient summed over a batch"] = 1e-4
    shift: Annotated[int, "largest random shift in pixels"] = 2


def about_zero(batch: dict[str, Any]) -> dict[str, Any]:
    """Pixels from -0.5 to 0.5, so that the zeros at the border of a shifted image are grey."""
    return {**batch, "image": to_unit(batch["image"]) - 0.5}


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    images = data.load(config.dataset, data_dir=config.data_dir)

    def moved(key: jax.Array, x: jax.Array) -> jax.Array:
        shift_key, flip_key = jax.random.split(key)
        return augment.random_flip(flip_key, augment.random_shift(shift_key, x, max_pixels=config.shift))

    return Experiment(
        **classification(models.create("convnetjs_cifar10", num_classes=len(images.class_names))),
        data=images,
        optimizer=optax.chain(
            optax.add_decayed_weights(config.l2_decay / config.batch_size, mask=decay_mask),
            with_schedule(optax.adadelta, optax.constant_schedule(config.learning_rate), rho=0.95, eps=1e-6),
        ),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        prepare=about_zero,
        augment=augment.on("image", moved),
    )
