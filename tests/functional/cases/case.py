"""One row of the table of everything: a public function, how to call it, and which of its arrays carry a batch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A call of one public function with its options closed over, so that only arrays are left.

    Attributes:
        function: the name under ``jaxcnn.functional`` (``filters.sobel`` for one of a submodule).
        call: takes the arrays, gives an array or a pytree of arrays.
        shapes: one shape per array. The first array is ``x`` where there is one, with ONE batch axis of 8.
        batched: for each array, whether its axis 0 is the batch axis.
        differentiable: for each array, whether derivatives exist for it (indices have none).
        note: what the row shows, in its test id.
        integer: for each array, the exclusive upper bound of its integers where it holds integers, else 0.
        positive: for each array, whether its entries must be well above 0 (variances).
        distinct: entries of the arrays are drawn without ties and well apart (maximum has a kink at ties).
        any_batch: x may have no, one or two batch axes (per-example functions).
        couples_batch: the output of one example depends on the others (batch norm in training).
        scoped: for such a function, the same call with ``axis_name="data"``: what a device that holds a part of the
            batch calls under shard_map and pmap, to get what ``call`` gives for the whole batch.
        reduces_batch: outputs without a batch axis are sums over the batch (the gradient of a kernel).
        symbolic: for each array, its shape in the notation of ``jax.export.symbolic_shape``, with symbolic spatial
            sizes where the function supports them; a batch axis is symbolic in every row.
        dtypes: the floating types that the row is checked in.
        like: the id of a row with the same code path under the transforms of JAX. Outside the gate only first
            derivatives (``jit`` where there are none) are checked, of the first row of a function that has no others.
    """

    function: str
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    batched: tuple[bool, ...]
    differentiable: tuple[bool, ...] = ()
    note: str = ""
    integer: tuple[int, ...] = ()
    positive: tuple[bool, ...] = ()
    distinct: bool = False
    any_batch: bool = True
    couples_batch: bool = False
    scoped: Callable[..., Any] | None = None
    reduces_batch: bool = False
    symbolic: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16", "float64")
    like: str = ""

    def __post_init__(self) -> None:
        count = len(self.shapes)
        object.__setattr__(self, "differentiable", self.differentiable or (True,) * count)
        object.__setattr__(self, "integer", self.integer or (0,) * count)
        object.__setattr__(self, "positive", self.positive or (False,) * count)
        assert len(self.batched) == len(self.differentiable) == len(self.integer) == len(self.positive) == count

    @property
    def id(self) -> str:
        return f"{self.function}-{self.note}" if self.note else self.function

    def draw(self, seed: int = 0, dtype: Any = np.float64) -> list[np.ndarray]:
        """Random arrays for this row."""
        generator = np.random.default_rng(seed)
        arrays = []
        for shape, bound, positive in zip(self.shapes, self.integer, self.positive, strict=True):
            if bound:
                arrays.append(generator.integers(0, bound, shape, dtype=np.int32))
                continue
            if self.distinct:
                size = int(np.prod(shape))
                values = (generator.permutation(size).reshape(shape) - size / 2 + 0.25) / size * 4
            else:
                values = generator.standard_normal(shape)
            arrays.append((np.abs(values) + 0.5 if positive else values).astype(dtype))
        return arrays
