"""What to do when a device has no memory left."""

import contextlib
from collections.abc import Iterator

import jax

from jaxcnn.train._errors import RunError


@contextlib.contextmanager
def memory_advice(batch_size: int) -> Iterator[None]:
    """Turns XLA's error about memory into advice about the batch.

    Raises:
        RunError: the device's memory did not suffice inside.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0][:200]
        raise RunError(
            f"the device has too little memory for batches of {batch_size} examples ({reason}). "
            f"Try --set batch_size={max(batch_size // 2, 1)}, with the learning rate lowered alike, more devices, or "
            f"each batch in parts, one after the other, with --accumulate 2."
        ) from error
