"""The checks for every row of the table, and the rows that each check supports."""

from collections.abc import Callable

from tests.functional.cases.case import Case
from tests.functional.transforms.batching import check_batch_axes, check_examples, check_vmap
from tests.functional.transforms.calls import by_example, has_batch, has_derivatives
from tests.functional.transforms.derivatives import check_derivatives, check_entries, check_slopes
from tests.functional.transforms.numerics import check_dtypes, check_export, check_jit
from tests.functional.transforms.parallel import check_auto_mesh, check_explicit_mesh, check_pmap, splits

CHECKS: dict[str, tuple[Callable[[Case], None], Callable[[Case], bool]]] = {
    "jit": (check_jit, lambda row: True),
    "export": (check_export, lambda row: True),
    "dtypes": (check_dtypes, lambda row: bool(row.dtypes and row.shapes)),
    "derivatives": (check_derivatives, has_derivatives),
    "slopes": (check_slopes, has_derivatives),
    "entries": (check_entries, has_derivatives),
    "vmap": (check_vmap, lambda row: bool(row.shapes)),
    "examples": (check_examples, lambda row: row.reduces_batch or (by_example(row) and has_derivatives(row))),
    "batch_axes": (check_batch_axes, lambda row: row.any_batch and has_batch(row)),
    "auto_mesh": (check_auto_mesh, lambda row: bool(row.shapes)),
    "explicit_mesh": (check_explicit_mesh, lambda row: bool(row.shapes)),
    "pmap": (check_pmap, lambda row: bool(row.shapes) and splits(row)),
}
# Rows that go through all checks by default, one of each kind: a result coupled over the batch, linear in two arrays, a
# sum over the batch, windows with ties, one example after another, element by element, without a batch.
EVERY_CHECK = {
    "batch_norm-training",
    "conv-strided, dilated, flipped",
    "conv_kernel_grad-strided, dilated",
    "correlate",
    "encode_boxes",
    "max_pool-padded, dilated, ceil",
    "nms",
}
