"""Every experiment of the project is traced from images to metrics."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import data, models
from jaxcnn.models import PAPER_RUNS
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._peak import macs_per_example
from jaxcnn.train._runs._discover import list_experiments, load_experiment
from jaxcnn.train._tasks import classification
from tests.tiers import default_rows
from tests.train.runs import rate_at

LOAD, MOVING_DIGITS = data.load, data.moving_digits  # before a test replaces them
EXPERIMENTS = sorted((Path(__file__).parent.parent.parent / "experiments").glob("*.py"))


def stand_in(name: str, *, image_size: int | None = None, **_: object) -> data.Dataset:
    """Random images in the shape of a data set, which need not be on this machine."""
    if name == "digits":
        return LOAD(name, image_size=image_size)
    shapes = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
    shape, classes = shapes[name], 10
    generator = np.random.default_rng(0)

    def split(count: int) -> data.Split:
        labels = np.arange(count, dtype=np.int32) % classes
        return data.Split(image=generator.integers(0, 256, (count, *shape), np.uint8), label=labels)

    return data.Dataset(
        name=name, train=split(2000), test=split(100), class_names=tuple(str(index) for index in range(classes))
    )


def series_stand_in(path: object, *, name: str) -> data.Dataset:
    """Random series of unequal lengths and two channels."""
    generator = np.random.default_rng(0)
    mask = np.arange(9) < generator.integers(5, 10, (20, 1))
    series = np.where(mask[..., None], generator.standard_normal((20, 9, 2)), 0).astype(np.float32)
    split = data.Split(series=series, mask=mask, label=np.arange(20) % 3)
    return data.Dataset(name=name, train=split, test=split, class_names=("a", "b", "c"))


def few_moving_digits(*sets: data.Dataset, train_count: int, test_count: int, **options: Any) -> data.Dataset:
    """Clips as in the experiment, but few of them."""
    return MOVING_DIGITS(*sets, train_count=min(train_count, 64), test_count=min(test_count, 4), **options)


class Black:
    """Black images or videos with 1,000 classes."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.arrays = {name: np.zeros(shape, np.uint8)}

    def __len__(self) -> int:
        return 5000

    def name_of(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> dict[str, object]:
        return {**self.arrays, "label": index % 1000}


def streamed_stand_in(name: str, *, image_size: int, frames: int | None = None, **_: object) -> data.StreamedDataset:
    """A stream with the shape of ImageNet, or of videos."""
    assert name == ("imagenet2012" if frames is None else "ucf101/ucf101_1_256")
    content, shape = "image", (image_size, image_size, 3)
    if frames is not None:
        content, shape = "video", (frames, *shape)
    fields = {content: (shape, np.uint8), "label": ((), np.int32)}
    split = data.StreamedSplit(Black(content, shape), fields=fields, classes=1000)
    names = tuple(str(label) for label in range(1000))
    return data.StreamedDataset(name=name, train=split, test=split, class_names=names, fingerprint="black")


class Maps:
    """Black images with boxes and a class for each pixel; some pixels have no label."""

    def __init__(self, size: tuple[int, int], classes: int) -> None:
        self.size = size
        self.maps = (np.arange(size[0] * size[1]).reshape(size) % (classes + 1)).astype(np.uint8)
        self.maps[self.maps == classes] = 255

    def __len__(self) -> int:
        return 40

    def name_of(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> dict[str, object]:
        size = np.array(self.size, np.int32)
        return {
            "image": np.full((*self.size, 3), index, np.uint8),
            "size": size,
            "original_size": size,
            "image_id": index,
            "segmentation": self.maps,
        }


def maps_stand_in(folder: object, *, class_names: Sequence[str], image_size: Any = (500, 500), **options: Any) -> Any:
    """A stream with the shape of ``data.label_maps``, or of ``data.voc`` for segmentation."""
    names = ("background", *class_names) if options.get("image_set") == "Segmentation" else tuple(class_names)
    source = Maps(image_size, len(names))
    fields = {name: (np.shape(value), np.asarray(value).dtype) for name, value in source.read(0).items()}
    split = data.StreamedSplit(source, fields=fields | {"image_id": ((), np.int32)}, classes=len(names))
    return data.StreamedDataset(
        name="maps", train=split, test=split, validation=split, class_names=names, fingerprint="maps"
    )


# These are traced in test_detection_experiments.py, on small files in the formats of VOC and COCO.
WITH_BOXES = ("faster_rcnn_bccd", "faster_rcnn_coco")
TRACED = {path.stem: path for path in EXPERIMENTS if path.stem not in WITH_BOXES}


@pytest.mark.parametrize("path", default_rows(TRACED, keep=["lenet5_digits"]))
def test_experiment_traces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", stand_in)
    monkeypatch.setattr(data, "stream", streamed_stand_in)
    monkeypatch.setattr(data, "series", series_stand_in)
    monkeypatch.setattr(data, "moving_digits", few_moving_digits)
    monkeypatch.setattr(data, "label_maps", maps_stand_in)
    monkeypatch.setattr(data, "voc", maps_stand_in)
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
    other = classification(models.create("lenet5", num_classes=7))
    experiment = dataclasses.replace(file.build(file.config_class()), **other)
    with pytest.raises(ValueError, match=r"probabilities of 7 classes, but digits has 10 classes.*num_classes=10"):
        dry_run(experiment)


def built(name: str, **settings: object) -> Experiment:
    file = load_experiment(next(path for path in EXPERIMENTS if path.stem == name))
    return file.build(file.config_class(**settings))


@pytest.mark.gate
@pytest.mark.parametrize("network", [name for name in PAPER_RUNS if name != "bn_x30"])  # this is the default
def test_the_networks_of_the_batch_norm_paper(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "stream", streamed_stand_in)
    experiment = built("bn_inception_imagenet", network=network)
    if network != "bn_x5":  # the default at another learning rate
        state = dry_run(experiment)
        assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == models.info(network).parameters
    paper = PAPER_RUNS[network]
    assert rate_at(experiment, 0) == pytest.approx(paper.learning_rate)
    assert experiment.total_steps == pytest.approx((paper.steps or 5.0) * 1e6, rel=1e-3)


def test_the_schedule_of_90_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "stream", streamed_stand_in)
    experiment = built("resnet50_imagenet", batch_size=1000)  # 5 steps per epoch
    peak = 0.1 * 1000 / 256
    for epoch, rate in ((0, 0.1), (5, peak), (29, peak), (31, peak / 10), (61, peak / 100), (81, peak / 1000)):
        assert rate_at(experiment, 5 * epoch) == pytest.approx(rate, rel=1e-5)
    cosine = built("resnet50_imagenet", batch_size=1000, schedule="cosine")
    assert rate_at(cosine, 25) == pytest.approx(peak)
    assert rate_at(cosine, 450) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.gate
def test_the_model_of_90_epochs_asks_for_its_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "stream", streamed_stand_in)
    assert macs_per_example(built("resnet50_imagenet")) == models.info("resnet50").macs


def test_synthetic_images_are_resident() -> None:
    experiment = built("resnet50_imagenet", dataset="synthetic", batch_size=4, host_size=40, image_size=32)
    assert not experiment.streams
    assert experiment.data.image_shape == (40, 40, 3)
    assert experiment.steps_per_epoch == 8


@pytest.mark.gate
def test_the_networks_of_segmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of every variant, and a step of a refined network with a balanced loss."""
    monkeypatch.setattr(data, "load", stand_in)
    monkeypatch.setattr(data, "label_maps", maps_stand_in)
    for name in ("segment_camvid", "segment_digits"):
        file = load_experiment(next(path for path in EXPERIMENTS if path.stem == name))
        for settings in file.variants.values():
            experiment = file.build(
                file.config_class(**settings, **({"scenes": 40} if name == "segment_digits" else {}))
            )
            batch = {"image": jax.ShapeDtypeStruct((1, *experiment.data.image_shape), np.float32)}
            jax.eval_shape(experiment.init, jax.random.key(0), batch)
    dry_run(built("segment_camvid", network="refinement", balance=1.0, width=4))
