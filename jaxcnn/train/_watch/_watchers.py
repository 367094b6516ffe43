"""Calls the callbacks of a run, without waiting for the device and without letting their exceptions through."""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType, TracebackType
from typing import Any

from jaxcnn.train._reports import log
from jaxcnn.train._state import TrainState
from jaxcnn.train._watch._callback import Callback, RunInfo, Status

# The interval at which a callback that holds the run is called again.
POLL_SECONDS = 0.02

_RAISED = "the callback %s raised %s: %s. Training continues%s"


def check_callbacks(callbacks: Iterable[Any]) -> tuple[Callback, ...]:
    """The callbacks as a tuple, after their types are checked.

    Raises:
        TypeError: an entry is not an instance of ``Callback``, or its ``every`` is not an int; or a single callback is
            passed in place of a sequence.
        ValueError: its ``every`` is less than 1.
    """
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks: expected a list, got a {type(callbacks).__name__}. Write callbacks=[...].")
    callbacks = tuple(callbacks)  # the checks would exhaust a generator
    for each in callbacks:
        if not isinstance(each, Callback):
            what = f"the class {each.__name__}; call it" if isinstance(each, type) else f"a {type(each).__name__}"
            raise TypeError(f"callbacks: expected instances of train.Callback, got {what}.")
        if type(each.every) is not int:
            raise TypeError(f"{type(each).__name__}: every={each.every!r}: expected an int, a number of steps.")
        if each.every < 1:
            raise ValueError(f"{type(each).__name__}: every={each.every}: expected a number of steps, at least 1.")
    return callbacks


class Watchers:
    """The callbacks of one call of ``train_run``; its truth value is False if there are none.

    The arrays of a step are copied to the host while later steps run, and passed on once they have arrived.

    Attributes:
        held_seconds: the time for which callbacks have held the run.
    """

    def __init__(self, callbacks: Sequence[Callback], run: RunInfo) -> None:
        self._run, self._callbacks = run, list(callbacks)
        self._every = {id(each): each.every for each in callbacks if type(each).step is not Callback.step}
        self._warned: set[int] = set()
        self._pending: deque[tuple[int, dict[str, Any]]] = deque()
        self._step, self._ended = run.step, False
        self._lookers = [each for each in callbacks if type(each).looks is not Callback.looks]
        self._holders = [each for each in callbacks if type(each).holds is not Callback.holds]
        self.held_seconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def __enter__(self) -> "Watchers":
        for each in list(self._callbacks):
            if not self._call(each, functools.partial(each.start, self._run), " without it"):
                self._remove(each)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._ended:
            self.end("failed" if error is not None else "stopped", self._step)

    def before_step(self, step: int, state: TrainState, should_stop: Callable[[], bool]) -> None:
        """Lets callbacks look at the variables, and waits while one of them holds the run."""
        self._look(step, state)
        if not self._is_held(step):
            return
        self.flush()
        began = time.perf_counter()
        while self._is_held(step) and not should_stop():
            time.sleep(POLL_SECONDS)
            self._look(step, state)
        self.held_seconds += time.perf_counter() - began

    def _look(self, step: int, state: TrainState) -> None:
        for each in self._lookers:
            if self._result(each, functools.partial(each.looks, step)):
                shown = MappingProxyType(state.eval_variables)
                self._call(each, functools.partial(each.look, step, shown))

    def _is_held(self, step: int) -> bool:
        return any(self._result(each, functools.partial(each.holds, step)) for each in self._holders)

    def step(self, step: int, measures: dict[str, Any]) -> None:
        """Queues the loss and the metrics of a dispatched step, and passes on those that have arrived."""
        self._step = step
        if any(step % every == 0 for every in self._every.values()):
            for value in measures.values():
                value.copy_to_host_async()
            self._pending.append((step, measures))
        while self._pending and all(value.is_ready() for value in self._pending[0][1].values()):
            self._pass_on(*self._pending.popleft())

    def flush(self) -> None:
        """Waits for the steps that have not been passed on, and passes them on."""
        while self._pending:
            self._pass_on(*self._pending.popleft())

    def evaluation(self, record: dict[str, Any]) -> None:
        """Passes on the record of an epoch, after its steps."""
        self.flush()
        shown = MappingProxyType(dict(record))
        self._call_each(self._callbacks, lambda each: each.evaluation(shown))

    def end(self, status: Status, step: int) -> None:
        """Passes on how training ended."""
        self._ended = True
        if status != "failed":  # after an error the device may not respond
            self.flush()
        self._call_each(self._callbacks, lambda each: each.end(status, step))

    def _pass_on(self, step: int, measures: dict[str, Any]) -> None:
        epoch = (step - 1) // self._run.steps_per_epoch + 1
        figures = {f"batch/{name}": float(value) for name, value in measures.items()}
        record = MappingProxyType({"step": step, "epoch": epoch, **figures})
        due = [each for each in self._callbacks if step % self._every.get(id(each), step + 1) == 0]
        self._call_each(due, lambda each: each.step(record))

    def _call_each(self, callbacks: list[Callback], function: Callable[[Callback], None]) -> None:
        for each in callbacks:
            self._call(each, functools.partial(function, each))

    def _remove(self, callback: Callback) -> None:
        """Removes a callback, so that it is not called again."""
        for group in (self._callbacks, self._lookers, self._holders):
            if callback in group:
                group.remove(callback)

    def _result(self, callback: Callback, function: Callable[[], bool]) -> bool:
        """The result of a callback; False if it raises an exception."""
        results: list[bool] = []
        self._call(callback, lambda: results.append(function()))
        return bool(results and results[0])

    def _call(self, callback: Callback, function: Callable[[], object], without: str = "") -> bool:
        """Whether the function of a callback returned; the first exception of each callback is a warning."""
        try:
            function()
        except Exception as error:
            if id(callback) not in self._warned:
                self._warned.add(id(callback))
                log.warning(_RAISED, type(callback).__name__, type(error).__name__, error, without)
            return False
        return True
