"""Checkpoints that are damaged or do not fit the run."""

import dataclasses
import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn.train._checkpoints import _reading as checkpoint
from jaxcnn.train._checkpoints import _saving as saving
from jaxcnn.train._checkpoints._checksums import check_seal, checksums, seal
from jaxcnn.train._checkpoints._reading import restore, resume, saved
from jaxcnn.train._checkpoints._saving import open_checkpoints
from jaxcnn.train._errors import DamageError, RunError
from jaxcnn.train._state import TrainState
from tests.train.runs import assert_same, final_state, new_run, train, without_seconds
from tests.train.states import array_file, flip_bit, save_steps, state_at


def truncate(step: Path) -> None:
    os.truncate(array_file(step), array_file(step).stat().st_size // 2)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit_flipped_early": (
        lambda step: flip_bit(array_file(step), share=0.2),
        r"checksum of .*(kernel|opt_state)|state",
    ),
    "bit_flipped_late": (lambda step: flip_bit(array_file(step), share=0.8), r"checksum of|state cannot"),
    "file_truncated": (truncate, r"state cannot be read"),
    "file_missing": (lambda step: array_file(step).unlink(), r"state cannot be read"),
    "arrays_missing": (lambda step: shutil.rmtree(step / "state"), r"2/state is missing"),
    "record_missing": (lambda step: (step / "record.json").unlink(), r"2/record.json is missing"),
    "record_emptied": (
        lambda step: (step / "record.json").write_text("", encoding="utf-8"),
        r"2/record.json cannot be read",
    ),
    "record_garbage": (lambda step: (step / "record.json").write_bytes(b"\xff{]"), r"2/record.json cannot be read"),
    "record_deep": (
        lambda step: (step / "record.json").write_text("[" * 100000, encoding="utf-8"),
        r"2/record.json cannot be read",
    ),
    "record_flipped": (lambda step: flip_bit(step / "record.json", share=0.5), r"record(.json cannot| of checksums)"),
    "record_foreign": (
        lambda step: (step / "record.json").write_text("[1]", encoding="utf-8"),
        r"record has no checksum",
    ),
    "metadata_garbage": (
        lambda step: (step / "state/_METADATA").write_text("{nonsense", encoding="utf-8"),
        r"state cannot be read",
    ),
    "manifest_missing": (lambda step: (step / "state/manifest.ocdbt").unlink(), r"state cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named_and_the_one_before_is_used(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage, message = DAMAGES[name]
    save_steps(tmp_path, 1, 2)
    damage(tmp_path / "last/2")
    resumed = resume(tmp_path, state_at(0), {})
    assert resumed is not None
    assert_same(resumed.state, state_at(1))
    assert "the last checkpoint of step 2 is damaged" in caplog.text
    assert "using the last checkpoint of step 1 instead" in caplog.text
    assert re.search(message, caplog.text), caplog.text
    assert (tmp_path / "damaged/last-2").is_dir()
    assert [one.step for one in saved(tmp_path, ["last"])] == [1]


def test_every_byte_counts(tmp_path: Path) -> None:
    """A bit flipped anywhere in the file of arrays gives an error or the correct numbers, never wrong numbers."""
    save_steps(tmp_path, 2)
    file = array_file(tmp_path / "last/2")
    whole = file.read_bytes()
    found = 0
    for share in np.random.default_rng(0).uniform(size=12):
        flip_bit(file, share=share)
        try:
            assert_same(restore(tmp_path, "last", state_at(0)), state_at(2))
        except RunError:
            found += 1
        file.write_bytes(whole)
    assert found >= 10
    assert_same(restore(tmp_path, "last", state_at(0)), state_at(2))


def test_none_good_lists_what_is_wrong_with_each(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    truncate(tmp_path / "last/1")
    (tmp_path / "last/2/record.json").unlink()
    expected = (
        r"(?s)no checkpoint .* can be used:\n.*step 2 is damaged: .*record.json is missing\n.*step 1 is damaged: .*read"
    )
    with pytest.raises(RunError, match=expected):
        resume(tmp_path, state_at(0), {})


def test_the_best_stands_in_for_the_last(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, kind="best")
    save_steps(tmp_path, 2)
    truncate(tmp_path / "last/2")
    assert_same(restore(tmp_path, "last", state_at(0)), state_at(1))
    truncate(tmp_path / "best/1")
    save_steps(tmp_path, 3)
    with pytest.raises(RunError, match=r"step 1 is damaged.*\n.*Try --checkpoint last"):
        restore(tmp_path, "best", state_at(0))


MOVES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "renamed to a later step": (
        lambda mine, other: (mine / "last/2").rename(mine / "last/9999"),
        r"last/9999 holds the last checkpoint of step 2; it was renamed or copied",
    ),
    "steps swapped": (
        lambda mine, other: [(mine / f"last/{a}").rename(mine / f"last/{b}") for a, b in ((2, 0), (1, 2), (0, 1))],
        r"last/2 holds the last checkpoint of step 1",
    ),
    "another kind": (
        lambda mine, other: shutil.copytree(mine / "last/2", mine / "best/2"),
        r"best/2 holds the last checkpoint of step 2",
    ),
    "another run": (
        lambda mine, other: shutil.copytree(other / "last/3", mine / "last/3"),
        r"last/3 belongs to another run \(its identity is theirs, not ours\)",
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_a_checkpoint_that_was_renamed_or_copied_is_not_believed(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine, other = (tmp_path / run / "checkpoints" for run in ("ours", "theirs"))
    for folder, steps in ((mine, (1, 2)), (other, (3,))):
        folder.parent.mkdir()
        about = {"run": folder.parent.name, "experiment": "tiny", "experiment_file": "tiny.py"}
        (folder.parent / "config.json").write_text(json.dumps(about), encoding="utf-8")
        with open_checkpoints(folder, {"run": folder.parent.name}) as checkpoints:
            for step in steps:
                checkpoints.save("last", state_at(step))
    move, message = MOVES[name]
    move(mine, other)
    if name == "steps swapped":  # neither step matches the name of its folder
        with pytest.raises(RunError, match=message):
            resume(mine, state_at(0), {})
        return
    resumed = resume(mine, state_at(0), {})
    assert resumed is not None
    assert_same(resumed.state, state_at(1 if name.startswith("renamed") else 2))
    assert re.search(message, caplog.text), caplog.text
    with open_checkpoints(mine, {"run": "ours"}) as checkpoints:
        checkpoints.save("last", state_at(4))
    assert int(restore(mine, "last", state_at(0)).step) == 4


def test_what_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    """A folder with the name of a save in progress stays too: only checkpoints of the run are deleted."""
    names = ["notes", "7.tmp", "007", "-1", "\N{FULLWIDTH DIGIT ONE}"]
    save_steps(tmp_path, 1)
    for name in names:
        (tmp_path / "last" / name).mkdir()
    with open_checkpoints(tmp_path) as checkpoints:
        (tmp_path / "last/9999").mkdir()
        for step in (2, 3, 4):
            checkpoints.save("last", state_at(step))
    assert sorted(path.name for path in (tmp_path / "last").iterdir()) == sorted([*names, "3", "4", "9999"])


def test_damage_that_cannot_be_moved_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason may be another disk, to which a rename is not possible."""
    save_steps(tmp_path, 1, 2)
    truncate(tmp_path / "last/2")

    def rename(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", rename)
    message = r"damaged checkpoint .*last/2 cannot be moved to .*damaged: Invalid cross-device link\. Move it out of"
    with pytest.raises(RunError, match=message):
        resume(tmp_path, state_at(0), {})
    assert (tmp_path / "last/2").is_dir()


def test_a_second_damage_of_a_step_keeps_the_first(tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    for _ in range(2):
        save_steps(tmp_path, 2)
        truncate(tmp_path / "last/2")
        resume(tmp_path, state_at(0), {})
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == ["last-2", "last-2-2"]


@pytest.mark.gate  # takes a whole run twice; the tests above cover each kind of damage
def test_a_damaged_run_ends_like_a_whole_one(tmp_path: Path) -> None:
    """The run continues from the previous epoch, its metrics are truncated there, and the warning is in a file."""
    file, whole = new_run(tmp_path / "whole")
    experiment = file.build(file.config_class())
    train(whole, experiment)
    _, run = new_run(tmp_path / "damaged")
    train(run, experiment, stop_after=12)
    for kind in ("last", "best"):
        if (step := run.checkpoints / kind / "12").is_dir():
            flip_bit(array_file(step), share=0.5)
    assert train(run, experiment).finished
    assert without_seconds(run) == without_seconds(whole)
    assert_same(final_state(run, experiment), final_state(whole, experiment))
    assert "checkpoint of step 12 is damaged" in (run.path / "warnings.log").read_text(encoding="utf-8")


@pytest.mark.gate
def test_a_long_epoch_is_saved_within(tmp_path: Path) -> None:
    file, run = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())
    seen: list[int] = []
    original = saving.Checkpoints.save

    def save(self: saving.Checkpoints, kind: str, state: TrainState) -> None:
        seen.append(int(state.step))
        original(self, kind, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.Checkpoints, "save", save)
        train(run, experiment, stop_after=5, checkpoint_minutes=0.0)
    assert set(seen) >= {1, 2, 3, 4, 5}
    assert len(saved(run.checkpoints, ["last"])) == 2


def test_another_batch_seed_or_image_is_refused(tmp_path: Path) -> None:
    """A difference in one pixel is enough; the run does not change after the error."""
    file, run = new_run(tmp_path / "run")
    experiment = file.build(file.config_class())
    train(run, experiment, stop_after=2)
    with pytest.raises(RunError, match=r"with batch_size 16, but this run has 20"):
        train(run, dataclasses.replace(experiment, batch_size=20))
    with pytest.raises(RunError, match=r"with seed 0, but this run has 7"):
        train(run, dataclasses.replace(experiment, seed=7))
    images = experiment.data.train["image"].copy()
    images[0, 0, 0, 0] ^= 1
    other = dataclasses.replace(experiment.data, train=experiment.data.train.replace(image=images))
    with pytest.raises(RunError, match=r"with dataset [0-9a-f]{64}, but this run has [0-9a-f]{64}: its place in the"):
        train(run, dataclasses.replace(experiment, data=other))
    assert train(run, experiment).finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.replace(params={"conv": {"kernel": jnp.zeros((64, 50))}}),
            r"does not fit this model: params/conv/kernel is float32\[64, 40\] there but float32\[64, 50\] here",
        ),
        (
            lambda state: state.replace(collections={"batch_stats": {"mean": jnp.zeros(24, jnp.float32)}}),
            r"collections/batch_stats/mean is bfloat16\[24\] there but float32\[24\] here",
        ),
        (
            lambda state: state.replace(params=state.params | {"head": jnp.zeros(3)}),
            r"params/head was not saved",
        ),
        (lambda state: state.replace(collections={}), r"batch_stats/mean is not in this model"),
        (lambda state: state.replace(ema_params=state.params), r"ema_params/conv/kernel was not saved"),
    ],
)
def test_a_model_that_does_not_fit_names_the_array(
    change: Callable[[TrainState], TrainState], message: str, tmp_path: Path
) -> None:
    save_steps(tmp_path, 1, 2)
    with pytest.raises(RunError, match=message):
        restore(tmp_path, "last", change(state_at(0)))


def test_from_eight_devices_to_one_and_back(tmp_path: Path) -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))

    def place(leaf: jax.Array) -> jax.Array:
        return jax.device_put(leaf, split if leaf.ndim and leaf.shape[0] % 8 == 0 else whole)

    spread = jax.tree.map(place, state_at(1))
    assert checksums(spread) == checksums(state_at(1))
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save("last", spread)
    alone = restore(tmp_path, "last", state_at(0))
    assert_same(alone, state_at(1))
    assert len(alone.params["conv"]["kernel"].sharding.device_set) == 1
    again = restore(tmp_path, "last", jax.tree.map(place, state_at(0)))
    assert_same(again, state_at(1))
    assert again.params["conv"]["kernel"].sharding == split


def test_a_seal_shows_any_change() -> None:
    record = seal({"format": 1, "arrays": {"a": {"shape": [3]}}})
    assert check_seal(json.loads(json.dumps(record))) == {"format": 1, "arrays": {"a": {"shape": [3]}}}
    with pytest.raises(DamageError, match="damaged itself"):
        check_seal(record | {"format": 2})


def test_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_steps(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT - 1)
    with pytest.raises(RunError, match=r"was written by a later jaxcnn; update this one"):
        restore(tmp_path, "last", state_at(0))
