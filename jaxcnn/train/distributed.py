"""A run of several processes, each with its own devices: joining them, and what they have to agree upon."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcnn.train.errors import ConfigError


def join(
    coordinator: str | None = None,
    *,
    num_processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 100,
) -> None:
    """Makes this process one of a run; before anything else touches a device.

    Without arguments JAX finds out from Slurm, Open MPI, Kubernetes or the Cloud TPU who is who.

    Args:
        coordinator: ``HOST:PORT`` of process 0, which listens there.
        num_processes: how many there are.
        process_id: which this one is, from 0.
        heartbeat_seconds: when one has not been heard of for so long, JAX ends the others.

    Raises:
        ConfigError: only some of the arguments, a number out of range, or none and nothing to find out from.
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
            f"Say who is who: --coordinator HOST:PORT --num-processes N --process-id I."
        ) from error


def is_first() -> bool:
    """Whether this is the process that writes metrics and pictures, and draws the display: of one, that one.

    >>> is_first()
    True
    """
    return jax.process_index() == 0


def agreed(flag: bool) -> bool:
    """Whether any process says so: the same answer in all, which must all ask.

    >>> agreed(True), agreed(False)
    (True, False)
    """
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def wait_for_all(where: str) -> None:
    """Returns when every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)
