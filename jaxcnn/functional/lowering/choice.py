"""Which algorithm ``algorithm="auto"`` takes: a pure function of shapes, dtype and platform.

On a CPU each algorithm that supports the configuration estimates its time, and the lowest estimate is taken, unless
XLA's own convolution is not clearly slower: an algorithm with a similar estimate may be slower on another machine, and
takes longer to compile. On GPUs and TPUs XLA's own is taken, and where an array is empty or a size is symbolic, as in
programs that are exported for any batch. Where the user asks for a table that ``jaxcnn bench
--tune`` wrote, it comes first. Nothing is timed at run time.
"""

import dataclasses
from math import prod
from typing import Any

from jaxcnn._geometry import ConvGeometry
from jaxcnn._reprs import html_table
from jaxcnn.functional.lowering.lowering import Lowering, Operation
from jaxcnn.functional.lowering.registry import LOWERINGS
from jaxcnn.functional.lowering.tuned import tuned

PLATFORMS = ("cpu", "gpu", "tpu")
GATHERS = "XLA gathers the whole batch on every device to partition a grouped convolution"
MARGIN = 0.85  # an estimate must be below this much of XLA's own,
TOLL = 1e-4  # and below it by so many seconds


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A formulation with its estimate in seconds, or why it does not serve."""

    algorithm: str
    seconds: float | None
    why_not: str | None = None

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.algorithm}: {self.why_not}"
        return f"{self.algorithm}: about {1e3 * self.seconds:.3g} ms"


@dataclasses.dataclass(frozen=True)
class Choice:
    """The name of the formulation that is taken, the reason, and what it was chosen from."""

    algorithm: str
    reason: str
    candidates: tuple[Candidate, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.algorithm}: {self.reason}", *(f"    {candidate}" for candidate in self.candidates)])

    def __repr__(self) -> str:
        return f"Choice({self.algorithm!r}, {self.reason!r}, {len(self.candidates)} candidates)"

    def _repr_html_(self) -> str:
        rows = [(candidate.algorithm, str(candidate).partition(":")[2].strip()) for candidate in self.candidates]
        return html_table(("algorithm", "estimate"), rows, caption=f"{self.algorithm}: {self.reason}")


def choose(
    geometry: ConvGeometry, dtype: Any, operation: Operation, *, platform: str, partitioned: bool = False
) -> Choice:
    """The formulation for one operation on one platform, always one that serves it.

    Args:
        geometry: of the convolution; the input gradient is the forward operation of the transposed one.
        dtype: of the operands.
        operation: ``"forward"`` or ``"kernel_grad"``.
        platform: ``"cpu"``, ``"gpu"``, ``"tpu"`` or another, which is treated like the last two.
        partitioned: whether XLA splits the program over devices at places of its own choice. Then only formulations
            are taken that it splits without moving data.
    """
    stock_only = None
    if platform != "cpu":
        stock_only = f"on {platform} XLA's own convolution is taken"
    elif not geometry.is_static:
        stock_only = "a size is symbolic, so nothing can be estimated"
    elif geometry.is_empty:
        stock_only = "an array is empty"
    if stock_only is not None:
        gathers = partitioned and not geometry.is_empty and _xla_gathers(geometry, operation)
        return Choice("grouped", GATHERS) if gathers else Choice("xla", stock_only)
    geometry = geometry.with_batch(prod(geometry.batch_shape))  # as the formulations see it
    measured = None if partitioned else tuned(geometry, dtype, operation)
    if measured is not None:
        return Choice(measured, "it was the fastest when jaxcnn bench --tune measured this machine")
    candidates = tuple(_consider(lowering, geometry, dtype, operation, partitioned) for lowering in LOWERINGS.values())
    serving = [(candidate.seconds, candidate) for candidate in candidates if candidate.seconds is not None]
    seconds, best = min(serving, key=lambda pair: pair[0])
    stock = next(candidate for candidate in candidates if candidate.algorithm == "xla")
    if best is not stock and stock.seconds is not None and seconds > MARGIN * stock.seconds - TOLL:
        return Choice("xla", "nothing is estimated to be clearly faster", candidates)
    return Choice(best.algorithm, "it has the lowest estimate", candidates)


def _xla_gathers(geometry: ConvGeometry, operation: Operation) -> bool:
    """Whether XLA gathers the batch on every device to partition this, or even sums it wrongly.

    The gathering is openxla/xla#47945. On a mesh with an axis that does not split the batch, the kernel gradient comes
    out multiplied by the size of that axis (jax 0.10.2 and 0.12.0).
    """
    depthwise = geometry.in_channels == geometry.groups
    return geometry.groups > 1 and (operation == "kernel_grad" or not depthwise)


def _consider(
    lowering: Lowering, geometry: ConvGeometry, dtype: Any, operation: Operation, partitioned: bool
) -> Candidate:
    why_not = lowering.why_not_auto(geometry, dtype, operation)
    if why_not is None and partitioned:
        if operation not in lowering.partitions:
            why_not = "XLA cannot split it over devices without moving data"
        elif lowering.name == "xla" and _xla_gathers(geometry, operation):
            why_not = GATHERS
    if why_not is not None:
        return Candidate(lowering.name, None, why_not)
    return Candidate(lowering.name, lowering.estimate(geometry, dtype, operation))
