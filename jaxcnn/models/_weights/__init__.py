"""Weights of other libraries: read from files, matched with the variables of a model, and written."""

from jaxcnn.models._weights._flax import load_flax_resnet
from jaxcnn.models._weights._torch import load_torch, save_torch
from jaxcnn.models._weights._torch_names import listed, nested, paths

__all__ = ["listed", "load_flax_resnet", "load_torch", "nested", "paths", "save_torch"]
