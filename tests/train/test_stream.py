"""A stream trains like the same images in memory, bit for bit, also after a stop and with damaged images."""

import contextlib
import dataclasses
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import augment
from jaxcnn.train._devices import Parallel
from jaxcnn.train._dry_run import dry_run
from jaxcnn.train._errors import ConfigError, RunError
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._feed import Feed, open_input, rows_on
from jaxcnn.train._loop import train_run
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._state import create_state
from tests.train.runs import TINY, Quiet, assert_same, final_state, new_run, train, without_seconds
from tests.train.streams import Memory, streamed


@pytest.fixture(scope="module")
def resident() -> Experiment:
    """An experiment on images in memory, where each image shows its index, its epoch, and its place in the batch."""
    file = load_experiment(TINY)
    experiment = file.build(file.config_class(epochs=2))

    def turned(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        """Flips by the index of each image and the epoch, and adds noise by its place in the batch."""
        same = jax.random.key(3)
        x = augment.alternating_flip(same, batch["image"], batch["index"], epoch=batch["epoch"][0])
        return {**batch, "image": x + 0.05 * jax.random.normal(key, x.shape, x.dtype)}

    return dataclasses.replace(experiment, augment=turned)


@pytest.fixture(scope="module")
def stream(resident: Experiment) -> Experiment:
    return dataclasses.replace(resident, data=streamed(resident.data))


@pytest.fixture(scope="module")
def whole(resident: Experiment, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The uninterrupted run on images in memory."""
    _, run = new_run(tmp_path_factory.mktemp("whole") / "run")
    train(run, resident)
    return run


@pytest.mark.gate
def test_a_stream_stopped_in_mid_epoch_is_the_run_in_memory(
    resident: Experiment, stream: Experiment, whole: RunFolder, tmp_path: Path
) -> None:
    _, run = new_run(tmp_path / "run")
    assert not train(run, stream, stop_after=8).finished  # two steps into the second epoch
    assert int(final_state(run, stream).step) == 8
    assert train(run, stream).finished
    assert without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, stream), final_state(whole, resident))


@pytest.mark.gate
def test_eight_devices_in_two_parts_read_the_batch_of_the_run_in_memory(
    resident: Experiment, stream: Experiment, tmp_path: Path
) -> None:
    ends = []
    for name, experiment in (("memory", resident), ("stream", stream)):
        _, run = new_run(tmp_path / name)
        experiment = dataclasses.replace(experiment, epochs=1)
        with run.locked():
            train_run(
                experiment,
                run,
                progress=Quiet(),
                should_stop=lambda: False,
                parallel=Parallel.over(8, accumulate=2),
            )
        ends.append((without_seconds(run), final_state(run, experiment)))
    assert ends[0][0] == ends[1][0]
    assert_same(ends[0][1], ends[1][1])
    timing = json.loads((tmp_path / "stream" / "timing.json").read_text(encoding="utf-8"))
    assert 0 <= timing["input_wait"] < 1
    assert timing["examples_per_second_per_device"] == pytest.approx(timing["examples_per_second"] / 8, rel=0.01)


@pytest.mark.parametrize("parts", [1, 2])
def test_each_of_two_processes_reads_the_images_of_its_devices(parts: int) -> None:
    parallel, devices = Parallel.over(8), jax.devices()
    ours, theirs = (rows_on(parallel, parts, 16, half) for half in (devices[:4], devices[4:8]))
    whole = np.arange(parts * 16).reshape(parts, 2, 8)
    np.testing.assert_array_equal(ours, whole[:, 0].ravel())
    np.testing.assert_array_equal(theirs, whole[:, 1].ravel())
    mixed = rows_on(parallel, parts, 16, devices[1:8:2])  # a mesh that alternates between the processes
    np.testing.assert_array_equal(mixed, np.arange(parts * 16).reshape(-1, 2, 2)[:, 1].ravel())


def test_every_device_holds_its_rows_of_the_batch(resident: Experiment) -> None:
    data, parallel = resident.data, Parallel.over(8)
    order = np.random.default_rng(0).permutation(len(data.train))
    split = streamed(data).train
    feed = Feed(split, parallel, lambda step: order[16 * step :][:16], start=2, stop=4, size=16)
    for step in (2, 3):
        batch = feed.next(None)
        assert batch.arrays["image"].shape == (1, 16, *data.image_shape)
        for shard in batch.arrays["image"].addressable_shards:
            rows = order[16 * step :][:16][shard.index[1]]
            np.testing.assert_array_equal(shard.data[0], data.train["image"][rows])
    np.testing.assert_array_equal(feed.reread(0).arrays["label"][0], data.train["label"][order[:16]])
    feed.close()


def test_a_damaged_image_costs_itself_and_is_named(
    resident: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = streamed(resident.data, damaged=(7, 30))
    experiment = dataclasses.replace(resident, data=data, epochs=1)
    _, run = new_run(tmp_path / "run")
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        assert train(run, experiment).finished
    log = (run.path / "warnings.log").read_text(encoding="utf-8")
    assert data.test.corrupt == (7, 30)
    assert log.count("image 7 is damaged") == log.count("left out") - log.count("image 30 is damaged")

    rest = resident.data.test.take(np.delete(np.arange(50), [7, 30]))
    variables = create_state(resident).eval_variables
    parallel = Parallel.over(2)
    inference = Inference.of(resident)
    ours, theirs = (Evaluator(inference, split, parallel=parallel, batch_size=16) for split in (data.test, rest))
    (outputs, targets), (expected, labels) = ours.outputs(variables), theirs.outputs(variables)
    assert targets["label"].shape == (48,)
    np.testing.assert_array_equal(targets["label"], labels["label"])
    np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], atol=1e-6)
    assert ours(variables) == pytest.approx(theirs(variables), abs=1e-6)


def test_too_many_damaged_images_end_the_run_and_are_named(resident: Experiment, tmp_path: Path) -> None:
    data = streamed(resident.data, damaged=tuple(range(0, 100, 5)), max_corrupt=3)
    _, run = new_run(tmp_path / "run")
    message = r"\d examples cannot be read, more than max_corrupt=3: (image \d+(, )?){4,5}( and \d more)?. The last"
    with pytest.raises(ValueError, match=message):
        train(run, dataclasses.replace(resident, data=data))


def test_images_are_read_by_threads_not_by_processes(resident: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without worker processes, none can be killed, and none remains after a kill."""
    readers, read = set(), Memory.read

    def noted(self: Memory, index: int) -> dict[str, np.ndarray]:
        readers.add((os.getpid(), threading.get_ident()))
        return read(self, index)

    monkeypatch.setattr(Memory, "read", noted)
    split = streamed(resident.data, seconds=0.002).train
    with contextlib.closing(
        Feed(split, Parallel.over(1), lambda step: np.arange(16), start=0, stop=4, size=16)
    ) as feed:
        for _ in range(4):
            feed.next(None)
    assert {process for process, _ in readers} == {os.getpid()}
    assert len(readers) > 1 and threading.get_ident() not in {thread for _, thread in readers}


def test_waiting_for_slow_images_is_seen(resident: Experiment) -> None:
    waited = {}
    for seconds in (0.0, 0.002):
        split = streamed(resident.data, seconds=seconds).train
        feed = Feed(split, Parallel.over(1), lambda step: np.arange(16), start=0, stop=8, size=16)
        for _ in range(8):
            time.sleep(0.01 if seconds == 0.0 else 0.0)  # the expected time of a step
            feed.next(None)
        waited[seconds] = feed.waited
        feed.close()
    assert waited[0.002] > 0.02
    assert waited[0.0] < waited[0.002]


def test_where_a_batch_of_a_stream_went_wrong(stream: Experiment, tmp_path: Path) -> None:
    _, run = new_run(tmp_path / "run")
    spoilt = dataclasses.replace(
        stream, augment=lambda key, batch: {**batch, "image": batch["image"] / 0.0}, max_skipped=2
    )
    with pytest.raises(RunError, match=r"the first to go wrong is image of the batch, after prepare"):
        train(run, spoilt)


def test_a_stream_is_traced(stream: Experiment) -> None:
    assert dry_run(stream).step.shape == ()


def test_a_stream_and_pmap_do_not_go_together(stream: Experiment) -> None:
    with pytest.raises(ConfigError, match=r"take spelling='jit'"):
        open_input(stream, Parallel.over(8, spelling="pmap"), start=0)
