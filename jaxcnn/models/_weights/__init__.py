"""Weights of other libraries: read from files, matched with the variables of a model, and written."""

from jaxcnn.models._weights._flax import load_flax_resnet
from jaxcnn.models._weights._torch import load_torch, save_torch

__all__ = ["load_flax_resnet", "load_torch", "save_torch"]
