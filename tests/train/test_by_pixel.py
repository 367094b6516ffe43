"""A class for each pixel instead of for each image: loss, accuracy and overlap are means over pixels."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcnn import data
from jaxcnn.data import Dataset, Split
from jaxcnn.nn import Conv
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._segmentation import segmentation
from jaxcnn.train._state import create_state
from jaxcnn.train._step import epoch_order, train_step
from jaxcnn.train._tasks import cross_entropy
from tests.tiers import default_rows
from tests.train.runs import new_run, train


class Pixelwise(nn.Module):
    """A linear classifier of 3x3 windows."""

    strides: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return Conv(3, (3, 3), strides=self.strides, name="head")(x)


def scenes(count: int, seed: int) -> Split:
    """Noise of three brightnesses in vertical bands; each band is a class."""
    rng = np.random.default_rng(seed)
    labels = np.broadcast_to(rng.permuted(np.tile([0, 0, 1, 1, 2, 2], (count, 1)), axis=1)[:, None], (count, 6, 6))
    noise = rng.integers(0, 60, (count, 6, 6, 1))
    return Split(image=(80 * labels[..., None] + noise).astype(np.uint8), segmentation=labels)


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(
        **segmentation(Pixelwise(), loss=cross_entropy(0.1)),
        data=Dataset(name="bands", train=scenes(20, 0), test=scenes(7, 1), class_names=("a", "b", "c")),
        optimizer=optax.sgd(0.5),
        epochs=2,
        batch_size=5,
    )


def test_a_step_goes_down_the_mean_over_pixels(experiment: Experiment) -> None:
    train = experiment.data.train
    state = create_state(experiment)
    order = epoch_order(experiment, jnp.int32(0))
    step = jax.jit(functools.partial(train_step, experiment))
    after, metrics = step(state, train.arrays, order)
    rows = np.asarray(order[0])
    x, labels = train["image"][rows] / np.float32(255), train["segmentation"][rows]

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        log_p = jax.nn.log_softmax(Pixelwise().apply({"params": params}, x))
        return -sum(((0.9 * (labels == c) + 0.1 / 3) * log_p[..., c]).sum() for c in range(3)) / labels.size

    gradients, logits = jax.device_get(
        jax.jit(lambda p: (jax.grad(loss)(p), Pixelwise().apply({"params": p}, x)))(state.params)
    )
    by_hand = jax.tree.map(lambda p, g: np.asarray(p) - np.float32(0.5) * g, state.params, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after.params, by_hand)
    right = logits.argmax(-1) == labels
    assert float(metrics.metrics["accuracy"]) == pytest.approx(right.mean(), rel=1e-6)
    assert float(after.metric_sums["accuracy"]) == pytest.approx(5 * right.mean(), rel=1e-6)


def test_every_pixel_counts_once(experiment: Experiment) -> None:
    variables = create_state(experiment).eval_variables
    test = experiment.data.test
    labels = test["segmentation"]
    evaluator = Evaluator(Inference.of(experiment), test, batch_size=3)
    found = evaluator(variables)
    log_softmax = jax.jit(lambda variables, x: jax.nn.log_softmax(Pixelwise().apply(variables, x)))
    log_p = np.asarray(log_softmax(variables, test["image"] / np.float32(255)), np.float64)
    outputs, targets = evaluator.outputs(variables)
    np.testing.assert_array_equal(outputs["segmentation"], log_p.argmax(-1))
    np.testing.assert_array_equal(targets["segmentation"], labels)
    assert found["accuracy"] == pytest.approx((log_p.argmax(-1) == labels).mean(), rel=1e-6)
    assert found["loss"] == pytest.approx(-np.take_along_axis(log_p, labels[..., None], -1).mean(), rel=1e-5)
    assert found["mean_iou"] == pytest.approx(overlap(labels, log_p.argmax(-1)))


def overlap(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean IoU by sets of pixels."""
    classes = np.union1d(labels, predictions)
    places = [[{tuple(p) for p in np.argwhere(each == c)} for c in classes] for each in (labels, predictions)]
    return float(np.mean([len(one & other) / len(one | other) for one, other in zip(*places, strict=True)]))


