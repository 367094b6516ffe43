"""Segmentation of digits: five networks classify each pixel of a scene as one of ten digits or the background.

Scenes are those of ``unet_strokes`` with a class for each digit: one to four MNIST digits, half transparent, over 48x48
photographs of CIFAR-10 (``data.digit_scenes``). Background is 89 % of the pixels, so mean IoU is more informative than
accuracy. The networks are a U-Net, an FCN-8s, a DeepLab, the multi-scale network of Farabet et al., and a U-Net that
reads its own label map, three times in turn (Pinheiro and Collobert 2014), whose mean IoU is measured after each
repetition. The settings are not tuned.

run     jaxcnn repeat segment_digits --seeds 3     (both sets prepared by tensorflow-datasets; see docs/your_data.md)
cost    38:43 a run on 1 core
result  unet: 99.10 % test accuracy, 0.9910 pixel accuracy, 0.9540 class accuracy, 91.43 % mean IoU over 1 seed
result  fcn8s: 89.01 % test accuracy, 0.8901 pixel accuracy, 0.2162 class accuracy, 18.99 % mean IoU over 1 seed
result  deeplab: 95.42 % test accuracy, 0.9542 pixel accuracy, 0.8036 class accuracy, 68.56 % mean IoU over 1 seed
result  refinement: 98.56 % test accuracy, 0.9856 pixel accuracy, 0.9176 class accuracy, 87.08 % mean IoU over 1 seed
result  multiscale: 93.23 % test accuracy, 0.9323 pixel accuracy, 0.6620 class accuracy, 54.05 % mean IoU over 1 seed
        The mean IoU after the first, second and third repetition of the refined U-Net is 78.80, 86.67 and 87.08 %.
        FCN-8s is trained for 3 epochs, half an hour on one core, after which its loss still decreases fast
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import data, metrics, models, nn
from jaxcnn.train import Experiment, decay_mask, segmentation, standardize, warmup_cosine, with_schedule

REPETITIONS = 3
# Networks without batch norms have a lower learning rate; those whose epoch takes long are trained for fewer epochs.
VARIANTS: dict[str, dict[str, Any]] = {
    "unet": {},
    "fcn8s": {"network": "fcn8s", "epochs": 3, "peak_lr": 1e-3},
    "deeplab": {"network": "deeplab", "epochs": 4},
    "multiscale": {"network": "multiscale", "peak_lr": 1e-3},
    "refinement": {"network": "refinement", "epochs": 4},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[Literal["unet", "fcn8s", "deeplab", "multiscale", "refinement"], "which network"] = "unet"
    digits: Annotated[str, "mnist, fashion_mnist or digits"] = "mnist"
    photographs: Annotated[str, "background images: cifar10, or any other images"] = "cifar10"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    scenes: Annotated[int, "training scenes"] = 12000
    seed: Annotated[int, "determines initial parameters and order; scenes are the same for every seed"] = 0
    epochs: Annotated[int, "passes over the training scenes"] = 8
    batch_size: Annotated[int, "scenes of a step"] = 16
    width: Annotated[int, "channels of the first level"] = 12
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 5e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


def network(config: Config, classes: int) -> Any:
    """The network of a config."""
    width = config.width
    options: dict[str, Any]
    if config.network == "fcn8s":
        widths, sizes = tuple(width * factor for factor in (1, 2, 4, 8, 8)), (1, 1, 2, 2, 2)
        options = {"stage_sizes": sizes, "widths": widths, "hidden": 16 * width, "dropout_rate": 0.0}
        return models.create("fcn8s_vgg16", num_classes=classes, **options)
    if config.network == "deeplab":
        # With the 7x7 stem and output_stride=8 the last map has 6x6 positions, too few to separate the digits.
        options = {"stem": "3x3", "output_stride": 4, "stage_sizes": (2, 2, 2, 2), "rates": (1, 2, 4)}
        options |= {"width": width, "channels": 8 * width, "dropout_rate": 0.0}
        return models.create("deeplabv3_resnet50", num_classes=classes, **options)
    if config.network == "multiscale":
        options = {"widths": (2 * width, 4 * width, 8 * width), "hidden": 16 * width}
        return models.create("farabet_multiscale", num_classes=classes, **options)
    widths = tuple(width * 2**level for level in range(4))
    norm = functools.partial(nn.BatchNorm, momentum=0.9)
    unet = models.create("unet", num_classes=classes, padding="SAME", widths=widths, dropout_rate=0.0, norm=norm)
    if config.network == "unet":
        return unet
    return models.Refinement(unet, num_classes=classes, repetitions=REPETITIONS)


def measured(model: Any, normalize: Any, trained: Any) -> dict[str, np.ndarray]:
    """The IoU of each class on the test scenes; for a refined network, the mean IoU after each repetition too."""
    scenes, refined = trained.experiment.data, isinstance(model, models.Refinement)
    names = [f"step{index}" for index in range(1, REPETITIONS + 1)] if refined else ["logits"]

    @jax.jit
    def maps(image: jax.Array) -> list[jax.Array]:
        x = normalize(image.astype(jnp.float32) / 255)
        found = model.apply(trained.variables, x, train=False, method="features")
        return [found[name].argmax(-1) for name in names]

    states = [metrics.ConfusionMatrix.empty(len(scenes.class_names)) for _ in names]
    for start in range(0, len(scenes.test), 50):
        part = scenes.test.take(slice(start, start + 50))
        pairs = zip(states, maps(part["image"]), strict=True)
        states = [state.update(part["segmentation"], classes) for state, classes in pairs]
    steps = np.array([float(metrics.mean_iou(state.compute())) for state in states])
    of_classes = np.asarray(metrics.iou(states[-1].compute()))
    return (
        {"iou_of_classes": of_classes, "mean_iou_of_repetitions": steps} if refined else {"iou_of_classes": of_classes}
    )


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    sources = [
        data.hold_out(data.load(name, data_dir=config.data_dir), one_in=config.hold_out)
        for name in (config.digits, config.photographs)
    ]
    scenes = data.digit_scenes(*sources, train_count=config.scenes, test_count=1000)
    total_steps = config.epochs * data.steps_per_epoch(len(scenes.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model, normalize = network(config, len(scenes.class_names)), standardize(scenes.mean, scenes.std)
    steps = {f"step{index}": 1.0 for index in range(1, REPETITIONS)}  # the last one is logits
    return Experiment(
        **segmentation(model, heads=steps if config.network == "refinement" else None, normalize=normalize),
        measure=functools.partial(measured, model, normalize),
        data=scenes,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        best="mean_iou",
    )
