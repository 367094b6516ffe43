"""Validation examples that are training examples are found and named."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.train import fit
from jaxcnn.train._overlap import ENTRIES, shared
from tests.train.runs import Quiet
from tests.train.tiny import Config, build


def images(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), np.uint8)


def split(array: np.ndarray, label: int = 0) -> data.Split:
    return data.Split(image=array, label=np.full(len(array), label, np.int32))


def test_pairs_are_those_of_comparing_all_with_all() -> None:
    train, validation = images(40), images(20, seed=1)
    validation[[3, 11]], train[30] = train[[7, 7]], validation[0]
    validation[5] = train[9]
    validation[5, 4, 4] += 1  # one pixel differs
    expected = [(int(a), b) for b in range(20) for a in range(40) if np.array_equal(train[a], validation[b])]
    assert sorted(shared(split(train), split(validation, label=3))) == sorted(expected) and len(expected) == 3


def test_a_difference_between_the_entries_that_are_hashed_counts() -> None:
    size = 2 * int(ENTRIES**0.5)
    train = images(2, size=size)
    validation = train[:1].copy()
    assert shared(split(train), split(validation)) == [(0, 0)]
    validation[0, 0, 1] += 1  # only the first of four entries is hashed
    assert shared(split(train), split(validation)) == []


def test_arrays_other_than_labels_are_compared_where_there_are_no_images() -> None:
    series, label = np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1], np.int32)
    train = data.Split(series=series, label=label)
    assert shared(train, data.Split(series=series[[2]], label=label[[1]])) == [(2, 0)]
    assert shared(data.Split(label=label), data.Split(label=label)) == []


def test_a_run_says_so_and_one_without_shared_examples_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = build(Config(epochs=1))
    held = data.hold_out(experiment.data, one_in=5)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        fit(dataclasses.replace(experiment, data=held), tmp_path / "good", progress=Quiet())
        assert "validation" not in caplog.text
        validation = data.Split(
            **{name: np.concatenate([held.validation[name], held.train[name][[4, 6]]]) for name in ("image", "label")}
        )
        shares = dataclasses.replace(held, validation=validation)
        fit(dataclasses.replace(experiment, data=shares), tmp_path / "shares", progress=Quiet())
    assert (
        "2 of the 22 validation examples are in the training split too (the first is validation example 20, which is "
        "training example 4)."
    ) in caplog.text