def test_overlap_is_over_a_whole_split_in_parts(experiment: Experiment) -> None:
    """There are more images than one part has.

    A class that is absent from labels and predictions is left out; a class in only one of them has an overlap of 0.
    """
    labels, predictions = np.random.default_rng(0).integers(0, 3, (2, 150, 5, 6))
    summarize = segmentation(Pixelwise())["summarize"]
    found = summarize({"segmentation": predictions}, {"segmentation": labels})["mean_iou"]
    assert found == pytest.approx(overlap(labels, predictions), rel=1e-6)
    only_predicted = summarize({"segmentation": np.array([[[0, 4]]])}, {"segmentation": np.zeros((1, 1, 2), int)})
    assert only_predicted == {  # half of class 0, and nothing of class 4
        "pixel_accuracy": 0.5,
        "class_accuracy": 0.5,
        "mean_iou": 0.25,
    }


class TwoHeads(nn.Module):
    """Two linear classifiers of single pixels; the parameters of the second are in ``aux``."""

    @nn.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        return {name: Conv(3, (1, 1), name=name)(x) for name in ("logits", "aux")}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return self.features(x, train)["logits"]


def partly_labelled() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(4)
    labels = generator.choice([0, 1, 2, 255], (4, 5, 3)).astype(np.uint8)
    labels[2] = 255
    return {"image": generator.normal(size=(4, 5, 3, 2)).astype(np.float32), "segmentation": labels}


