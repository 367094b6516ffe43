"""Sizes in plain integers: padding, output shapes, receptive fields, counts, and how errors are worded.

Nothing here imports jax, so every size can be known and tested without an array.
"""

from jaxcnn.shapes.errors import ShapeError
from jaxcnn.shapes.padding import PADDING_MODES, PADDING_NAMES, same_pads
from jaxcnn.shapes.pool import pool_output_shape

__all__ = ["PADDING_MODES", "PADDING_NAMES", "ShapeError", "pool_output_shape", "same_pads"]
