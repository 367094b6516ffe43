"""One step on many devices: a mesh, the spelling of the step, and the scope of batch statistics."""

import contextlib
import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxcnn._errors import check_choice
from jaxcnn.nn import batch_norm_axis
from jaxcnn.train._distributed import together
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._part_keys import part_key
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import TrainState
from jaxcnn.train._step import Gradient, GradientFunction, train_step

Spelling = Literal["jit", "shard_map", "pmap"]
Scope = Literal["global", "per_device"]
# Smaller arrays are replicated even with ``fsdp``: gathering them costs more than storing them on every device.
SPLIT_FROM = 4096
WHOLE = PartitionSpec()

# (state, arrays, order) -> (state, metrics)
Step = Callable[[TrainState, dict[str, jax.Array], jax.Array], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parallel:
    """How a training step is split over devices.

    A batch is split evenly over all axes of the mesh; parameters are replicated on every device. Loss, gradients,
    random draws and, with ``batch_stats="global"``, batch statistics are those of the whole batch. So runs with
    different numbers of devices or different spellings differ only by the rounding of sums. There are two exceptions:
    ``batch_stats="per_device"``, and losses that compare the examples of a batch with each other. Such a loss compares
    only the examples of one device under ``"shard_map"``, ``"pmap"`` and ``batch_stats="per_device"``, and all examples
    under ``"jit"``.

    Attributes:
        mesh: the devices; axes of type Auto or Explicit. ``jax.make_mesh((8,), ("data",))``, or ``Parallel.over(8)``.
        spelling: how the step is written. With ``"jit"``, XLA partitions the program. With ``"shard_map"``, every
            device computes loss and gradient of its part of the batch, and JAX sums them. ``"pmap"`` is the same
            through ``jax.pmap`` (in one process; each device prepares the whole batch and takes its part).
        batch_stats: ``"global"`` normalises over the whole batch (synchronised batch norm). ``"per_device"``
            normalises over each device's part and averages the running statistics; with ``"jit"`` it is computed by a
            ``shard_map``.
        accumulate: the number of parts of a batch, computed one after the other. Each part is normalised separately,
            updates the running statistics, and draws its own augmentation.
        fsdp: splits large parameters, their averages and the optimizer's state over the devices, too; each step
            gathers the parameters.

    Raises:
        ValueError: an unknown spelling or scope, or a combination that does not exist.

    >>> Parallel.over(1).devices
    1
    """

    mesh: Mesh
    spelling: Spelling = "jit"
    batch_stats: Scope = "global"
    accumulate: int = 1
    fsdp: bool = False

    def __post_init__(self) -> None:
        check_choice(self.spelling, get_args(Spelling), name="spelling")
        check_choice(self.batch_stats, get_args(Scope), name="batch_stats")
        if self.accumulate < 1:
            raise ConfigError(f"accumulate={self.accumulate}: a batch has at least one part.")
        if self.spelling == "pmap" and self.fsdp:
            raise ConfigError("pmap holds every parameter on every device; use spelling='jit' for fsdp.")
        if self.spelling == "pmap" and jax.process_count() > 1:
            raise ConfigError("pmap is for one process; take spelling='jit' or 'shard_map' for several.")

    @staticmethod
    def over(devices: int | None = None, **options: Any) -> "Parallel":
        """The first devices, or all, as a mesh of one axis named ``data``; options as for ``Parallel``.

        Raises:
            ConfigError: there are fewer devices.
        """
        there = jax.devices()
        count = len(there) if devices is None else devices
        if not 1 <= count <= len(there):
            raise ConfigError(
                f"devices={devices}: there are {len(there)} here ({there[0].platform}). To try more on a CPU: "
                f"JAX_NUM_CPU_DEVICES={max(count, 2)} in the environment."
            )
        if jax.process_count() > 1 and count != len(there):
            raise ConfigError(f"devices={devices}: a run of {jax.process_count()} processes takes all {len(there)}.")
        return Parallel(mesh=Mesh(np.asarray(there[:count]), ("data",)), **options)

    @staticmethod
    def of_run(run: RunFolder | None, **options: Any) -> "Parallel":
        """The devices and options that a run was started with; one device without a run, all of several processes.

        Args:
            run: the run.
            options: what differs: ``devices``, where None is all, and options as for ``Parallel``.

        Raises:
            RunError: the record of the run is damaged.
            ConfigError: there are fewer devices.
        """
        recorded = {"devices": 1} if run is None else {"devices": 1} | run.devices()
        several = {"devices": None} if jax.process_count() > 1 else {}
        return Parallel.over(**(recorded | several | options))

    @property
    def devices(self) -> int:
        """The number of devices."""
        return self.mesh.size

    @property
    def settings(self) -> dict[str, Any]:
        """The number of devices and the options, as a run folder records them.

        >>> Parallel.over(1).settings
        {'devices': 1, 'spelling': 'jit', 'batch_stats': 'global', 'accumulate': 1, 'fsdp': False}
        """
        return {name: getattr(self, name) for name in ("devices", "spelling", "batch_stats", "accumulate", "fsdp")}

    @property
    def split(self) -> PartitionSpec:
        """The first axis of an array, the batch, over all axes of the mesh."""
        return PartitionSpec(self.mesh.axis_names)

    def check(self, batch_size: int) -> None:
        """Refuses a batch that cannot be split evenly.

        Raises:
            ConfigError: the batch cannot be split evenly.
        """
        parts = self.devices * self.accumulate
        if batch_size % parts:
            near = max(batch_size // parts, 1) * parts
            times = f" and {self.accumulate} parts one after the other" if self.accumulate > 1 else ""
            raise ConfigError(
                f"a batch of {batch_size} examples cannot be split evenly over {self.devices} devices{times}; "
                f"take a batch_size of {near} or {near + parts}."
            )

    def specs(self, tree: Any) -> Any:
        """The shardings of a state: replicated; with ``fsdp`` large arrays are split along their longest axis."""
        return jax.tree.map(lambda leaf: self._spec(leaf.shape), tree)

    def _spec(self, shape: tuple[int, ...]) -> PartitionSpec:
        fits = [axis for axis, size in enumerate(shape) if size % self.devices == 0]
        if not self.fsdp or math.prod(shape) < SPLIT_FROM or not fits:
            return WHOLE
        longest = max(fits, key=lambda axis: shape[axis])
        return PartitionSpec(*(self.mesh.axis_names if axis == longest else None for axis in range(len(shape))))

    def place(self, tree: Any) -> Any:
        """Places a state, which is equal in all processes, on the mesh."""
        return jax.tree.map(self._put, tree, self.specs(tree))

    def template(self, tree: Any) -> Any:
        """Shapes, types and shardings of a state, to restore a checkpoint into."""

        def placed(leaf: Any, spec: PartitionSpec) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(self.mesh, spec))

        return jax.tree.map(placed, tree, self.specs(tree))

    def structs(
        self, fields: Mapping[str, tuple[tuple[int, ...], Any]], spec: PartitionSpec
    ) -> dict[str, jax.ShapeDtypeStruct]:
        """Arrays of some shapes and dtypes, by name, all placed alike."""
        sharding = NamedSharding(self.mesh, spec)
        return {name: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for name, (shape, dtype) in fields.items()}

    def replicate(self, tree: Any) -> Any:
        """Replicates arrays, which are equal in all processes, on every device."""
        return jax.tree.map(lambda leaf: self._put(leaf, WHOLE), tree)

    def _put(self, array: Any, spec: PartitionSpec) -> jax.Array:
        sharding = NamedSharding(self.mesh, spec)
        if jax.process_count() == 1:
            return jax.device_put(array, sharding)
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    def jit(self, function: Callable[..., Any], *, results: Any = WHOLE, **options: Any) -> Any:
        """``jax.jit`` with the given shardings of its results; inside, the axes of the mesh are of type Auto.

        Flax's dropout does not support Explicit axes, so models receive Auto axes. Call or lower the result under
        ``self.context()``.
        """
        if AxisType.Explicit in self.mesh.axis_types:
            function = jax.sharding.auto_axes(function, out_sharding=results)
        placed = jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), results)
        return jax.jit(function, out_shardings=placed, **options)

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which the mesh is JAX's current mesh, if it has several devices."""
        return jax.set_mesh(self.mesh) if self.devices > 1 else contextlib.nullcontext()

    def constrain(self, tree: Any, specs: Any) -> Any:
        """Constrains the shardings of arrays inside a program."""
        if self.devices == 1:
            return tree
        return jax.tree.map(lax.with_sharding_constraint, tree, specs)


