"""Which algorithm computes an operation, as a function of the plan and the platform alone, and its execution.

On a CPU each algorithm that supports the plan estimates its time, and the lowest estimate is selected, unless XLA's own
convolution is not clearly slower: an algorithm with a similar estimate may be slower on another machine, and takes
longer to compile. XLA's own convolution is used on GPUs and TPUs, and for empty arrays and symbolic sizes, as in
programs that are exported for any batch. A table that ``jaxcnn bench --tune`` wrote takes precedence if the user
selects it. Nothing is timed at run time.
"""

import dataclasses
from typing import Literal, get_args

import jax
from jax import lax

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional._engine._algorithms import ALGORITHMS, MEASURED_ALGORITHMS, Algorithm, transpose_kernel
from jaxcnn.functional._engine._explanation import ConvCandidate, ConvChoice
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan, Operation, Partitioned, task_of
from jaxcnn.functional._engine._tables import tuned_algorithm

MOVES_DATA = "XLA cannot split it over devices without moving data"
GATHERS = "XLA gathers the whole batch on every device to partition a grouped convolution"
MULTIPLIES = "XLA may sum its kernel gradient once for each part of a mesh axis that does not split the batch"
Platform = Literal["cpu", "gpu", "tpu"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
MAXIMUM_RATIO = 0.85  # an estimate must be below this fraction of that of XLA's own convolution
MINIMUM_SAVING = 1e-4  # and below it by at least this many seconds


def choose(
    plan: ConvPlan, operation: Operation, *, platform: str, partitioned: Partitioned, exported: bool = False
) -> ConvChoice:
    """The algorithm for one operation on one platform, always one that supports it.

    Execution, ``explain_conv`` and ``accelerate`` call this function, which also reads the table of ``use_tuning``.

    Args:
        plan: of the convolution; that of its gradients follows from it.
        operation: ``"forward"``, ``"input_grad"`` or ``"kernel_grad"``.
        platform: ``"cpu"``, ``"gpu"``, ``"tpu"`` or another, which is treated like the last two.
        partitioned: whether XLA partitions the program over devices: ``"one axis"`` over a mesh of one axis, True over
            any mesh. Then an algorithm is selected only if XLA partitions it correctly and without moving data.
        exported: whether the program is written by ``jax.export``.
    """
    task = task_of(plan, operation)
    merged = task.plan.with_merged_batch()  # estimates and tables are for one batch axis
    if plan.algorithm == "auto":
        return _automatic(merged, task.operation, platform, partitioned, exported)
    named = ALGORITHMS[plan.algorithm]
    why_not = named.why_not(merged, task.operation)
    if why_not is None and partitioned and task.operation not in named.partitionable:
        why_not = MOVES_DATA
    if why_not is None:
        return ConvChoice(named.name, "it was selected by name")
    choice = _automatic(merged, task.operation, platform, partitioned, exported)
    return dataclasses.replace(choice, reason=f"{choice.reason}; {named.name} does not support this: {why_not}")


def _automatic(
    plan: ConvPlan, operation: BaseOperation, platform: str, partitioned: Partitioned, exported: bool
) -> ConvChoice:
    """The choice of ``algorithm="auto"`` for a plan with one batch axis."""
    xla_only = None
    if platform != "cpu":
        xla_only = f"on {platform} XLA's own convolution is taken"
    elif not plan.geometry.is_static:
        xla_only = "a size is symbolic, so nothing can be estimated"
    elif plan.geometry.is_empty:
        xla_only = "an array is empty"
    if xla_only is not None:
        fault = None if plan.geometry.is_empty else _partitioning_fault(plan.geometry, operation, partitioned)
        return ConvChoice("xla", xla_only) if fault is None else ConvChoice("grouped", fault)
    measured = None if partitioned else tuned_algorithm(plan, operation, exported=exported)
    if measured is not None:
        return ConvChoice(measured, "it was the fastest when jaxcnn bench --tune measured this machine")
    candidates = tuple(_candidate(algorithm, plan, operation, partitioned) for algorithm in ALGORITHMS.values())
    estimates = {each.algorithm: each.seconds for each in candidates if each.seconds is not None}
    fastest = min(estimates, key=lambda name: estimates[name])
    limit = MAXIMUM_RATIO * estimates.get("xla", float("inf")) - MINIMUM_SAVING
    if fastest != "xla" and estimates[fastest] > limit:
        return ConvChoice("xla", "no other estimate is clearly lower", candidates)
    return ConvChoice(fastest, "it has the lowest estimate", candidates)


def _candidate(
    algorithm: Algorithm, plan: ConvPlan, operation: BaseOperation, partitioned: Partitioned
) -> ConvCandidate:
    why_not = algorithm.why_not_auto(plan, operation)
    if why_not is None and partitioned:
        if operation not in algorithm.partitionable:
            why_not = MOVES_DATA
        elif algorithm.name == "xla":
            why_not = _partitioning_fault(plan.geometry, operation, partitioned)
    seconds = algorithm.estimate(plan, operation) if why_not is None else None
    return ConvCandidate(algorithm.name, seconds, why_not)


def _partitioning_fault(geometry: ConvGeometry, operation: BaseOperation, partitioned: Partitioned) -> str | None:
    """Why XLA's own convolution is not to be partitioned over devices, or None if it may be.

    XLA gathers the batch of a grouped convolution (openxla/xla#47945), except if each channel is a group. The kernel
    gradient of such a depthwise convolution is multiplied by the size of a mesh axis that does not split the batch (jax
    0.10.2 and 0.12.0). So it is right with one axis, which was checked over eight CPU devices with every sharding of
    the batch, the channels and the images. Compiled for four TPU chips it then accesses a quarter of the memory that
    ``grouped`` does (libtpu 0.0.50).
    """
    depthwise = geometry.in_channels == geometry.groups
    if not partitioned or geometry.groups == 1 or (depthwise and operation == "forward"):
        return None
    if not depthwise or geometry.out_channels != geometry.groups:
        return GATHERS
    return None if partitioned == "one axis" else MULTIPLIES


def compute(
    first: jax.Array,
    second: jax.Array,
    *,
    plan: ConvPlan,
    operation: BaseOperation,
    platform: str,
    partitioned: Partitioned,
    exported: bool = False,
) -> jax.Array:
    """The result of an operation, by the algorithm that ``choose`` selects.

    The operands are ``x`` and ``kernel`` of a forward operation, ``x`` and the cotangent of ``y`` of a kernel gradient.
    Profiles show the algorithm as a scope, such as ``forward.shifted``.
    """
    choice = choose(plan, operation, platform=platform, partitioned=partitioned, exported=exported)
    algorithm = (ALGORITHMS | MEASURED_ALGORITHMS)[choice.algorithm]
    plan, operation, exchanged = task_of(plan, operation)
    first, second = (second, first) if exchanged else (first, second)
    merged = plan if partitioned else plan.with_merged_batch()
    with jax.named_scope(f"{operation}.{algorithm.name}"):
        first = lax.reshape(first, merged.geometry.x_shape)
        if operation == "forward":
            assert algorithm.forward is not None
            return lax.reshape(algorithm.forward(first, second, merged), plan.geometry.out_shape)
        assert algorithm.kernel_grad is not None
        dk = algorithm.kernel_grad(first, lax.reshape(second, merged.geometry.out_shape), merged)
        return transpose_kernel(dk, plan.geometry.groups) if exchanged else dk
