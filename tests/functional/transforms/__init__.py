"""The checks that every row of the table goes through, and which rows each of them is for."""

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
# Rows that are a path of their own under differentiation and ``vmap``, and are split over devices, exported and
# summed as another row is: element by element, window by window, by the primitive of ``conv``, or, as ``nms``, one
# example after another.
SPLIT_AS_ANOTHER = {
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool-padded, dilated, ceil",
    "batch_norm-inference",
    "conv-grouped",
    "conv-matmul",
    "conv_input_grad-strided, dilated",
    "conv_transpose-grouped, dilated, output padding",
    "extract_patches-strided, dilated, asymmetric",
    "feature_pool",
    "fold_batch_norm",
    "lp_pool",
    "max_pool-wide and apart",
    "max_unpool",
    "roi_align-aligned",
    "roi_pool",
    "tiled_conv-twenty tiles",
}