def compile_step(
    experiment: Experiment, parallel: Parallel, state: TrainState, arrays: dict[str, Any], order: jax.Array
) -> Step:
    """``train_step`` for the devices, compiled ahead of time; its first argument is donated.

    Raises:
        ConfigError: the batch cannot be split evenly, or the processes have traced different steps.
    """
    parallel.check(experiment.batch_size)
    if parallel.spelling == "pmap":
        return _compile_pmap(experiment, parallel, state, arrays, order)
    with parallel.context():
        lowered = lowered_step(experiment, parallel, state, arrays, order)
    with together("trace the training step") as same:
        if jax.process_count() > 1:  # printing the program takes a while
            digest = hashlib.sha256(lowered.as_text().encode()).hexdigest()[:16]
            same["the program of a step (objective, augmentation, optimizer)"] = digest
    return lowered.compile()


def host_temporaries(step: Step, parallel: Parallel) -> int:
    """The bytes of host memory that a compiled step allocates and frees; 0 on accelerators, and with ``pmap``."""
    analysis = getattr(step, "memory_analysis", None)
    on_host = all(device.platform == "cpu" for device in parallel.mesh.devices.flat)
    found = analysis() if analysis is not None and on_host else None
    return parallel.devices * found.temp_size_in_bytes if found is not None else 0


