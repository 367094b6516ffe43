"""ResNet-50 on ImageNet in 90 epochs, on one device or many (Goyal et al. 2017, "Accurate, large minibatch SGD").

The learning rate is 0.1 for each 256 images of a batch, reached in 5 epochs of warm-up and divided by 10 after epochs
30, 60 and 80; SGD with Nesterov momentum 0.9, weight decay 1e-4 of kernels, and the last scale of each block is 0 at
the start. The paper normalises over the images of one device: `--batch-stats per_device`. Threads scale the shorter
side of each image to 256 and crop the middle square, from which random crops are drawn on the device. So these crops
never reach the outer parts of a long image, while the paper draws from the whole image. Test images are the middle
224x224 pixels of the 256x256.

NVIDIA's settings are `--set schedule=cosine --set base_lr=0.256 --set momentum=0.875 --set weight_decay=3.0517578e-5
--set label_smoothing=0.1`. `dataset=synthetic` measures only the device, on noise in its memory: `timing.json` then has
the images per second and, on a device whose peak is known, the fraction of the peak.

run     jaxcnn train resnet50_imagenet --devices 8 --set batch_size=2048    (ImageNet prepared by tensorflow-datasets)
        jaxcnn train resnet50_imagenet --set dataset=folder:/path           (with the folders train and val)
        jaxcnn train resnet50_imagenet --set dataset=synthetic --set epochs=20
cost    not run; a test traces it
result  not run; published: 76.4 ± 0.1 % (Goyal et al.), 77.1 ± 0.1 % with NVIDIA's settings
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, classification, cross_entropy, decay_mask, standardize, with_schedule

CLASSES = 1000
SYNTHETIC_BATCHES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    dataset: Annotated[str, "imagenet2012 or another prepared TFDS set, folder:/path, or synthetic"] = "imagenet2012"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    max_corrupt: Annotated[int, "number of unreadable images that are left out; more are an error"] = 100
    model: Annotated[str, "resnet18, resnet34, resnet50, resnet101 or resnet152"] = "resnet50"
    host_size: Annotated[int, "height and width that images are brought to before the device sees them"] = 256
    image_size: Annotated[int, "height and width that the network sees"] = 224
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 90
    batch_size: Annotated[int, "images of a step, over all devices"] = 256
    schedule: Annotated[str, "steps divides the rate by 10 after 1/3, 2/3 and 8/9 of the epochs; or cosine"] = "steps"
    base_lr: Annotated[float, "peak of the learning rate for each 256 images of a batch"] = 0.1
    warmup_epochs: Annotated[float, "epochs in which the rate rises to its peak"] = 5.0
    momentum: Annotated[float, "Nesterov's"] = 0.9
    weight_decay: Annotated[float, "L2 in the gradient of kernels, not of biases and norms"] = 1e-4
    label_smoothing: Annotated[float, "share of a label spread over all classes"] = 0.0
    smallest_area: Annotated[float, "least share of an image that training sees"] = 0.08
    bfloat16: Annotated[bool, "compute in bfloat16; parameters, statistics and loss stay in float32"] = True


def middle(images: jax.Array, size: int) -> jax.Array:
    """The central square of a size; images of this size are unchanged."""
    top, left = ((length - size) // 2 for length in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def synthetic(config: Config) -> data.Dataset:
    """Noise of ImageNet's shapes, a few batches in memory."""
    generator = np.random.default_rng(config.seed)

    def split(count: int) -> data.Split:
        images = generator.integers(0, 256, (count, config.host_size, config.host_size, 3), np.uint8)
        return data.Split(image=images, label=generator.integers(0, CLASSES, count))

    names = tuple(str(label) for label in range(CLASSES))
    train, test = split(SYNTHETIC_BATCHES * config.batch_size), split(64)
    return data.Dataset(name="synthetic", train=train, test=test, class_names=names)


def schedule_of(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate by step: from a tenth of the peak or less up to it, and then down."""
    peak, total = config.base_lr * config.batch_size / 256, config.epochs * steps_per_epoch
    warm = min(round(config.warmup_epochs * steps_per_epoch), total // 2)
    rising = optax.linear_schedule(min(config.base_lr, peak), peak, warm)
    if config.schedule == "cosine":
        return optax.join_schedules([rising, optax.cosine_decay_schedule(peak, total - warm)], [warm])
    if config.schedule != "steps":
        raise ValueError(f"schedule={config.schedule!r}: there are 'steps' and 'cosine'.")
    places = {max(total * ninths // 9 - warm, 1): 0.1 for ninths in (3, 6, 8)}
    return optax.join_schedules([rising, optax.piecewise_constant_schedule(peak, places)], [warm])


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    images: data.Dataset | data.StreamedDataset
    if config.dataset == "synthetic":
        images = synthetic(config)
    else:
        images = data.stream(
            config.dataset,
            data_dir=config.data_dir,
            image_size=config.host_size,
            resize="cover",
            max_corrupt=config.max_corrupt,
        )
    schedule = schedule_of(config, data.steps_per_epoch(len(images.train), config.batch_size))
    standard = standardize(np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))

    def distort(key: jax.Array, x: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        area = (config.smallest_area, 1.0)
        x = augment.random_resized_crop(crop_key, x, size=config.image_size, area=area)
        return augment.random_flip(flip_key, x)

    model = models.create(
        config.model,
        num_classes=len(images.class_names),
        dtype=jnp.bfloat16 if config.bfloat16 else None,
        zero_init_last_scale=True,
    )
    return Experiment(
        **classification(
            model,
            normalize=lambda x: standard(middle(x, config.image_size)),
            loss=cross_entropy(config.label_smoothing),
        ),
        data=images,
        optimizer=optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=decay_mask),
            with_schedule(optax.sgd, schedule, momentum=config.momentum, nesterov=True),
        ),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", distort),
    )