@pytest.mark.parametrize(
    "kind", default_rows(["plain", "weights", "heads", "weights and heads"], keep=["weights and heads"])
)
def test_pixels_without_a_label_count_in_no_loss_and_no_measure(kind: str) -> None:
    """Compares with loops over pixels; an image without any label has a loss of 0."""
    weights = np.array([0.5, 2.0, 0.0]) if "weights" in kind else np.ones(3)
    heads = {"aux": 0.25} if "heads" in kind else None
    functions = segmentation(TwoHeads(), heads=heads, class_weights=weights if "weights" in kind else None)
    batch, model = partly_labelled(), TwoHeads()
    variables = jax.jit(functions["init"])(jax.random.key(0), batch)
    maps = jax.jit(lambda: model.apply(variables, batch["image"], method="features"))()
    wanted, plain, right = np.zeros(4), np.zeros(4), np.zeros(4)
    for image, labels in enumerate(batch["segmentation"]):
        places = [tuple(place) for place in np.argwhere(labels != 255)]
        for place in places:
            for name, share in {"logits": 1.0, **(heads or {})}.items():
                scores = np.asarray(maps[name][image], np.float64)[place]
                loss = np.log(np.exp(scores).sum()) - scores[labels[place]]
                wanted[image] += share * weights[labels[place]] * loss / len(places)
            scores = np.asarray(maps["logits"][image], np.float64)[place]
            plain[image] += (np.log(np.exp(scores).sum()) - scores[labels[place]]) / len(places)
            right[image] += (scores.argmax() == labels[place]) / len(places)
    (losses, aux), measures = jax.jit(
        lambda key: (functions["objective"](variables, batch, key), functions["evaluate"](variables, batch))
    )(jax.random.key(1))
    np.testing.assert_allclose(losses, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(aux.metrics["accuracy"], right, rtol=1e-6)
    np.testing.assert_allclose(measures["loss"], plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(measures["accuracy"], right, rtol=1e-6)
    assert wanted[2] == 0 < wanted[[0, 1, 3]].min()
    found = np.asarray(maps["logits"]).argmax(-1)
    summary = functions["summarize"]({"segmentation": found}, batch)
    labelled = batch["segmentation"] != 255
    assert summary["pixel_accuracy"] == pytest.approx((found == batch["segmentation"])[labelled].mean())
    assert summary["mean_iou"] == pytest.approx(overlap(batch["segmentation"][labelled], found[labelled]), rel=1e-5)
    shares = [(found[batch["segmentation"] == label] == label).mean() for label in range(3)]
    assert summary["class_accuracy"] == pytest.approx(np.mean(shares), rel=1e-5)


def test_weights_and_heads_that_do_not_fit_are_refused() -> None:
    batch = partly_labelled()
    for options, message in (
        ({"class_weights": [1.0, 2.0]}, "one weight for each of the 3 classes of the model, not 2"),
        (
            {"heads": {"aux2": 0.5}},
            "heads has 'aux2', but the features of TwoHeads in training are logits",
        ),
    ):
        functions = segmentation(TwoHeads(), **options)  # type: ignore[arg-type]
        variables = jax.eval_shape(functions["init"], jax.random.key(0), batch)
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functions["objective"], variables, batch, jax.random.key(0))
    with pytest.raises(ValueError, match=r"segmentation: class_weights=.* must be finite numbers, at least 0"):
        segmentation(TwoHeads(), class_weights=[1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="segmentation: heads has 'logits', whose loss is always added"):
        segmentation(TwoHeads(), heads={"logits": 1.0})
    with pytest.raises(TypeError, match="segmentation: heads are outputs of the model's method features, which Pixelw"):
        segmentation(Pixelwise(), heads={"aux": 0.5})
    functions = segmentation(Pixelwise())
    variables = jax.eval_shape(functions["init"], jax.random.key(0), batch)
    halves = {**batch, "segmentation": batch["segmentation"] / 2}
    with pytest.raises(TypeError, match="'segmentation' must hold the classes of pixels as integers, not float32"):
        jax.eval_shape(functions["objective"], variables, halves, jax.random.key(0))


def test_weights_of_classes_by_their_frequency() -> None:
    maps = np.random.default_rng(0).choice([0, 0, 0, 1, 2, 255], (3, 4, 5))
    maps[0][maps[0] == 1] = 0
    frequency = []
    for label in range(3):
        images = [each for each in maps if (each == label).any()]
        frequency.append(sum((each == label).sum() for each in images) / sum((each != 255).sum() for each in images))
    weights = data.median_frequency_weights(maps, num_classes=4)
    np.testing.assert_allclose(weights, [*(np.median(frequency) / np.array(frequency)), 0], rtol=1e-6)
    for wrong, error, message in (
        (maps.astype(float), TypeError, "expected classes as a NumPy array of integers, got float64"),
        (maps[0], ValueError, "expected a class for each pixel"),
        (np.full((1, 2, 2), 255), ValueError, "no pixel has a label"),
        (maps + 3, ValueError, "a pixel has the class 4, but there are 4 classes"),
    ):
        with pytest.raises(error, match=message):
            data.median_frequency_weights(wrong, num_classes=4)


@pytest.mark.gate
def test_a_run_records_the_overlap(experiment: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    outcome = train(run, experiment)
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert outcome.metrics is not None and 0 < records[-1]["test/mean_iou"] < 1
    assert records[-1]["test/mean_iou"] == outcome.metrics["test/mean_iou"]
    assert records[-1]["train/loss"] < records[0]["train/loss"] and 0 < records[-1]["train/accuracy"] <= 1


def test_a_map_of_another_size_is_refused(experiment: Experiment) -> None:
    dry_run(experiment)
    with pytest.raises(ValueError, match=r"for each label, .* the shape \(5, 6, 6\) and the logits \(5, 3, 3, 3\)"):
        dry_run(dataclasses.replace(experiment, **segmentation(Pixelwise(strides=2))))


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c", "d")])
def test_a_model_with_other_classes_is_refused(experiment: Experiment, names: tuple[str, ...]) -> None:
    def split(seed: int) -> Split:
        return Split(**{**scenes(10, seed).arrays, "segmentation": scenes(10, seed)["segmentation"] % 2})

    other = Dataset(name="bands", train=split(0), test=split(1), class_names=names)
    message = f"the model distinguishes 3 classes, but bands has {len(names)} classes: {', '.join(names)}. Give the"
    with pytest.raises(ValueError, match=message):
        dry_run(dataclasses.replace(experiment, data=other))


def test_splits_of_two_kinds_are_refused() -> None:
    make = functools.partial(Dataset, name="bands", class_names=("a", "b", "c"), test=scenes(2, 1))
    message = r"bands: the train split has the arrays image, label, but the test split has image, segmentation"
    with pytest.raises(ValueError, match=message):
        make(train=Split(image=scenes(2, 0)["image"], label=np.zeros(2, int)))
