"""The experiments on video, series, retrieval and steering: computations in addition to training."""

import runpy
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.train import Experiment, Trained
from jaxcnn.train._runs._discover import ExperimentFile, load_experiment
from jaxcnn.train._state import create_state
from tests.train.test_dry_run import EXPERIMENTS, few_moving_digits, series_stand_in, stand_in


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", stand_in)
    monkeypatch.setattr(data, "series", series_stand_in)
    monkeypatch.setattr(data, "moving_digits", few_moving_digits)


def file_of(name: str) -> ExperimentFile:
    (path,) = [path for path in EXPERIMENTS if path.stem == name]
    return load_experiment(path)


def module_of(name: str) -> SimpleNamespace:
    """The functions in the file of an experiment."""
    return SimpleNamespace(**runpy.run_path(str(file_of(name).path)))


def built(name: str, **settings: Any) -> Experiment:
    file = file_of(name)
    return file.build(file.config_class(**settings))


@pytest.mark.gate
def test_padding_changes_no_loss_of_a_series() -> None:
    experiment = built("series_ucr", network="resnet")
    split: Any = experiment.data.test
    batch = {name: np.asarray(split[name][:4]) for name in split}
    other = batch | {"series": np.where(batch["mask"][..., None], batch["series"], 9).astype(np.float32)}
    variables = jax.jit(experiment.init)(jax.random.key(0), batch)
    losses = [jax.jit(experiment.evaluate)(variables, each)["loss"] for each in (batch, other)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert not batch["mask"].all()


def test_series_are_trained_in_the_batches_of_the_papers() -> None:
    assert built("series_ucr").batch_size == 2 and built("series_ucr", network="inception_time").batch_size == 20
    labels = [built("series_ucr", permuted=permuted).data.train["label"] for permuted in (False, True)]  # type: ignore[index]
    assert (labels[0] != labels[1]).any() and sorted(labels[0]) == sorted(labels[1])


@pytest.mark.gate
def test_a_flow_of_clips_points_where_the_digit_moves() -> None:
    """A bright square that moves right and down by one pixel per frame."""
    module = module_of("two_stream_moving_digits")
    video = np.zeros((1, 12, 32, 32, 3), np.uint8)
    for frame in range(12):
        video[0, frame, 8 + frame : 16 + frame, 8 + frame : 16 + frame] = 255
    flow = module.flows_of(video, subtract_mean=False)
    assert flow.shape == (1, 32, 32, 20) and flow.dtype == np.float16
    assert flow[0, 13:16, 13:16, 10:12].mean((0, 1)) == pytest.approx([1, 1], abs=0.3)


@pytest.mark.gate
def test_both_streams_of_the_fusion_learn_alone() -> None:
    experiment = built("two_stream_moving_digits", streams="fusion", width=2)
    split: Any = experiment.data.train
    batch = dict(experiment.prepare({name: split[name][:8] for name in split}))
    variables = jax.jit(experiment.init)(jax.random.key(0), batch)
    assert set(variables["params"]) == {"image", "flow"}

    @jax.jit
    def gradient(batch: Any) -> Any:
        return jax.grad(lambda params: experiment.objective(variables | {"params": params}, batch, None)[0].mean())(  # type: ignore[arg-type]
            variables["params"]
        )

    one, other = gradient(batch), gradient(batch | {"flow": batch["flow"] * 0})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one["image"], other["image"])
    assert not np.allclose(one["flow"]["head"]["kernel"], other["flow"]["head"]["kernel"])


@pytest.mark.gate
def test_retrieval_measures_every_descriptor_of_unseen_classes() -> None:
    experiment = built("retrieve_unseen_classes", width=2, queries=30)
    labels = experiment.data.train["label"]  # type: ignore[index]
    assert labels.max() == 4 and experiment.data.class_names == ("0", "1", "2", "3", "4")
    state = create_state(experiment)
    found = Trained(experiment, state.eval_variables, step=0).measured()
    assert {"pixels", "untrained", "map1_gem", "map3_r_mac", "best", "best_pca_32", "neighbour_best"} <= set(found)
    assert all(0 <= value <= 1 for value in found.values())
    assert found["best"] in [value for name, value in found.items() if name.startswith("map")]


def test_drawn_roads_bend_where_the_target_says() -> None:
    """On a straight road, the paint is as far left as right.

    A road to the right moves the paint to the right, far away more than nearby.
    """
    module = module_of("pilotnet_synthetic")
    quiet = SimpleNamespace(
        normal=lambda mean, std, shape: np.zeros(shape),
        standard_normal=lambda shape, dtype: np.zeros(shape),
        uniform=lambda low, high: 1.0 if high > 1 else low,
    )

    def middles(*pose: float) -> np.ndarray:
        image = module.draw(*pose, quiet)
        paint = (image == module.COLOURS[3]).all(-1)
        columns = np.arange(module.WIDTH)
        rows = [row for row in (24, 40) if paint[row].any()]
        return np.array([columns[paint[row]].mean() - module.WIDTH / 2 for row in rows])

    assert np.abs(middles(0.0, 0.0, 0.0)).max() < 1.5
    far, near = middles(0.02, 0.0, 0.0)
    assert far > near > -1 and far > 8
    assert (middles(0.0, 0.5, 0.0) < -2).all() and (middles(0.0, 0.0, 0.05) < -2).all()


def test_the_mean_is_the_control_of_steering() -> None:
    experiment = built("pilotnet_synthetic", images=64, test_images=8)
    splits: Any = experiment.data.splits
    wanted = np.abs(splits["test"]["target"] - splits["train"]["target"].mean()).mean()
    measure: Any = experiment.measure
    assert measure(SimpleNamespace(experiment=experiment)) == {"absolute_error_of_mean": pytest.approx(wanted)}
    shuffled = built("pilotnet_synthetic", images=64, test_images=8, shuffled=True).data.train  # type: ignore[union-attr]
    np.testing.assert_array_equal(shuffled["target"][1], splits["train"]["target"][0])


def test_every_set_is_trained_by_every_network() -> None:
    variants = {name: each for name, each in file_of("series_ucr").variants.items() if not each.get("permuted")}
    assert len(variants) == 18 and variants["osu_leaf_resnet"]["dataset"] == "OSULeaf"
    assert len({tuple(settings.values()) for settings in variants.values()}) == 18
