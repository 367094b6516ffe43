"""Trains in forked processes that are killed, and prints how it went.

`python -m tests.train.killed EXPERIMENT FOLDER KILLS SEED`

Everything is imported once, before JAX touches a device, so that a start costs a fork and a load of compiled programs.
"""

import functools
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxcnn.train import _epochs
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from tests.train.runs import train


def forked(work: Callable[[], object]) -> int:
    """Starts a forked process for the work; returns its id."""
    if process := os.fork():
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def create(folder: Path, experiment: Path, settings: dict[str, Any]) -> None:
    """Creates a run folder.

    Recording versions initialises the devices, which must not happen in a process that forks.
    """
    RunFolder.create(folder, load_experiment(experiment), settings)


def work(folder: Path, cache: Path, save_seconds: float = _epochs.SAVE_SECONDS) -> None:
    """Trains the run to its end; the last argument is the minimum time between the saves of two epochs."""
    _epochs.SAVE_SECONDS = save_seconds
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    run = RunFolder.open(folder)
    file, config = run.load_experiment()
    train(run, file.build(config))


def saving(run: RunFolder) -> bool:
    """Whether a checkpoint is being written at this moment."""
    return any(any((run.checkpoints / kind).glob(".writing-*")) for kind in ("last", "best"))


def recorded_more_than(run: RunFolder, lines: int) -> bool:
    """Whether more than this number of epochs is recorded."""
    return len(run.metrics.read()) > lines


def wait(process: int, condition: Callable[[], bool], seconds: float) -> bool:
    """Waits until the condition holds; False if the process ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        if os.waitpid(process, os.WNOHANG)[0] or time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


def main(experiment: Path, folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    settings = {"seed": 0, "epochs": 6 + 4 * kills, "batch_size": 16, "peak_lr": 0.02, "ema_decay": 0.9}
    whole, killed, cache = (folder / name for name in ("whole", "killed", "cache"))
    for place in (whole, killed):
        os.waitpid(forked(functools.partial(create, place, experiment, settings)), 0)
    statuses = [os.waitpid(forked(functools.partial(work, whole, cache)), 0)[1]]
    run = RunFolder(killed)
    done = in_save = 0
    for _ in range(kills):
        within_save = draw.random() < 0.5
        every_epoch = {"save_seconds": 0.0} if within_save else {}
        process = forked(functools.partial(work, killed, cache, **every_epoch))
        lines = len(run.metrics.read())
        if not wait(process, functools.partial(recorded_more_than, run, lines), 60):
            break
        if within_save:
            if not wait(process, lambda: saving(run), 20):
                break
            time.sleep(draw.uniform(0, 0.01))
        else:
            time.sleep(draw.uniform(0, 0.15))
        in_save += saving(run)
        os.kill(process, signal.SIGKILL)
        done += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    statuses.append(os.waitpid(forked(functools.partial(work, killed, cache)), 0)[1])
    print(json.dumps({"kills": done, "in_save": in_save, "statuses": statuses}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
