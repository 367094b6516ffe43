"""The values that ``explain_conv`` returns: which algorithm computes each operation of a convolution, and why."""

import dataclasses

from jaxcnn._reprs import html_table
from jaxcnn.functional._engine._plan import OPERATIONS, Operation, Partitioned


@dataclasses.dataclass(frozen=True)
class ConvCandidate:
    """An algorithm that ``algorithm="auto"`` considers: its estimated time, or why it is not selected.

    Attributes:
        algorithm: its name.
        seconds: the estimate, on the two-core CPU that the estimates were calibrated on; None if it is not available.
        why_not: why it is not available; None if it is.

    >>> from jaxcnn import functional as F
    >>> candidates = F.explain_conv((8, 8, 3), (1, 1, 3, 4), platform="cpu").forward.candidates
    >>> next(str(each) for each in candidates if each.algorithm == "shifted")
    'shifted: it requires one input channel per group, and there are 3'
    """

    algorithm: str
    seconds: float | None
    why_not: str | None = None

    def __str__(self) -> str:
        return f"{self.algorithm}: {self.summary}"

    @property
    def summary(self) -> str:
        """The estimate, or why there is none, in a few words."""
        return str(self.why_not) if self.seconds is None else f"about {1e3 * self.seconds:.3g} ms"


@dataclasses.dataclass(frozen=True, repr=False)
class ConvChoice:
    """The algorithm of one operation, the reason, and the candidates that it was selected from.

    Attributes:
        algorithm: its name, one of ``conv_algorithms()``.
        reason: why it was selected.
        candidates: every algorithm with its estimate; empty if nothing had to be estimated.

    >>> from jaxcnn import functional as F
    >>> F.explain_conv((8, 8, 3), (3, 3, 3, 4), platform="tpu").forward
    ConvChoice('xla', "on tpu XLA's own convolution is taken", 0 candidates)
    """

    algorithm: str
    reason: str
    candidates: tuple[ConvCandidate, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.algorithm}: {self.reason}", *(f"    {candidate}" for candidate in self.candidates)])

    def __repr__(self) -> str:
        return f"ConvChoice({self.algorithm!r}, {self.reason!r}, {len(self.candidates)} candidates)"

    def _repr_html_(self) -> str:
        rows = [(candidate.algorithm, candidate.summary) for candidate in self.candidates]
        return html_table(("algorithm", "estimate"), rows, caption=f"{self.algorithm}: {self.reason}")


@dataclasses.dataclass(frozen=True, repr=False)
class ConvExplanation:
    """How a convolution and its two gradients are computed.

    Printed, it has a line for each operation, then a table of the estimates; a notebook shows both as HTML.

    Attributes:
        forward: the choice for ``conv``.
        input_grad: the choice for the gradient with respect to ``x``.
        kernel_grad: the choice for the gradient with respect to ``kernel``.
        operation: the operation that ``algorithm``, ``reason`` and ``candidates`` are about.
        platform: the platform that the program is for.
        partitioned: whether XLA partitions the program over devices; ``"one axis"`` over a mesh of one axis.

    >>> from jaxcnn import functional as F
    >>> print(F.explain_conv((8, 8, 3), (3, 3, 3, 4), platform="tpu"))
    forward      xla  on tpu XLA's own convolution is taken
    input_grad   xla  on tpu XLA's own convolution is taken
    kernel_grad  xla  on tpu XLA's own convolution is taken
    """

    forward: ConvChoice
    input_grad: ConvChoice
    kernel_grad: ConvChoice
    operation: Operation = "forward"
    platform: str = "cpu"
    partitioned: Partitioned = False

    @property
    def choices(self) -> dict[Operation, ConvChoice]:
        """The choice of each operation, by name."""
        return {operation: getattr(self, operation) for operation in OPERATIONS}

    @property
    def algorithm(self) -> str:
        """The algorithm of ``operation``."""
        return self.choices[self.operation].algorithm

    @property
    def reason(self) -> str:
        """Why it was selected."""
        return self.choices[self.operation].reason

    @property
    def candidates(self) -> tuple[ConvCandidate, ...]:
        """The candidates that it was selected from."""
        return self.choices[self.operation].candidates

    def __repr__(self) -> str:
        names = ", ".join(f"{name}={choice.algorithm!r}" for name, choice in self.choices.items())
        where = f"platform={self.platform!r}" + (f", partitioned={self.partitioned!r}" if self.partitioned else "")
        return f"ConvExplanation({names}, {where})"

    def __str__(self) -> str:
        tables = [self._summary(), [("algorithm", *OPERATIONS), *self._estimates()], self._exclusions()]
        if not any(choice.candidates for choice in self.choices.values()):
            tables = tables[:1]
        return "\n\n".join("\n".join(_aligned(rows)) for rows in tables)

    def _repr_html_(self) -> str:
        html = html_table(("operation", "algorithm", "reason"), self._summary())
        if any(choice.candidates for choice in self.choices.values()):
            html += html_table(("algorithm", *OPERATIONS), self._estimates(), caption="estimated time")
            html += html_table(("not available", "for", "because"), self._exclusions())
        return html

    def _summary(self) -> list[tuple[str, ...]]:
        """Operation, algorithm and reason."""
        return [(name, choice.algorithm, choice.reason) for name, choice in self.choices.items()]

    def _estimates(self) -> list[tuple[str, ...]]:
        """For each algorithm that is available for some operation, its estimate for each operation."""
        rows = []
        for name, candidates in self._by_algorithm().items():
            available = [candidate is not None and candidate.seconds is not None for candidate in candidates]
            cells = (str(c and c.summary) if ok else "-" for c, ok in zip(candidates, available, strict=True))
            rows += [(name, *cells)] * any(available)
        return rows

    def _exclusions(self) -> list[tuple[str, ...]]:
        """Algorithm, operations and reason, where an algorithm is not available."""
        rows: list[tuple[str, ...]] = []
        for name, candidates in self._by_algorithm().items():
            reasons: dict[str, list[str]] = {}
            for operation, candidate in zip(OPERATIONS, candidates, strict=True):
                if candidate is not None and candidate.why_not is not None:
                    reasons.setdefault(candidate.why_not, []).append(operation)
            rows += [(name, ", ".join(operations), reason) for reason, operations in reasons.items()]
        return rows

    def _by_algorithm(self) -> dict[str, list[ConvCandidate | None]]:
        """The candidates of the three operations; None for an operation whose choice needed no estimates."""
        found = [{each.algorithm: each for each in choice.candidates} for choice in self.choices.values()]
        return {name: [candidates.get(name) for candidates in found] for name in {k: 0 for c in found for k in c}}


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of text as lines whose columns are aligned, except for the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
