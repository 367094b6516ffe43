"""The algorithms by name, one module each; ``_algorithm.py`` defines what a module provides.

Several algorithms share ``_taps.py`` (the input that one tap reads), ``_positions.py`` (kernels as matrices),
``_transposition.py`` (kernel gradients from forward operations), ``_counts.py`` (for estimates), ``_branch.py`` (sums
that XLA must not fuse) and ``_finite.py`` (infinities that spread). ``_batch.py``, ``_xla_abort.py`` and
``_xla_cost.py`` belong to ``_xla.py``.
"""

from jaxcnn.functional._engine._algorithms import (
    _broadcast,
    _depth,
    _fft,
    _grouped,
    _im2col,
    _matmul,
    _onednn,
    _partial_sums,
    _phases,
    _rows,
    _shifted,
    _whole,
    _winograd,
    _xla,
)
from jaxcnn.functional._engine._algorithms._algorithm import Algorithm
from jaxcnn.functional._engine._algorithms._batch import share_mesh
from jaxcnn.functional._engine._algorithms._transposition import transpose_kernel, transposed_kernel_grad
from jaxcnn.functional._engine._algorithms._xla import forward as xla_forward

_MODULES = (
    _xla,
    _shifted,
    _partial_sums,
    _grouped,
    _matmul,
    _whole,
    _rows,
    _broadcast,
    _im2col,
    _phases,
    _winograd,
    _depth,
    _fft,
)

ALGORITHMS: dict[str, Algorithm] = {module.ALGORITHM.name: module.ALGORITHM for module in _MODULES}
# Only where a table of ``jaxcnn bench --tune`` names them: an operation that they reject ends the process.
MEASURED_ALGORITHMS: dict[str, Algorithm] = {_onednn.ALGORITHM.name: _onednn.ALGORITHM}

__all__ = [
    "ALGORITHMS",
    "MEASURED_ALGORITHMS",
    "Algorithm",
    "share_mesh",
    "transpose_kernel",
    "transposed_kernel_grad",
    "xla_forward",
]
