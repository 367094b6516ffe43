"""States without a model, for tests that save, find and damage checkpoints."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcnn.train import RunFolder
from jaxcnn.train._checkpoints._reading import restore
from jaxcnn.train._checkpoints._saving import open_checkpoints
from jaxcnn.train._state import TrainState, create_state


def state_at(step: int, *, rows: int = 64) -> TrainState:
    """A state without a model, whose arrays are random and differ from step to step."""
    draw = np.random.default_rng(step)
    return TrainState(
        step=jnp.int32(step),
        params={"conv": {"kernel": jnp.asarray(draw.normal(size=(rows, 40)), jnp.float32)}},
        collections={"batch_stats": {"mean": jnp.asarray(draw.normal(size=24), jnp.bfloat16)}},
        opt_state=(jnp.asarray(draw.normal(size=(rows, 40)), jnp.float32),),
        ema_params=None,
        loss_sum=jnp.float32(draw.normal()),
        metric_sums={"accuracy": jnp.float32(1)},
        taken=jnp.int32(1),
        skipped=jnp.int32(0),
        skipped_in_row=jnp.int32(0),
        loss_scale=None,
    )


def save_steps(folder: Path, *steps: int, kind: str = "last", **origin: Any) -> None:
    with open_checkpoints(folder, {"origin": origin}) as checkpoints:
        for step in steps:
            checkpoints.save(kind, state_at(step))


def last_state(run: RunFolder) -> TrainState:
    """The state of the last checkpoint of a run of an experiment file."""
    file, config = run.load_experiment()
    return restore(run.checkpoints, "last", create_state(file.build(config)))


def array_file(step_folder: Path) -> Path:
    """The largest file, which contains arrays."""
    return max((path for path in step_folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_bit(path: Path, *, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 0x10
    path.write_bytes(data)
