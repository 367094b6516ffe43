"""A run of several processes, each with its own devices: joining them, and comparing values that must be equal."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcnn.train._errors import ConfigError, RunError


def join_processes(
    coordinator: str | None = None,
    *,
    num_processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 100,
) -> None:
    """Makes this process one of several that train a run; call it before anything else uses a device.

    Without arguments JAX takes the number and addresses of the processes from Slurm, Open MPI, Kubernetes or the
    Cloud TPU. Afterwards each process calls ``fit`` with the same arguments.

    Args:
        coordinator: ``HOST:PORT`` of process 0, which listens there.
        num_processes: the number of processes.
        process_id: the number of this process, from 0.
        heartbeat_seconds: the time without a message from one process after which JAX ends the others.

    Raises:
        ConfigError: only some of the first three arguments are given, a number is out of range, or none are given and
            JAX finds no cluster.

    >>> join_processes("localhost:1234", num_processes=2, process_id=2)
    Traceback (most recent call last):
    jaxcnn.train._errors.ConfigError: join_processes: --process-id 2: of 2 processes the ids are 0 to 1.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is None for value in given) != all(value is None for value in given):
        raise ConfigError("--coordinator HOST:PORT, --num-processes N and --process-id I go together: give all three.")
    if num_processes is not None and process_id is not None and not 0 <= process_id < num_processes:
        raise ConfigError(
            f"--process-id {process_id}: of {num_processes} processes the ids are 0 to {num_processes - 1}."
        )
    if heartbeat_seconds < 1:
        raise ConfigError(f"--heartbeat {heartbeat_seconds}: processes are waited for at least one second.")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, heartbeat_timeout_seconds=heartbeat_seconds)
    except ValueError as error:
        if coordinator is not None:
            raise
        raise ConfigError(
            f"--distributed: JAX finds no Slurm, Open MPI, Kubernetes or Cloud TPU here ({error}). "
            f"Pass the addresses: --coordinator HOST:PORT --num-processes N --process-id I."
        ) from error


def is_first() -> bool:
    """Whether this process writes metrics and pictures and shows the display; true if it is the only process.

    >>> is_first()
    True
    """
    return jax.process_index() == 0


def agreed(flag: bool) -> bool:
    """Whether the argument is true in any process. Every process must call this, and all get the same result.

    >>> agreed(True), agreed(False)
    (True, False)
    """
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


@contextlib.contextmanager
def together(doing: str) -> Iterator[dict[str, Any]]:
    """A part of the work that is finished by all processes or by none; all processes enter and leave it.

    What the processes write into the dictionary has to be equal in all of them. Inside, no process waits for another.

    Args:
        doing: what is done inside, to follow "could not".

    Raises:
        RunError: another process had an error inside, which is named.
        ConfigError: the dictionaries differ; names each difference.
    """
    described: dict[str, Any] = {}
    if jax.process_count() == 1:
        yield described
        return
    try:
        yield described
    except Exception as error:
        _gather({"error": str(error) or type(error).__name__})
        raise
    answers = _gather({"described": described})
    for process, answer in enumerate(answers):
        if "error" in answer:
            raise RunError(f"process {process} could not {doing}: {answer['error']}")
    if differing := differences([answer["described"] for answer in answers]):
        raise ConfigError(
            f"the processes of this run were not given the same: {'; '.join(differing)}. Start all of them with the "
            f"same command, the same files and the same versions."
        )


def differences(records: list[dict[str, Any]]) -> list[str]:
    """The entries that are not equal in all records, each as a phrase.

    >>> differences([{"seed": 0, "epochs": 3}, {"seed": 1, "epochs": 3}])
    ['seed is 0 in process 0 and 1 in process 1']
    """
    found = []
    for name in dict.fromkeys(name for record in records for name in record):
        by_value: dict[str, list[str]] = {}
        for process, record in enumerate(records):
            by_value.setdefault(str(record.get(name, "not set")), []).append(str(process))
        if len(by_value) > 1:
            named = [f"{value} in process{'es' * (len(at) > 1)} {', '.join(at)}" for value, at in by_value.items()]
            found.append(f"{name} is {' and '.join(named)}")
    return found


def _gather(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of all processes, in their order."""
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    lengths = np.ravel(multihost_utils.process_allgather(np.asarray(len(text), np.int32)))
    texts = multihost_utils.process_allgather(np.pad(text, (0, int(lengths.max()) - len(text))))
    return [json.loads(bytes(row[:length])) for row, length in zip(texts, lengths, strict=True)]


def wait_for_all(where: str) -> None:
    """Returns when every process has called this."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)
