"""The parts that all pools share: windows, extrema, sums.

To understand ``max_pool``, read five files in this order: ``functional/_max_pool.py`` (the call),
``_geometry/_pool.py`` (where windows are, in integers), ``_windows.py`` (how axes are reduced), ``_extrema.py`` (which
entry is chosen, its index and its derivative), ``_materialized.py`` (why the entries are in one buffer). Sums and norms
are in ``_sums.py``.
"""

from jaxcnn.functional._pooling._extrema import (
    MAXIMUM,
    MINIMUM,
    Extremum,
    as_ordered,
    comparable,
    extremum_of_windows,
    extremum_over,
    narrowed,
    spatial_index,
)
from jaxcnn.functional._pooling._materialized import materialized, materialized_if_differentiated
from jaxcnn.functional._pooling._sums import as_float, divided, magnitude, norm_over, widened, window_norm, window_sum
from jaxcnn.functional._pooling._windows import cut, end_cropped, is_one_window, plan_windows, read_mask

__all__ = [
    "MAXIMUM",
    "MINIMUM",
    "Extremum",
    "as_float",
    "as_ordered",
    "comparable",
    "cut",
    "divided",
    "end_cropped",
    "extremum_of_windows",
    "extremum_over",
    "is_one_window",
    "magnitude",
    "materialized",
    "materialized_if_differentiated",
    "narrowed",
    "norm_over",
    "plan_windows",
    "read_mask",
    "spatial_index",
    "widened",
    "window_norm",
    "window_sum",
]
