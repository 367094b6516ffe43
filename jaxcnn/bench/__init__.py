"""How fast the layers and whole training steps are beside stock JAX and PyTorch, on the user's own machine."""

from jaxcnn.bench.layers import ConvLayer, Entry, NormLayer, PoolLayer, Step
from jaxcnn.bench.report import report
from jaxcnn.bench.runner import run_entry
from jaxcnn.bench.suite import LAYERS, select

__all__ = ["LAYERS", "ConvLayer", "Entry", "NormLayer", "PoolLayer", "Step", "report", "run_entry", "select"]
