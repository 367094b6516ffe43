"""The kernels of image processing, made by hand, and how to apply them.

A kernel here has spatial axes only, ``(*window)``; ``apply_filter`` slides it over each channel separately. All are
oriented for correlation, as ``conv`` computes it: a derivative along an axis is positive where values rise along it.
Kernels are float32 (float64 where x64 is on) unless ``dtype`` or an array among the parameters has another dtype, and
differentiable in every parameter that is a number.
"""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.functional.filters._filters import (
    apply_filter,
    box,
    gabor,
    gaussian,
    high_pass,
    laplacian,
    prewitt,
    sharpen,
    sobel,
)

__all__ = ["apply_filter", "box", "gabor", "gaussian", "high_pass", "laplacian", "prewitt", "sharpen", "sobel"]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
