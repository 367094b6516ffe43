"""The full recipe of the two-stream network: its parameters, its schedule, its inputs and the accuracy of videos."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import data, models
from jaxcnn.train import Experiment
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._runs._discover import load_experiment
from tests.train.runs import rate_at
from tests.train.test_dry_run import streamed_stand_in

FILE = load_experiment(Path(__file__).parent.parent.parent / "experiments" / "two_stream_ucf101.py")
INPUTS = FILE.build_function.__globals__["inputs"]


def built(monkeypatch: pytest.MonkeyPatch, requested: dict[str, Any] | None = None, **settings: Any) -> Experiment:
    def stand_in(name: str, **options: Any) -> Any:
        (requested if requested is not None else {}).update(options)
        return streamed_stand_in(name, **options)

    monkeypatch.setattr(data, "stream", stand_in)
    return FILE.build(FILE.config_class(**settings))


def test_the_clips_of_the_paper_are_read_and_changed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: dict[str, Any] = {}
    experiment = built(monkeypatch, requested)
    expected = {"frames": 11, "spacing": 1, "clips": 25, "image_size": 256, "resize": "cover", "max_corrupt": 0}
    assert requested == expected | {"data_dir": None}
    rows, columns = jnp.meshgrid(jnp.arange(256.0), jnp.arange(256.0), indexing="ij")
    clip = jnp.broadcast_to(jnp.stack([rows, columns, rows], -1), (6, 11, 256, 256, 3))
    assert experiment.augment is not None
    found = np.asarray(experiment.augment(jax.random.key(0), {"video": clip})["video"])
    assert found.shape == (6, 11, 224, 224, 3)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    corners = found[:, 0, 0, 0, :2]
    mirrored = found[:, 0, 0, 1, 1] < found[:, 0, 0, 0, 1]
    assert 0 < mirrored.sum() < 6 and len({tuple(corner) for corner in corners}) == 6


def test_kernels_decay_and_biases_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = built(monkeypatch).optimizer
    params = {"conv": {"kernel": jnp.ones((1, 1, 2, 2)), "bias": jnp.ones(2)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["conv"]["kernel"], -1e-2 * 5e-4, rtol=1e-5)
    np.testing.assert_array_equal(updates["conv"]["bias"], 0)


@pytest.mark.gate
@pytest.mark.parametrize("streams", ["spatial", "temporal", "both"])
def test_the_networks_of_the_paper_are_trained(monkeypatch: pytest.MonkeyPatch, streams: str) -> None:
    state = dry_run(built(monkeypatch, streams=streams, batch_size=8))
    name = "two_stream" if streams == "both" else f"two_stream_{streams}"
    extra = 2049 * (1000 - 101) * (2 if streams == "both" else 1)  # the stand-in has 1,000 classes
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == models.info(name).parameters + extra


def test_the_schedule_of_80_000_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = built(monkeypatch, batch_size=50)  # 100 steps per epoch
    assert experiment.total_steps == 80_000
    for step, rate in ((0, 1e-2), (49_999, 1e-2), (50_001, 1e-3), (69_999, 1e-3), (70_001, 1e-4), (79_999, 1e-4)):
        assert rate_at(experiment, step) == pytest.approx(rate, rel=1e-5)


def test_the_networks_read_the_first_frame_and_the_motion_of_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A texture that moves by a pixel a frame, and whose mirror image moves in the opposite direction."""
    rng = np.random.default_rng(0)
    texture = np.asarray(jax.image.resize(jnp.asarray(rng.random((12, 24, 1), np.float32)), (36, 72, 1), "cubic"))
    clip = np.stack([np.repeat(texture[:, 20 - step : 56 - step], 3, -1) for step in range(11)])[None]
    config = FILE.config_class(streams="both", image_size=32, subtract_mean=False)
    found = np.asarray(jax.jit(lambda x: INPUTS(x, config))(clip))
    assert found.shape == (1, 32, 32, 23)
    np.testing.assert_allclose(found[..., :3], (clip[:, 0, 2:34, 2:34] - 0.5) / 0.25, atol=1e-6)
    across, down = found[..., 3::2].mean(), found[..., 4::2].mean()
    mirrored = np.asarray(jax.jit(lambda x: INPUTS(x, config))(clip[:, :, :, ::-1]))
    assert across == pytest.approx(1, abs=0.15) and down == pytest.approx(0, abs=0.1)
    assert mirrored[..., 3::2].mean() == pytest.approx(-across, abs=0.02)
    subtracted = INPUTS(clip, dataclasses.replace(config, subtract_mean=True, streams="temporal"))
    np.testing.assert_allclose(subtracted.mean((1, 2)), 0, atol=1e-5)


def test_the_scores_of_the_clips_of_a_video_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    summarize = built(monkeypatch, clips=3).summarize
    assert summarize is not None
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 0, 0])  # the mean of the first video is 0.57, that of the second 0.43
    assert summarize({"probabilities": scores}, {"label": labels}) == {"video_accuracy": 0.5}