def lowered_step(
    experiment: Experiment, parallel: Parallel, state: TrainState, arrays: dict[str, Any], order: Any
) -> Any:
    """The lowered step of ``jit`` or ``shard_map``; the arguments are arrays, or their shapes and shardings."""
    by_device = parallel.spelling == "shard_map" or parallel.batch_stats == "per_device"
    spread = _in_parts if by_device and parallel.devices > 1 else _as_a_whole
    step = functools.partial(
        train_step,
        experiment,
        accumulate=parallel.accumulate,
        split=lambda rows: parallel.constrain(rows, parallel.split),
        spread=functools.partial(spread, parallel),
    )
    return parallel.jit(step, results=(parallel.specs(state), WHOLE), donate_argnums=0).lower(state, arrays, order)


def _as_a_whole(parallel: Parallel, gradient: GradientFunction) -> GradientFunction:
    """The gradient of the whole batch, which XLA splits."""
    if not parallel.fsdp:
        return gradient

    def gathered(params: Any, *others: Any) -> Gradient:
        found = gradient(parallel.constrain(params, jax.tree.map(lambda _: WHOLE, params)), *others)
        return found.replace(grads=parallel.constrain(found.grads, parallel.specs(params)))

    return gathered


def _in_parts(parallel: Parallel, gradient: GradientFunction) -> GradientFunction:
    """The gradient of each device's part, in a ``shard_map``, and the mean over the devices."""
    axes = parallel.mesh.axis_names

    def local(params: Any, *others: Any) -> Gradient:
        # Parameters that vary have gradients of their own on each device, which are added up once, at the end.
        params = jax.tree.map(lambda leaf: lax.pcast(leaf, axes, to="varying"), params)
        return _of_part(parallel, axes, lax.axis_index(axes), gradient, params, *others)

    return jax.shard_map(local, in_specs=(WHOLE, WHOLE, parallel.split, WHOLE, WHOLE), out_specs=WHOLE)


def _of_part(
    parallel: Parallel,
    axes: Any,
    index: jax.Array,
    gradient: GradientFunction,
    params: Any,
    collections: Any,
    batch: dict[str, Any],
    key: jax.Array,
    loss_scale: jax.Array | None,
) -> Gradient:
    """The gradient over all devices, computed on the device that has this part of the batch."""
    rows = len(next(iter(batch.values())))
    key = part_key(key, index, parts=parallel.devices, rows=rows)
    shared = batch_norm_axis(axes) if parallel.batch_stats == "global" else contextlib.nullcontext()
    with shared:
        found = gradient(params, collections, batch, key, loss_scale)

    def mean(leaf: jax.Array) -> jax.Array:
        """The mean of a float array; counters and other integers are equal on all devices."""
        return (lax.pmean if jnp.issubdtype(leaf.dtype, jnp.inexact) else lax.pmax)(leaf, axes)

    loss, grads = lax.pmean((found.loss, found.grads), axes)
    return Gradient(
        loss=loss,
        grads=grads,
        collections=jax.tree.map(mean, found.collections),
        metrics=lax.psum(found.metrics, axes),
    )


def _compile_pmap(
    experiment: Experiment, parallel: Parallel, state: TrainState, arrays: dict[str, Any], order: Any
) -> Step:
    """The whole step on every device; each device computes the gradient of its part of the batch."""
    parts = parallel.devices

    def step(state: TrainState, arrays: dict[str, jax.Array], order: jax.Array, index: jax.Array) -> Any:
        def spread(gradient: GradientFunction) -> GradientFunction:
            def of_part(params: Any, collections: Any, batch: dict[str, Any], *others: Any) -> Gradient:
                rows = len(next(iter(batch.values()))) // parts
                batch = {name: lax.dynamic_slice_in_dim(array, index * rows, rows) for name, array in batch.items()}
                return _of_part(parallel, "data", index, gradient, params, collections, batch, *others)

            return of_part

        return train_step(experiment, state, arrays, order, accumulate=parallel.accumulate, spread=spread)

    spread: Any = jax.pmap(
        step,
        axis_name="data",
        in_axes=(None, None, None, 0),
        out_axes=None,
        devices=list(parallel.mesh.devices.flat),
        donate_argnums=0,
    )
    numbers = jax.device_put(jnp.arange(parts), NamedSharding(parallel.mesh, parallel.split))
    compiled = spread.lower(state, arrays, order, numbers).compile()
    return lambda state, arrays, order: compiled(state, arrays, order, numbers)
