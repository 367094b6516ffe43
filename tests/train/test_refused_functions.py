"""Return values of the functions of an experiment: each mistake is refused during tracing, in one sentence."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxcnn import augment, data, train
from jaxcnn._errors import ShapeError
from jaxcnn.nn import BatchNorm
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._evaluate import checked_summary


class Network(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
        return linen.Dense(3)(x)


def split(count: int) -> data.Split:
    return data.Split(image=np.zeros((count, 4, 4, 1), np.uint8), label=np.arange(count) % 3)


def experiment(**changes: Any) -> train.Experiment:
    made = train.Experiment(
        **train.classification(Network()),
        data=data.Dataset(name="blank", train=split(12), test=split(6), class_names=("a", "b", "c")),
        optimizer=optax.sgd(0.1),
        epochs=1,
        batch_size=4,
    )
    return dataclasses.replace(made, **changes)


def objective(found: Any) -> Any:
    """An objective that returns the result of ``found`` for its variables and its batch."""
    return lambda variables, batch, key: found(variables, batch)


LOSSES = jnp.zeros(4)
MISTAKES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no aux": (
        {"objective": objective(lambda v, b: LOSSES)},
        TypeError,
        "objective: expected (loss, Aux(updates=..., metrics=...)), got an array float32[4]. Without updates and",
    ),
    "three": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(), 1))},
        TypeError,
        "objective: expected (loss, Aux(updates=..., metrics=...)), got a tuple of 3",
    ),
    "a dict for aux": (
        {"objective": objective(lambda v, b: (LOSSES, {"accuracy": LOSSES}))},
        TypeError,
        "got a tuple whose second entry is an object of type dict",
    ),
    "nothing": ({"objective": objective(lambda v, b: None)}, TypeError, "got None"),
    "a matrix of losses": (
        {"objective": objective(lambda v, b: (jnp.zeros((4, 3)), train.Aux()))},
        ValueError,
        "objective: expected a loss that is one floating number or one for each of the 4 examples, got float32[4, 3]",
    ),
    "another number of losses": (
        {"objective": objective(lambda v, b: (jnp.zeros(3), train.Aux()))},
        ValueError,
        "one for each of the 4 examples, got float32[3]",
    ),
    "a loss of integers": (
        {"objective": objective(lambda v, b: (jnp.zeros((), jnp.int32), train.Aux()))},
        ValueError,
        "one floating number or one for each of the 4 examples, got int32[]",
    ),
    "an unknown collection": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(updates={"batch_stat": {}})))},
        ValueError,
        "updates name the collection 'batch_stat', but the variables have only 'batch_stats'. Did you mean",
    ),
    "no dict of updates": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(updates=None)))},  # type: ignore[arg-type]
        TypeError,
        "objective: expected updates as a dict of collections, got None",
    ),
    "params": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(updates={"params": v["params"]})))},
        ValueError,
        "objective: updates name 'params', which the optimizer changes",
    ),
    "a part of a collection": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(updates={"batch_stats": {}})))},
        ValueError,
        "the update of the collection 'batch_stats' differs from it in its names, shapes or dtypes",
    ),
    "a metric that is a mean": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(metrics={"hits": jnp.zeros(())})))},
        ValueError,
        "objective: expected one number for each of the 4 examples in 'hits', but its shape is ()",
    ),
    "a metric with the name of the loss": (
        {"objective": objective(lambda v, b: (LOSSES, train.Aux(metrics={"hits": LOSSES, "loss": LOSSES})))},
        ValueError,
        "objective: a metric cannot be named 'loss', because each record has a train/loss besides the metrics",
    ),
    "a measure of another length": (
        {"evaluate": lambda v, b: {"hits": jnp.zeros(5)}},
        ValueError,
        "evaluate: expected one number for each of the 2 examples in 'hits', but its shape is (5,)",
    ),
    "measures that are an array": (
        {"evaluate": lambda v, b: jnp.zeros(2)},
        TypeError,
        "evaluate: expected a dict of measures with one number for each example, got an array float32[2]",
    ),
    "an output that is a sum": (
        {"predict": lambda v, b: {"hits": jnp.zeros((2, 3)), "sum": jnp.zeros(())}},
        ValueError,
        "predict: expected outputs with one entry for each of the 2 examples, but the shape of 'sum' is ()",
    ),
    "an output of another length": (
        {"predict": lambda v, b: jnp.zeros(3)},
        ValueError,
        "one entry for each of the 2 examples, but the shape of 'the output' is (3,)",
    ),
    "a missing array": (
        {"objective": objective(lambda v, b: (b["labels"].astype(jnp.float32), train.Aux()))},
        ValueError,
        "objective: 'labels' is not in the batch, which has 'image', 'label', 'index', 'epoch', nor in the variables, "
        "which have 'batch_stats', 'params'. Did you mean 'label'?",
    ),
    "a missing array of evaluation": (
        {"evaluate": lambda v, b: {"mean": b["index"]}},
        ValueError,
        "evaluate: 'index' is not in the batch, which has 'image', 'label', nor in the variables",
    ),
    "arrays that disagree": (
        {"augment": lambda key, b: {**b, "image": b["image"][:3]}},
        ValueError,
        "augment: expected arrays with one entry for each example, all of one length, but image has 3, label has 4",
    ),
    "a mean in the batch": (
        {"prepare": lambda b: {**b, "mean": b["image"].astype(jnp.float32).mean()}},
        ValueError,
        "prepare: expected arrays with one entry for each example, all of one length, but image has 1, label has 1, "
        "mean has no axis",
    ),
    "an image for a batch": (
        {"prepare": lambda b: b["image"]},
        TypeError,
        "prepare: expected a batch, a dict of arrays, got an array uint8[1, 4, 4, 1]",
    ),
    "parameters alone": (
        {"init": lambda key, b: {"kernel": jnp.zeros(3)}},
        TypeError,
        "init: expected a dict of collections with 'params', got a dict with 'kernel'. Is it model.init(key, batch",
    ),
    "a measure that is not there": (
        {"best": "f1"},
        ValueError,
        "best='f1': the evaluation has the measures accuracy, loss. Name one of them; write a minus",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_a_function_may_not_return(name: str) -> None:
    changes, kind, message = MISTAKES[name]
    dry_run(experiment())
    with pytest.raises(kind, match=re.escape(message)):
        dry_run(experiment(**changes))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"iou": np.zeros(3)}, "summarize: expected a number for 'iou', got an array of shape (3,). Take its mean"),
        ({"iou": "high"}, "summarize: expected a number for 'iou', got 'high'"),
        (0.5, "summarize: expected a dict of numbers by name, got an object of type float"),
    ],
)
def test_what_summarize_may_not_return(found: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        checked_summary(found)
    assert checked_summary({"iou": np.float32(0.5), "count": 3}) == {"iou": 0.5, "count": 3.0}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "measure: expected a dict of arrays by name, got None"),
        ({"shift": np.array([1j])}, "measure: expected real numbers in 'shift', got an array of dtype complex128"),
        ({"shift": {"x": 1.0}}, "measure: expected real numbers in 'shift', got an array of dtype object"),
    ],
)
def test_what_measure_may_not_return(found: Any, message: str) -> None:
    def trained(value: Any) -> train.Trained:
        return train.Trained(experiment(measure=lambda trained: value), {"params": {}}, 1)

    with pytest.raises(TypeError, match=re.escape(message)):
        trained(found).measured()
    numbers = {"rate": 0.5, "hits": np.array([True]), "half": jnp.ones(2, jnp.bfloat16), "names": np.array(["a"])}
    assert {name: value.tolist() for name, value in trained(numbers).measured().items()} == {
        "rate": 0.5,
        "hits": [True],
        "half": [1.0, 1.0],
        "names": ["a"],
    }


def test_a_summary_of_nothing_and_reserved_names_are_refused() -> None:
    with pytest.raises(ValueError, match="summarize is given what predict returns for a whole split, but there is no"):
        experiment(predict=None, summarize=lambda outputs, targets: {})
    indexed = split(12).replace(index=np.arange(12))
    with pytest.raises(ValueError, match="blank: an array cannot be named index, since every training batch"):
        experiment(data=data.Dataset(name="blank", train=indexed, test=indexed))


class Plain(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dense(3)(x)


class Two(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = linen.Dense(3)(x.reshape(len(x), -1))
        return x, x


@pytest.mark.parametrize("task", [train.classification, train.segmentation, train.regression, train.multilabel])
def test_a_model_without_a_mode_is_refused(task: Any) -> None:
    with pytest.raises(TypeError, match=r"called with train=True or False, but Plain\.__call__ has no argument train"):
        task(Plain())
    with pytest.raises(TypeError, match="expected a Linen module, got function"):
        task(lambda x: x)


def test_a_model_of_several_outputs_needs_its_own_objective() -> None:
    """Two arrays of one shape would be stacked, and the run would train by accident."""
    with pytest.raises(TypeError, match=r"expected a model that returns logits, got tuple\. A model with several"):
        dry_run(experiment(**train.classification(Two())))


def test_a_prediction_that_would_be_broadcast_is_refused() -> None:
    pairs = data.Split(image=np.zeros((12, 4, 4, 1), np.uint8), target=np.zeros(12))
    wrong = experiment(**train.regression(Network()), data=data.Dataset(name="numbers", train=pairs, test=pairs))
    with pytest.raises(ShapeError, match=r"predictions of the shape of 'target', \(4,\), but the model gives \(4, 3\)"):
        dry_run(wrong)


def test_a_constant_rate_is_no_schedule() -> None:
    with pytest.raises(TypeError, match=r"expected a schedule, .* got 0\.1.*optax\.constant_schedule\(0\.1\)"):
        train.with_schedule(optax.sgd, 0.1)  # type: ignore[arg-type]


def test_an_optimizer_that_asks_for_the_loss_is_given_it() -> None:
    optimizer = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1))
    dry_run(experiment(optimizer=optimizer))


def test_images_do_not_move_without_their_masks() -> None:
    """``augment.on`` refuses a function that moves pixels if there are masks, also within other functions."""
    batch = {"image": jnp.zeros((2, 4, 4, 1)), "segmentation": jnp.zeros((2, 4, 4), jnp.int32)}
    for moving in (augment.random_flip, augment.chain(lambda key, x: x, augment.random_flip)):
        with pytest.raises(ValueError, match=r"random_flip moves the pixels of 'image', but .* 'segmentation' too"):
            augment.on("image", moving)(jax.random.key(0), batch)
    assert augment.on("image", augment.random_color)(jax.random.key(0), {"image": jnp.zeros((2, 4, 4, 3))})
    with pytest.raises(ValueError, match="the batch has no array 'picture', only 'image', 'segmentation'"):
        augment.on("picture", augment.random_flip)(jax.random.key(0), batch)
