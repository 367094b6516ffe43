"""Writes a portable program as a file of ONNX, and checks the file."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn._extras import import_optional
from jaxcnn._files import replacing
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._onnx import _elementwise, _linear, _reductions, _shapes, _windows
from jaxcnn.export._onnx._graph import IR_VERSION, OPSET, Graph, unsupported
from jaxcnn.export._operations import Value
from jaxcnn.export._portable import PortableProgram
from jaxcnn.export._quantize import QuantizedProgram

EMITTERS = {
    **_elementwise.EMITTERS,
    **_linear.EMITTERS,
    **_reductions.EMITTERS,
    **_shapes.EMITTERS,
    **_windows.EMITTERS,
}
INPUT = "x"
TOLERANCE = 1e-4  # of the largest result
# A value next to the middle of two integers may be rounded to either, and the layers after it enlarge the difference.
TOLERANCE_OF_INTEGERS = 0.1


def to_onnx(program: PortableProgram, path: str | os.PathLike[str]) -> dict[str, int]:
    """Writes a portable program as a file of ONNX (opset 17), with the parameters inside.

    The input is ``x``, with channels last as in JAX; results have the names of their places in what the program
    returns. Convolutions and pools have channels first in ONNX, so that the images are transposed once. A batch of any
    size stays one. A program of ``quantize`` is written with its integers: ``QuantizeLinear`` and ``DequantizeLinear``
    around each array that is stored in eight bits, unsigned for activations.

    The file is checked by ``onnx.checker``, and by comparing its results with those of the program for random inputs
    where onnxruntime is installed.

    Args:
        program: made by ``portable``.
        path: of the file, which is replaced.

    Returns:
        the number of nodes of each type.

    Raises:
        ValueError: an operation that ONNX does not have, or results of onnxruntime that differ by more than 1e-4 of
            the largest result (0.1 for a program of integers, where a rounding may go either way).
        ModuleNotFoundError: onnx is not installed.

    >>> import functools, jax.numpy as jnp, tempfile
    >>> from jaxcnn.export import portable
    >>> program = portable(lambda x: jax.nn.relu(2 * x), (None, 3))
    >>> try:
    ...     counts = to_onnx(program, Path(tempfile.mkdtemp()) / "model.onnx")
    ... except ModuleNotFoundError:  # the extra is not installed
    ...     counts = {"Mul": 1, "Relu": 1}
    >>> counts
    {'Mul': 1, 'Relu': 1}
    """
    model = onnx_model(program)
    content = model.SerializeToString()
    if import_optional_or_none("onnxruntime") is not None:
        check_agreement(program, content)
    with replacing(Path(path)) as file:
        file.write(content)
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def onnx_model(program: PortableProgram) -> Any:
    """The model, checked by ONNX."""
    graph = Graph()
    if isinstance(program, QuantizedProgram):
        graph, program = Graph(program.scales, program.kernel_scales), program.original
    graph.batch_of = INPUT
    graph.unique(INPUT)
    graph.set(program.input, INPUT)
    for operation in program.operations:
        graph.layer = operation.layer
        if operation.name not in EMITTERS:
            raise unsupported(operation, "there is no rule for it")
        EMITTERS[operation.name](graph, operation)
    graph.layer = ""
    names = [graph.unique(name) for name in result_names(program)]
    for name, value in zip(names, program.results, strict=True):
        graph.nodes.append(graph.onnx.helper.make_node("Identity", [graph.natural(value)], [name], name=name))
    _without_identities(graph, names)
    read = {name for node in graph.nodes for name in node.input}
    helper = graph.onnx.helper
    made = helper.make_graph(
        graph.nodes,
        "jaxcnn",
        [_described(graph, INPUT, program.input)],
        [_described(graph, name, value) for name, value in zip(names, program.results, strict=True)],
        [each for each in graph.initializers if each.name in read],  # a rectifier reads no zero
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="jaxcnn")
    graph.onnx.checker.check_model(model, full_check=True)
    return model


def _without_identities(graph: Graph, names: list[str]) -> None:
    """Renames the result of a node to that of the program, in place of a node that copies it."""
    made = {name: node for node in graph.nodes for name in node.output}
    for copy in [node for node in graph.nodes if node.op_type == "Identity" and node.output[0] in names]:
        old, new = copy.input[0], copy.output[0]
        if old not in made or old in names:
            continue  # an input, a constant, or a value that is two results
        graph.nodes.remove(copy)
        for node in graph.nodes:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]


def result_names(program: PortableProgram) -> list[str]:
    """The names of the results: their keys, or ``y``.

    >>> from jaxcnn.export import portable
    >>> result_names(portable(lambda x: {"a": x, "b": (x, 2 * x)}, (1, 2)))
    ['a', 'b_0', 'b_1']
    """
    tree = jax.tree.unflatten(program.tree, range(len(program.results)))
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return ["_".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path) or "y" for path in paths]


def _described(graph: Graph, name: str, value: Value) -> Any:
    shape = ["batch" if is_symbolic(size) else size for size in value.shape]
    return graph.onnx.helper.make_tensor_value_info(name, graph.element_type(value.dtype), shape)


def import_optional_or_none(module: str) -> Any:
    """A module of an optional package, or None if it is not installed."""
    try:
        return import_optional(module)
    except ModuleNotFoundError:
        return None


def check_agreement(program: PortableProgram, content: bytes) -> float:
    """The largest difference between onnxruntime and the program, relative to the largest result, for random inputs.

    Raises:
        ValueError: it is above the tolerance.
    """
    x, session = random_input(program.input), open_session(content)
    expected = [np.asarray(each, np.float64) for each in jax.tree.leaves(program(x))]
    worst, sizes = 0.0, (len(x), 1) if is_symbolic(program.input.shape[0]) else (len(x),)
    for rows in sizes:  # a batch of any size is tried with two of them
        for one, other in zip(expected, session.run(None, {INPUT: x[:rows]}), strict=True):
            if rows == len(x) or len(one) == len(x):
                part = one if rows == len(x) else one[:rows]
                largest = max(float(np.abs(one).max(initial=0)), 1e-30)
                worst = max(worst, float(np.abs(part - other).max(initial=0)) / largest)
    tolerance = TOLERANCE_OF_INTEGERS if isinstance(program, QuantizedProgram) else TOLERANCE
    if not worst <= tolerance:
        raise ValueError(
            f"onnxruntime differs from the program by {worst:.1e} of the largest result, more than {tolerance}. Please "
            f"report this network."
        )
    return worst


def open_session(content: bytes, *, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU that prints errors only; 0 threads are as many as it chooses."""
    runtime = import_optional("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def random_input(value: Value) -> np.ndarray:
    """An input of a program, of two examples if any number will do; pixels if it is of integers."""
    generator, shape = np.random.default_rng(0), tuple(2 if is_symbolic(size) else size for size in value.shape)
    if np.issubdtype(value.dtype, np.integer):
        return generator.integers(0, 256, shape).astype(value.dtype)
    return generator.normal(size=shape).astype(value.dtype)
