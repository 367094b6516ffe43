"""PilotNet (Bojarski et al. 2016) steers along drawn roads: regression from a picture to the curvature.

The images show a flat road from a camera above it: two lines bend with the curvature; the car is off the middle of its
lane and turned by a few degrees, like the shifted side cameras of the paper. The target is the curvature of the road
plus a correction towards the middle of the lane, scaled to about 1. Colours, the width of the lines, brightness and
noise vary. The network reads 66x200 pixels in RGB, normalised by fixed numbers. `absolute_error_of_mean`, from
`measure`, is the error of a constant prediction, the mean of the targets; the variant `shuffled` is a control that is
trained on the targets of other images.

run     jaxcnn repeat pilotnet_synthetic --seeds 1
cost    5:34 a run on 1 core
result  roads: 0.5393 absolute error of mean, 0.0386 absolute error over 1 seed
result  shuffled: 0.5393 absolute error of mean, 0.6137 absolute error over 1 seed
"""

import dataclasses
from typing import Annotated, Any

import numpy as np
import optax

from jaxcnn import data, models
from jaxcnn.train import Experiment, Trained, decay_mask, regression, warmup_cosine, with_schedule

VARIANTS: dict[str, dict[str, Any]] = {"roads": {}, "shuffled": {"shuffled": True}}
HEIGHT, WIDTH, HORIZON = 66, 200, 12
LANE = 3.6  # metres, between the middles of the lines
CAMERA = 1.4  # metres above the road
FOCAL = 120.0  # pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    images: Annotated[int, "training images"] = 3000
    test_images: Annotated[int, "test images"] = 500
    shuffled: Annotated[bool, "train on the targets of other images, as a control"] = False
    seed: Annotated[int, "determines initial parameters and order; images are the same for every seed"] = 0
    epochs: Annotated[int, "passes over the training images"] = 10
    batch_size: Annotated[int, "images of a step"] = 64
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 1e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-3


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    train, test = (
        roads(count, np.random.default_rng([0, part])) for part, count in enumerate((config.images, config.test_images))
    )
    if config.shuffled:
        train = train.replace(target=np.roll(train["target"], 1, axis=0))
    total_steps = config.epochs * data.steps_per_epoch(len(train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    return Experiment(
        **regression(models.create("pilotnet"), normalize=lambda images: (images - 0.4) / 0.2),
        data=data.Dataset(name="drawn roads", train=train, test=test),
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        measure=measure,
    )


def measure(trained: Trained) -> dict[str, float]:
    """The absolute error of the mean of the training targets on the test images."""
    splits: Any = trained.experiment.data.splits  # type: ignore[union-attr]
    return {"absolute_error_of_mean": float(np.abs(splits["test"]["target"] - splits["train"]["target"].mean()).mean())}


def roads(count: int, rng: np.random.Generator) -> data.Split:
    """Images of roads, and how to steer: ``image`` uint8 and ``target`` ``(n, 1)``."""
    images = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    curvature = rng.uniform(-0.02, 0.02, count)  # of a metre, to the right
    offset, heading = rng.uniform(-0.8, 0.8, count), rng.uniform(-0.06, 0.06, count)
    for image, bend, right, turned in zip(images, curvature, offset, heading, strict=True):
        image[:] = draw(bend, right, turned, rng)
    target = 50 * curvature - 0.3 * offset - 5 * heading
    return data.Split(image=images, target=target[:, None].astype(np.float32))


def draw(curvature: float, offset: float, heading: float, rng: np.random.Generator) -> np.ndarray:
    """A road as a camera sees it that is ``offset`` metres right of its middle and turned right by ``heading``."""
    rows = np.arange(HORIZON + 1, HEIGHT)
    distance = FOCAL * CAMERA / (rows - HORIZON)  # metres
    middle = distance**2 * curvature / 2 - offset - distance * heading
    columns = np.arange(WIDTH)
    across = (columns[None, :] - WIDTH / 2) * distance[:, None] / FOCAL - middle[:, None]  # metres from the middle
    sky, road, verge, line = (np.array(base) + rng.normal(0, 12, 3) for base in COLOURS)
    image = np.broadcast_to(sky, (HEIGHT, WIDTH, 3)).copy()
    ground = np.where((np.abs(across) < LANE * 0.75)[..., None], road, verge)
    painted = np.abs(np.abs(across) - LANE / 2) < rng.uniform(0.06, 0.14)
    image[HORIZON + 1 :] = np.where(painted[..., None], line, ground)
    bright = rng.uniform(0.7, 1.2) * image + 8 * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(bright), 0, 255).astype(np.uint8)


COLOURS = ((150, 180, 220), (90, 90, 95), (70, 120, 60), (220, 220, 210))
