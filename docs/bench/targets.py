"""The targets of the convolution engine on two CPU cores, and the figure that a report has for each."""

import dataclasses
from collections.abc import Callable, Sequence

from jaxcnn.bench._report import entry_name, geometric_mean, ratio
from jaxcnn.bench._runner import Result
from jaxcnn.cli._bench_tables import number

Value = Callable[[Sequence[Result], str], float | None]


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on one figure.

    Attributes:
        key: the heading of its paragraph in the notes.
        text: a description.
        value: computes the figure from the results and a statistic; None without a result of its kind.
        bound: the limit.
        at_least: whether it is a lower bound.
    """

    key: str
    text: str
    value: Value
    bound: float
    at_least: bool = True

    def is_met(self, value: float) -> bool:
        """Whether a figure is within the bound, at the precision that is printed."""
        shown = float(f"{value:.3g}")
        return shown >= self.bound if self.at_least else shown <= self.bound


def _mean(above: str, below: str, *, kind: str = "", family: str = "", operations: Sequence[str] = ()) -> Value:
    def value(results: Sequence[Result], statistic: str) -> float | None:
        return geometric_mean(
            ratio(result, above, below, statistic=statistic)
            for result in results
            if (not kind or result["kind"] == kind)
            and (not family or result["family"] == family)
            and (not operations or result["operation"] in operations)
        )

    return value


def _least(results: Sequence[Result], statistic: str) -> float | None:
    found = [ratio(r, "stock", "ours", statistic=statistic) for r in results if r["kind"] == "conv"]
    return min((value for value in found if value is not None), default=None)


def _step(name: str, above: str = "stock", below: str = "ours") -> Value:
    def value(results: Sequence[Result], statistic: str) -> float | None:
        steps = [each for each in results if (each["kind"], each["name"]) == ("step", name)]
        return ratio(steps[0], above, below, statistic=statistic) if steps else None

    return value


def _accelerated_over_ours(results: Sequence[Result], statistic: str) -> float | None:
    return _step("mobilenet_v2", "ours", "accelerated")(results, statistic)


def _highest(key: str) -> Value:
    def value(results: Sequence[Result], statistic: str) -> float | None:
        costs = [each[key] for each in results if each["kind"] == "step"]
        return max((cost["ours"] / cost["stock"] for cost in costs if cost["stock"]), default=None)

    return value


def _largest_error(results: Sequence[Result], statistic: str) -> float | None:
    errors = [each["error"] / each["limit"] for each in results if each["kind"] == "conv"]
    return max(errors, default=None)


BACK = ("forward_backward",)
TARGETS = (
    Target(
        "convolutions", "stock / ours over all convolutions, geometric mean", _mean("stock", "ours", kind="conv"), 4
    ),
    Target("slowest", "stock / ours of the slowest convolution", _least, 0.95),
    Target(
        "depthwise",
        "stock / ours, depthwise, forward and input gradient",
        _mean("stock", "ours", family="depthwise", operations=("forward", "input_grad")),
        20,
    ),
    Target(
        "depthwise-kernel-grad",
        "stock / ours, depthwise, kernel gradient",
        _mean("stock", "ours", family="depthwise", operations=("kernel_grad",)),
        12,
    ),
    Target(
        "grouped-kernel-grad",
        "stock / ours, grouped, kernel gradient",
        _mean("stock", "ours", family="grouped", operations=("kernel_grad",)),
        150,
    ),
    Target("torch", "ours / PyTorch over single convolutions", _mean("ours", "torch", kind="conv"), 1.7, False),
    Target(
        "max-pool",
        "stock / ours, max pooling forward and backward",
        _mean("stock", "ours", family="max pool", operations=BACK),
        40,
    ),
    Target("mobilenet-v2", "stock / ours, step of MobileNetV2", _step("mobilenet_v2"), 5),
    Target("convnext", "stock / ours, step of the ConvNeXt stage", _step("convnext_stage"), 3.4),
    Target("speedrun", "stock / ours, step of the speed-run network", _step("cifar_speedrun"), 2.5),
    Target("resnet18", "stock / ours, step of ResNet-18", _step("resnet18_cifar"), 1.6),
    Target("torch-steps", "ours / PyTorch over the five steps", _mean("ours", "torch", kind="step"), 1.25, False),
    Target("accelerate", "ours / stock under accelerate(), step of MobileNetV2", _accelerated_over_ours, 0.8),
    Target("compile-time", "time to compile a step, ours / stock, the highest", _highest("compile_seconds"), 2, False),
    Target("memory", "memory of a step, ours / stock, the highest", _highest("memory_bytes"), 1.3, False),
    Target("exactness", "largest error of a convolution, relative to the tolerance", _largest_error, 1, False),
)


def table(results: Sequence[Result], *, statistic: str) -> list[tuple[Target, float, str]]:
    """Each target that has a figure in the results, with the figure and ``"reached"`` or ``"not reached"``."""
    values = [(target, target.value(results, statistic)) for target in TARGETS]
    return [
        (target, value, "reached" if target.is_met(value) else "not reached")
        for target, value in values
        if value is not None
    ]


def bound_text(target: Target) -> str:
    """The bound as text, such as ``at least 4``."""
    return f"{'at least' if target.at_least else 'at most'} {number(target.bound)}"


def slower_than_stock(results: Sequence[Result], *, statistic: str) -> list[str]:
    """The entries that are slower than 0.95 of stock, the slowest first, with their ratios."""
    gains = [(ratio(each, "stock", "ours", statistic=statistic), entry_name(each)) for each in results]
    return [
        f"{name} {number(gain)}" for gain, name in sorted(gains, key=lambda pair: pair[0] or 0) if gain and gain < 0.95
    ]
