"""Detection as an experiment: its functions on batches, and a detector of one convolution that learns."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn import data, models
from jaxcnn.nn import Conv
from jaxcnn.train import Experiment, detection
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._runs._discover import load_experiment
from tests.models.small import quick_jit
from tests.train.test_small_experiments import EXPERIMENTS

SIDE = 16


class Squares(nn.Module):
    """One map of stride 4: means of windows, followed by two layers."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        return [nn.relu(Conv(16, (3, 3))(nn.relu(Conv(8, (4, 4), strides=4, padding="VALID")(x))))]


def model(**options: Any) -> models.FasterRCNN:
    settings: dict[str, Any] = {
        "num_classes": 3,
        "backbone": Squares,
        "head": functools.partial(models.DenseHead, hidden=(16,)),
        "anchor_sizes": ((6,),),
        "anchor_ratios": (1.0,),
        "anchor_offset": 0.5,
        "size_divisor": 4,
        "pooled_maps": 1,
        "pool_size": 3,
        "max_proposals": (8, 8),
        "anchor_samples": 16,
        "region_samples": 8,
        "max_detections": 5,
    }
    return models.FasterRCNN(**{**settings, **options})


def scenes(count: int) -> data.Split:
    """Dark images with a bright square of class 2 or a half-bright square of class 1; every fourth image has none."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    boxes, labels = np.zeros((count, 2, 4), np.float32), np.zeros((count, 2), np.int32)
    for index in range(count):
        if index % 4 == 3:
            continue
        x, y = 4 * rng.integers(0, 3, 2)
        labels[index, 0] = rng.integers(1, 3)
        images[index, y : y + 6, x : x + 6] = 120 * labels[index, 0]
        boxes[index, 0] = [x, y, x + 6, y + 6]
    sizes = np.full((count, 2), SIDE, np.int32)
    return data.Split(image=images, boxes=boxes, box_label=labels, size=sizes)


def prepared(split: data.Split) -> dict[str, jax.Array]:
    return {**split.arrays, "image": jnp.asarray(split["image"], jnp.float32) / 255}


@pytest.mark.gate
def test_the_functions_of_a_detector_make_what_the_loop_expects() -> None:
    """Losses, gradients, the recall of proposals and predictions; degenerate boxes and crowds are ignored."""
    functions, batch = detection(model()), prepared(scenes(4))
    boxes = np.array(batch["boxes"])
    boxes[3, 0] = [9, 9, 4, 12]
    batch |= {"boxes": boxes, "box_label": np.maximum(batch["box_label"], 1), "box_crowd": np.zeros((4, 2), bool)}
    batch["box_mask"] = np.array([[True, False]] * 4)
    batch["box_crowd"][2, 0] = True

    @quick_jit
    def every(key: jax.Array) -> Any:
        variables = functions["init"](key, batch)

        def loss(params: Any) -> Any:
            losses, aux = functions["objective"]({"params": params}, batch, key)
            return losses.mean(), (losses, aux)

        grads, found = jax.grad(loss, has_aux=True)(variables["params"])
        proposals = model().apply(variables, batch["image"], method="proposals")
        return grads, found, functions["evaluate"](variables, batch), functions["predict"](variables, batch), proposals

    grads, (losses, aux), measures, outputs, proposals = jax.device_get(every(jax.random.key(0)))
    assert all(np.any(leaf) and np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    np.testing.assert_allclose(losses, sum(aux.metrics.values()), rtol=1e-6)
    assert aux.metrics.keys() == {"objectness", "rpn_boxes", "classes", "boxes"} and aux.updates == {}
    assert not aux.metrics["rpn_boxes"][2:].any() and aux.metrics["rpn_boxes"][:2].all()
    assert measures["loss"].shape == (4,) and measures["proposal_recall"][2:].tolist() == [1, 1]
    for index in range(2):
        low = np.maximum(boxes[index, 0, :2], proposals["boxes"][index, :, :2])
        shared = np.maximum(np.minimum(boxes[index, 0, 2:], proposals["boxes"][index, :, 2:]) - low, 0).prod(-1)
        area = (proposals["boxes"][index, :, 2:] - proposals["boxes"][index, :, :2]).prod(-1)
        reached = (shared / (36 + area - shared) >= 0.5) & proposals["mask"][index]
        assert measures["proposal_recall"][index] == reached.any()
    assert {name: each.shape for name, each in outputs.items()} == {
        "boxes": (4, 5, 4),
        "labels": (4, 5),
        "scores": (4, 5),
        "mask": (4, 5),
    }


def test_the_summary_is_cocos_without_what_is_not_defined() -> None:
    truth = scenes(8).arrays
    outputs = {
        "boxes": truth["boxes"],
        "labels": truth["box_label"],
        "scores": np.where(truth["box_label"] > 0, 0.9, 0.0),
        "mask": truth["box_label"] > 0,
    }
    summarize = detection(model())["summarize"]
    found = summarize(outputs, truth)
    assert found["ap"] == found["ap50"] == found["ar100"] == found["ap_small"] == pytest.approx(1)
    assert "ap_large" not in found
    crowd = np.zeros((8, 2), bool)
    crowd[0, 0] = True
    missed = {**outputs, "mask": outputs["mask"] & (np.arange(8) > 0)[:, None]}
    assert summarize(missed, truth)["ap"] < 1 == pytest.approx(summarize(missed, {**truth, "box_crowd": crowd})["ap"])


def test_a_classifier_is_refused() -> None:
    with pytest.raises(TypeError, match=r"detection: expected a detector such as models.FasterRCNN, but LeNet5 has no"):
        detection(models.create("lenet5"))


def test_a_detector_with_other_classes_is_refused() -> None:
    squares = data.Dataset(name="squares", train=scenes(4), test=scenes(4), class_names=("none", "half", "bright"))
    experiment = Experiment(
        **detection(model(num_classes=2)), data=squares, optimizer=optax.adam(1e-2), epochs=1, batch_size=2
    )
    with pytest.raises(ValueError, match="the model distinguishes 2 classes, but squares has 3 classes: none, half, b"):
        dry_run(experiment)


@pytest.mark.gate
def test_a_detector_of_squares_learns() -> None:
    from jaxcnn.train._evaluate import Evaluator, Inference
    from jaxcnn.train._state import create_state
    from jaxcnn.train._step import epoch_order, train_step

    experiment = Experiment(
        **detection(model()),
        data=data.Dataset(name="squares", train=scenes(64), test=scenes(24), class_names=("none", "half", "bright")),
        optimizer=optax.adam(1e-2),
        epochs=1,
        batch_size=16,
    )
    state = create_state(experiment)
    arrays = {name: jnp.asarray(array) for name, array in experiment.data.train.arrays.items()}
    step = jax.jit(functools.partial(train_step, experiment))
    for epoch in range(60):
        order = epoch_order(experiment, jnp.int32(epoch))
        for _ in range(experiment.steps_per_epoch):
            state, _ = step(state, arrays, order)
    found = Evaluator(Inference.of(experiment), experiment.data.test)(state.eval_variables)
    assert found["ap50"] > 0.9 and found["proposal_recall"] > 0.9, found


@pytest.mark.gate
@pytest.mark.parametrize("variant", ["boxes", "shuffled"])
def test_the_experiment_with_digits_is_sound(variant: str) -> None:
    file = load_experiment(EXPERIMENTS / "faster_rcnn_digits.py")
    few = {"digits": "digits", "photographs": "digits", "scenes": 16, "test_scenes": 3, "width": 2, "hidden": 4}
    experiment = file.build(file.config_class(**few, shuffled=variant == "shuffled"))
    dry_run(experiment)
    plain = file.build(file.config_class(**few)).data.train
    moved = np.roll(plain["boxes"], 1, axis=0) if variant == "shuffled" else plain["boxes"]
    np.testing.assert_array_equal(experiment.data.train["boxes"], moved)
    np.testing.assert_array_equal(experiment.data.train["image"], plain["image"])
    assert dataclasses.is_dataclass(experiment) and experiment.best == "ap"
