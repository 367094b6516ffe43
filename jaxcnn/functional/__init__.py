"""Pure functions of arrays: every operation of the field, channels last, under every JAX transform."""

from jaxcnn.functional.conv import conv

__all__ = ["conv"]
