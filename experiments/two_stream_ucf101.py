"""The two-stream network on UCF-101, split 1, from random weights (Simonyan and Zisserman 2014), without a result yet.

The spatial network reads one frame, the temporal one ten flows between the eleven frames that start with it, each with
its mean subtracted. `both` trains each on a loss of its own, which is the same as training them alone, and averages
their scores. As in the paper: SGD with momentum 0.9 for 80,000 steps of 256 clips; a learning rate that falls to a
tenth after 50,000 steps and again after 70,000; random crops of 224x224 pixels and mirror images; dropout of 0.9; and
25 clips of each test video, whose mean scores are `video_accuracy`.

Other than in the paper: training clips start at 25 evenly spaced frames instead of any frame, and every clip is read
once in an epoch. Frames are 256x256 pixels: TFDS stretches them, and of folders the middle square is read. Flows are
Horn and Schunck's, computed on the device after the crop, so that mirrored clips have mirrored flows. Colours are not
changed. Test clips are cropped in the middle, not in ten places. The paper's best spatial network starts from ImageNet
(72.8 % instead of 52.3 %, and 85.9 % of both).

run     jaxcnn train two_stream_ucf101 --set streams=temporal    (ucf101/ucf101_1_256 prepared by tensorflow-datasets)
        jaxcnn train two_stream_ucf101 --set dataset=folder:/path      (train/CLASS/VIDEO/FRAME.jpg and test of split 1)
cost    not measured: it needs an accelerator
result  not trained; published: 52.3 % of the spatial network and 81.0 % of the temporal one, from random weights
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import augment, data, functional, models
from jaxcnn.train import Aux, Experiment, cross_entropy, decay_mask, with_schedule

FRAMES = 11
MODELS = {"spatial": "two_stream_spatial", "temporal": "two_stream_temporal", "both": "two_stream"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    dataset: Annotated[str, "prepared TFDS set of videos, or folder:/path"] = "ucf101/ucf101_1_256"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    streams: Annotated[Literal["spatial", "temporal", "both"], "which networks"] = "temporal"
    subtract_mean: Annotated[bool, "whether the mean of each flow is subtracted"] = True
    clips: Annotated[int, "clips of each video, in training and testing"] = 25
    host_size: Annotated[int, "height and width that frames are brought to before the device sees them"] = 256
    image_size: Annotated[int, "height and width that the networks see"] = 224
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    steps: Annotated[int, "training steps, rounded to whole epochs"] = 80_000
    batch_size: Annotated[int, "clips of a step"] = 256
    peak_lr: Annotated[float, "learning rate of the first 5/8 of the steps"] = 1e-2
    weight_decay: Annotated[float, "L2 in the gradient of kernels, not of biases"] = 5e-4
    dropout_rate: Annotated[float, "fraction of the units of the dense layers that are dropped"] = 0.9


def middle(videos: jax.Array, size: int) -> jax.Array:
    """The central square of all frames; frames of this size are unchanged."""
    top, left = ((length - size) // 2 for length in videos.shape[2:4])
    return videos[:, :, top : top + size, left : left + size]


def inputs(videos: jax.Array, config: Config) -> jax.Array:
    """The frame and the flows that the networks read, as channels, of clips with pixels in [0, 1]."""
    videos = middle(videos, config.image_size)
    frame = (videos[:, 0] - 0.5) / 0.25
    if config.streams == "spatial":
        return frame
    grey = videos.mean(-1, keepdims=True)
    flows = functional.optical_flow(grey[:, :-1], grey[:, 1:], levels=4, warps=2, iterations=50)
    stacked = models.stack_flows(flows, subtract_mean=config.subtract_mean)
    return stacked if config.streams == "temporal" else jnp.concatenate([frame, stacked], -1)


def functions(model: Any, config: Config) -> dict[str, Any]:
    """The functions of an experiment whose networks each have a loss of their own."""
    streams = ("spatial", "temporal") if config.streams == "both" else ("logits",)
    loss = cross_entropy()

    def init(key: jax.Array, batch: Mapping[str, Any]) -> Any:
        return model.init(key, inputs(batch["video"], config), train=False)

    def objective(variables: Any, batch: Mapping[str, Any], key: jax.Array) -> tuple[jax.Array, Aux]:
        found = model.apply(
            variables, inputs(batch["video"], config), train=True, method="features", rngs={"dropout": key}
        )
        losses = functools.reduce(jnp.add, [loss(found[name], batch["label"]) for name in streams])
        right = found["logits"].argmax(-1) == batch["label"]
        return losses, Aux(metrics={"accuracy": right.astype(jnp.float32)})

    def evaluate(variables: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        logits = model.apply(variables, inputs(batch["video"], config), train=False)
        right = logits.argmax(-1) == batch["label"]
        return {"loss": loss(logits, batch["label"]), "accuracy": right.astype(jnp.float32)}

    def predict(variables: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        return {"probabilities": jax.nn.softmax(model.apply(variables, inputs(batch["video"], config), train=False))}

    def summarize(outputs: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> dict[str, float]:
        scores = outputs["probabilities"].reshape(-1, config.clips, outputs["probabilities"].shape[-1]).mean(1)
        return {"video_accuracy": float((scores.argmax(-1) == targets["label"][:: config.clips]).mean())}

    return {
        "init": init,
        "objective": objective,
        "evaluate": evaluate,
        "predict": predict,
        "summarize": summarize,
    }


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    videos = data.stream(
        config.dataset,
        data_dir=config.data_dir,
        frames=FRAMES,
        spacing=1,
        clips=config.clips,
        image_size=config.host_size,
        resize="cover",
        max_corrupt=0,  # the clips of a video are averaged, so none may be left out
    )
    steps_per_epoch = data.steps_per_epoch(len(videos.train), config.batch_size)
    epochs = max(round(config.steps / steps_per_epoch), 1)
    total_steps = epochs * steps_per_epoch
    schedule = optax.piecewise_constant_schedule(
        config.peak_lr, {total_steps * eighths // 8: 0.1 for eighths in (5, 7)}
    )
    model = models.create(MODELS[config.streams], num_classes=len(videos.class_names), dropout_rate=config.dropout_rate)
    crop = functools.partial(augment.random_crop, size=config.image_size)
    return Experiment(
        **functions(model, config),
        data=videos,
        optimizer=optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=decay_mask),
            with_schedule(optax.sgd, schedule, momentum=0.9),
        ),
        epochs=epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        evaluate_every=10,
        augment=augment.on("video", augment.per_clip(augment.chain(crop, augment.random_flip))),
    )
