"""Flax Linen modules: each makes parameters and calls one function of ``jaxcnn.functional``."""

from jaxcnn.nn.conv import Conv

__all__ = ["Conv"]
