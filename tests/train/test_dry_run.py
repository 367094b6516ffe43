"""Every experiment that the project carries is traced from images to metrics."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcnn import data, models
from jaxcnn.data.digits import digits
from jaxcnn.train.discover import list_experiments, load_experiment
from jaxcnn.train.dry_run import dry_run

EXPERIMENTS = sorted((Path(__file__).parent.parent.parent / "experiments").glob("*.py"))


def stand_in(name: str, **_: object) -> data.Dataset:
    """Random images of the shape of a data set that need not be on this machine."""
    if name == "digits":
        return digits()
    shapes = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
    shape, classes = shapes[name], 10
    generator = np.random.default_rng(0)

    def split(count: int) -> data.Split:
        labels = np.arange(count, dtype=np.int32) % classes
        return data.Split(images=generator.integers(0, 256, (count, *shape), np.uint8), labels=labels)

    return data.Dataset(
        name=name, train=split(600), test=split(100), class_names=tuple(str(index) for index in range(classes))
    )


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_traces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", stand_in)
    file = load_experiment(path)
    head = [line.split()[0] for line in file.doc.splitlines() if line[:3] in ("run", "cos", "res")]
    assert head[:3] == ["run", "cost", "result"], "an experiment's head gives its command, cost and result"
    dry_run(file.build(file.config_class()))


def test_every_experiment_is_listed() -> None:
    assert {path.stem for path in EXPERIMENTS} <= set(list_experiments())


def test_lenet5_digits_trains_61706_parameters() -> None:
    file = load_experiment(next(path for path in EXPERIMENTS if path.stem == "lenet5_digits"))
    state = dry_run(file.build(file.config_class()))
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == 61_706


def test_a_model_with_other_classes_is_refused() -> None:
    file = load_experiment(next(path for path in EXPERIMENTS if path.stem == "lenet5_digits"))
    experiment = dataclasses.replace(file.build(file.config_class()), model=models.create("lenet5", num_classes=7))
    with pytest.raises(ValueError, match=r"logits of shape \(2, 7\) for 2 images, but digits has 10 classes"):
        dry_run(experiment)
