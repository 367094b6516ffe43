"""The input of each step: the training split, resident on the devices, or a batch of a stream, placed in advance."""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxcnn.data import Batch, StreamedSplit
from jaxcnn.train._devices import WHOLE, Parallel
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._step import epoch_order

# Batches on the devices or on their way there, in addition to the one that is computed. A step starts only when the
# step this number before it is done; otherwise batches would accumulate on the devices.
AHEAD = 2


class Placed(NamedTuple):
    """A ``Batch`` on the devices, its leading axis split into parts for gradient accumulation."""

    arrays: dict[str, jax.Array]
    good: jax.Array


def rows_on(parallel: Parallel, parts: int, rows: int, devices: Iterable[jax.Device] | None = None) -> np.ndarray:
    """The indices of the images of a batch on the given devices, in order; by default the devices of this process.

    A batch of ``parts * rows`` images is cut into parts, and each part is split over all devices.

    >>> rows_on(Parallel.over(1), 1, 4)
    array([0, 1, 2, 3])
    """
    sharding = _sharding(parallel)
    wanted = set(sharding.addressable_devices if devices is None else devices)
    held = {
        row
        for device, (_, rows_of) in sharding.devices_indices_map((parts, rows)).items()
        if device in wanted
        for row in range(*rows_of.indices(rows))
    }
    return (np.arange(parts)[:, None] * rows + np.array(sorted(held))).ravel()


def _sharding(parallel: Parallel) -> NamedSharding:
    return NamedSharding(parallel.mesh, PartitionSpec(None, *parallel.split))


class Feed:
    """The batches of a stream from one step to another, read, decoded and placed by threads.

    With several processes, each reads the images of its own devices. Use in ``contextlib.closing``.

    Attributes:
        waited: seconds in which the devices had nothing to do because the next batch was not there.
    """

    def __init__(
        self,
        split: StreamedSplit,
        parallel: Parallel,
        indices: Callable[[int], np.ndarray],
        *,
        start: int,
        stop: int,
        size: int,
        parts: int = 1,
        replace: bool = True,
    ) -> None:
        self._sharding, self._shape = _sharding(parallel), (parts, size // parts)
        here = rows_on(parallel, parts, size // parts)
        self._here = lambda step: indices(step)[here]
        self._split, self._replace = split, replace
        self._batches = split.batches(self._here, start, stop, replace=replace)
        self._left = stop - start
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._pending: deque[Future[Placed]] = deque()
        self._running: deque[Any] = deque()
        self.waited = 0.0
        for _ in range(AHEAD):
            self._request_batch()

    def _request_batch(self) -> None:
        if self._left:
            self._left -= 1
            self._pending.append(self._thread.submit(lambda: self._place(next(self._batches))))

    def _place(self, batch: Batch) -> Placed:
        def placed(array: np.ndarray) -> jax.Array:
            local = array.reshape(self._shape[0], -1, *array.shape[1:])
            return jax.make_array_from_process_local_data(self._sharding, local, (*self._shape, *array.shape[1:]))

        return Placed({name: placed(array) for name, array in batch.arrays.items()}, placed(batch.good))

    def next(self, running: Any) -> Placed:
        """The next batch; ``running`` is what the devices were last given to compute."""
        self._running.append(running)
        if len(self._running) > AHEAD:
            jax.block_until_ready(self._running.popleft())
        future = self._pending.popleft()
        if not future.done():
            jax.block_until_ready(running)  # only from here on do the devices wait
            start = time.perf_counter()
            future.exception()
            self.waited += time.perf_counter() - start
        self._request_batch()
        return future.result()

    def reread(self, step: int) -> Placed:
        """The batch of any step, read from its source."""
        return self._place(self._split.read(self._here(step), replace=self._replace))

    def close(self) -> None:
        """Ends the threads; what they have read is dropped."""
        self._thread.shutdown(cancel_futures=True)
        self._batches.close()


class Input(Protocol):
    """Where a step's arrays come from, in the form in which ``train_step`` takes them."""

    @property
    def waited(self) -> float:
        """Seconds in which the devices waited for examples."""

    def shapes(self) -> dict[str, Any]:
        """The arrays, or their shapes, to compile a step for."""

    def next(self, running: Any) -> dict[str, jax.Array]:
        """The arrays for the next step; ``running`` is what the devices were last given to compute."""

    def reread(self, step: int) -> dict[str, jax.Array]:
        """The arrays of a step that has been computed."""

    def close(self) -> None:
        """Ends the threads."""


class Resident:
    """The whole training split on every device: a step picks its own examples there."""

    waited = 0.0

    def __init__(self, experiment: Experiment, parallel: Parallel) -> None:
        train: Any = experiment.data.train
        self._arrays: dict[str, jax.Array] = parallel.replicate(train.arrays)

    def shapes(self) -> dict[str, Any]:
        """The arrays themselves."""
        return self._arrays

    def next(self, running: Any) -> dict[str, jax.Array]:
        """The arrays, which hold all examples."""
        return self._arrays

    def reread(self, step: int) -> dict[str, jax.Array]:
        """The arrays, which hold all examples."""
        return self._arrays

    def close(self) -> None:
        """There is nothing to end."""


class Streamed:
    """The training examples of a stream, from a step on, in the order that resident ones would have.

    Raises:
        ConfigError: the step is a ``pmap``, which takes no batches that are split already.
    """

    def __init__(self, experiment: Experiment, parallel: Parallel, *, start: int) -> None:
        if parallel.spelling == "pmap":
            raise ConfigError("images that are streamed are split before the step; take spelling='jit' for them.")
        split: Any = experiment.data.train
        # Each process draws the whole order, since the threads of several processes cannot synchronise a joint draw.
        draw = jax.jit(functools.partial(epoch_order, experiment))
        order = functools.lru_cache(maxsize=2)(lambda epoch: np.asarray(draw(np.int32(epoch))))
        self._shapes = input_structs(experiment, parallel)
        steps = experiment.steps_per_epoch
        self._feed = Feed(
            split,
            parallel,
            lambda step: order(step // steps)[step % steps],
            start=start,
            stop=experiment.total_steps,
            size=experiment.batch_size,
            parts=parallel.accumulate,
        )

    @property
    def waited(self) -> float:
        """Seconds in which the devices waited for a batch."""
        return self._feed.waited

    def shapes(self) -> dict[str, Any]:
        """The shapes of one batch."""
        return self._shapes

    def next(self, running: Any) -> dict[str, jax.Array]:
        """The batch of the next step."""
        return self._feed.next(running).arrays

    def reread(self, step: int) -> dict[str, jax.Array]:
        """The batch of a step, read once more."""
        return self._feed.reread(step).arrays

    def close(self) -> None:
        """Ends the threads."""
        self._feed.close()


def input_structs(experiment: Experiment, parallel: Parallel) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, dtypes and shardings of the arrays that a step reads."""
    train, parts = experiment.data.train, parallel.accumulate
    there = (parts, experiment.batch_size // parts) if experiment.streams else (len(train),)
    place = PartitionSpec(None, *parallel.split) if experiment.streams else WHOLE
    return parallel.structs({name: ((*there, *shape), dtype) for name, (shape, dtype) in train.fields.items()}, place)


def open_input(experiment: Experiment, parallel: Parallel, *, start: int) -> Input:
    """The input of the training steps from ``start`` on."""
    if experiment.streams:
        return Streamed(experiment, parallel, start=start)
    return Resident(experiment, parallel)
