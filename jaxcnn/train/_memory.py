"""Advice when the memory of a device does not suffice."""

import contextlib
from collections.abc import Iterator

import jax

from jaxcnn.train._errors import RunError


@contextlib.contextmanager
def memory_advice(batch_size: int) -> Iterator[None]:
    """Turns XLA's error about memory into advice about the batch.

    Raises:
        RunError: the memory of the device did not suffice.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0][:200]
        raise RunError(
            f"the device has too little memory for batches of {batch_size} examples ({reason}). "
            f"Try --set batch_size={max(batch_size // 2, 1)}, with a proportionally lower learning rate, more devices, "
            f"or --accumulate 2, which computes each batch in two parts."
        ) from error
