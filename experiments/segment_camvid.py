"""Road scenes: a class for every pixel of CamVid, from random weights, by U-Nets and DeepLabs.

The images are those of SegNet's split (367 for training, 101 for validation, 233 for testing; 11 classes), reduced to
240x180 pixels; pixels without a label count neither in the loss nor in the measures. Images are mirrored, resized by
0.75 to 1.5, and changed in brightness, contrast, saturation and hue, since some test images show dusk. The best
checkpoint is that of the highest mean IoU on the validation split; the test figures are of the last one. The variants
compare the networks, and the plain loss with losses whose classes have weights: by median frequency balancing, or the
square roots of those. ``deeplab_decoder`` is the form of DeepLabv3+, whose decoder reads an early map;
``deeplab_views`` trains it for 60 epochs instead of 40, and averages its probabilities over three sizes of an image and
their mirror images. ``measure`` gives the IoU of each class and, for the network that reads its own label map, the mean
IoU after each repetition. Cite Brostow et al. (2008).

run     jaxcnn repeat segment_camvid --seeds 3 --set folder=camvid.zip     (a folder or a zip file; see data.label_maps)
cost    51:06 a run on 1 core; an hour on 2 cores for deeplab_views
result  unet: 83.95 % test accuracy, 0.8393 pixel accuracy, 0.4908 class accuracy, 40.76 % mean IoU over 1 seed
result  unet_balanced: 73.79 % test accuracy, 0.7375 pixel accuracy, 0.6888 class accuracy, 42.09 % mean IoU over 1 seed
result  unet_mildly_balanced: 82.52 % test accuracy, 0.8250 pixel accuracy, 0.6170 class accuracy, 46.66 % mean IoU over
        1 seed
result  deeplab: 83.67 % test accuracy, 0.8366 pixel accuracy, 0.5347 class accuracy, 44.18 % mean IoU over 1 seed
result  deeplab_mildly_balanced: 82.52 % test accuracy, 0.8251 pixel accuracy, 0.6276 class accuracy, 47.53 % mean IoU
        over 1 seed
result  deeplab_standardized: 81.88 % test accuracy, 0.8189 pixel accuracy, 0.6292 class accuracy, 47.33 % mean IoU over
        1 seed
result  deeplab_decoder: 82.55 % test accuracy, 0.8253 pixel accuracy, 0.6352 class accuracy, 47.78 % mean IoU over 1
        seed
result  deeplab_views: 84.44 % test accuracy, 0.8442 pixel accuracy, 0.6421 class accuracy, 50.34 % mean IoU over 1 seed
result  refinement: 78.01 % test accuracy, 0.7800 pixel accuracy, 0.5052 class accuracy, 36.55 % mean IoU over 1 seed
        The mean IoU of the validation part, which shows the same streets at the same time of day, is 45.54, 51.25,
        54.35, 54.34, 57.76, 58.59, 59.35, 60.48 and 40.06 %, in the same order. Of one view of each test image,
        deeplab_views has 48.42 %. After each repetition, refinement has 36.38, 36.67 and 36.55 % on the test images
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import augment, data, metrics, models, nn
from jaxcnn.train import Experiment, decay_mask, segmentation, standardize, warmup_cosine, with_schedule

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
UNLABELLED = 11
SIZE = (192, 240)  # images of 180 rows and 12 rows of padding: the network halves both sides four times
REPETITIONS = 3
VARIANTS: dict[str, dict[str, Any]] = {
    "unet": {},
    "unet_balanced": {"balance": 1.0, "color": 0.0},
    "unet_mildly_balanced": {"balance": 0.5},
    "deeplab": {"network": "deeplab"},
    "deeplab_mildly_balanced": {"network": "deeplab", "balance": 0.5},
    "deeplab_standardized": {"network": "deeplab", "balance": 0.5, "per_image": True},
    "deeplab_decoder": {"network": "deeplab_decoder", "balance": 0.5},
    "deeplab_views": {"network": "deeplab_decoder", "balance": 0.5, "epochs": 60, "evaluate_every": 20, "views": True},
    "refinement": {"network": "refinement", "balance": 0.5},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    folder: Annotated[str, "folder or zip file with train, trainannot, val, valannot, test and testannot"] = "camvid"
    network: Annotated[Literal["unet", "deeplab", "deeplab_decoder", "refinement"], "which network"] = "unet"
    balance: Annotated[float, "power of (median frequency / own frequency) that weighs the loss of a class"] = 0.0
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 40
    batch_size: Annotated[int, "images of a step"] = 4
    width: Annotated[int, "channels of the first level; each further one has twice as many"] = 12
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2
    per_image: Annotated[bool, "whether each image is standardized by its own mean and deviation"] = False
    color: Annotated[float, "random changes of brightness, contrast and saturation; a tenth of it for the hue"] = 0.5
    views: Annotated[bool, "whether inference averages three sizes of an image and their mirror images"] = False
    evaluate_every: Annotated[int, "epochs from one evaluation to the next"] = 5


def network(config: Config) -> Any:
    """The network of a config."""
    if config.network in ("deeplab", "deeplab_decoder"):
        deeplab = models.create(
            "deeplabv3_resnet50" if config.network == "deeplab" else "deeplabv3plus_resnet50",
            num_classes=len(CLASSES),
            stage_sizes=(2, 2, 2, 2),
            width=2 * config.width,
            output_stride=8,
            channels=8 * config.width,
            rates=(2, 4, 6),
            dropout_rate=0.1,
        )
        return models.MultiScaleInference(deeplab, scales=(0.75, 1.0, 1.25)) if config.views else deeplab
    width = config.width // 2 if config.network == "refinement" else config.width
    unet = models.create(
        "unet",
        num_classes=len(CLASSES),
        padding="SAME",
        widths=tuple(width * 2**level for level in range(5)),
        dropout_rate=0.1,
        norm=functools.partial(nn.BatchNorm, momentum=0.9),
    )
    if config.network == "unet":
        return unet
    return models.Refinement(unet, num_classes=len(CLASSES), repetitions=REPETITIONS)


def measured(model: Any, normalize: Any, trained: Any) -> dict[str, np.ndarray]:
    """The IoU of each class on the test part, and the mean IoU after each repetition, or of one view and of all."""
    test, refined = trained.experiment.data.test, isinstance(model, models.Refinement)

    @jax.jit
    def maps(image: jax.Array) -> list[jax.Array]:
        x = normalize(image.astype(jnp.float32) / 255)
        if refined:
            found = model.apply(trained.variables, x, train=False, method="features")
            return [found[f"step{index}"].argmax(-1) for index in range(1, REPETITIONS + 1)]
        networks: list[Any] = [model.per_pixel, model] if isinstance(model, models.MultiScaleInference) else [model]
        return [network.apply(trained.variables, x, train=False).argmax(-1) for network in networks]

    count = len(jax.eval_shape(maps, test.take(slice(1))["image"]))
    states = [metrics.ConfusionMatrix.empty(len(CLASSES))] * count
    for start in range(0, len(test), 8):
        part = test.take(slice(start, start + 8))
        pairs = zip(states, maps(part["image"]), strict=True)
        states = [state.update(part["segmentation"].astype(np.int32), classes) for state, classes in pairs]
    means = np.array([float(metrics.mean_iou(state.compute())) for state in states])
    further = {f"mean_iou_of_{'repetitions' if refined else 'one_view_and_all'}": means} if count > 1 else {}
    return {"iou_of_classes": np.asarray(metrics.iou(states[-1].compute()))} | further


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    roads = data.in_memory(data.label_maps(config.folder, class_names=CLASSES, ignored=[UNLABELLED], image_size=SIZE))
    total_steps = config.epochs * data.steps_per_epoch(len(roads.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    of_each_image = functools.partial(jax.nn.standardize, axis=(-3, -2), epsilon=1e-3)
    model, normalize = network(config), of_each_image if config.per_image else standardize(roads.mean, roads.std)
    weights = data.median_frequency_weights(roads.train["segmentation"], num_classes=len(CLASSES)) ** config.balance
    refined = config.network == "refinement"
    recolored = functools.partial(
        augment.random_color,
        brightness=config.color,
        contrast=config.color,
        saturation=config.color,
        hue=config.color / 10,
    )
    return Experiment(
        **segmentation(
            model,
            class_weights=weights,
            heads={f"step{index}": 1.0 for index in range(1, REPETITIONS)} if refined else None,
            normalize=normalize,
        ),
        measure=functools.partial(measured, model, normalize),
        data=roads,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        evaluate_every=config.evaluate_every,
        augment=augment.chain(
            functools.partial(augment.random_scene_scale, scale=(0.75, 1.5)),
            augment.random_scene_flip,
            augment.on("image", recolored),
        ),
        best="mean_iou",
    )
