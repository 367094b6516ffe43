"""A writer of ONNX files, with one file for each group of operations.

``_write.py`` walks a portable program and calls an emitter for each operation; ``_graph.py`` has the graph that is
written, with the order of the axes of each value.
"""

from jaxcnn.export._onnx._write import to_onnx

__all__ = ["to_onnx"]
