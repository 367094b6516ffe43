"""Writes a portable program as a file of ONNX, and checks the file."""

import functools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcnn._extras import import_optional
from jaxcnn._files import replacing
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._agreement import check_agreement, import_optional_or_none
from jaxcnn.export._onnx import _elementwise, _indexing, _linear, _reductions, _shapes, _windows
from jaxcnn.export._onnx._graph import IR_VERSION, OPSET, Graph, described, every_node, unsupported
from jaxcnn.export._onnx._loops import emit_while
from jaxcnn.export._operations import Operation, Uses
from jaxcnn.export._portable import PortableProgram
from jaxcnn.export._quantize import QuantizedProgram

EMITTERS = {
    **_elementwise.EMITTERS,
    **_indexing.EMITTERS,
    **_linear.EMITTERS,
    **_reductions.EMITTERS,
    **_shapes.EMITTERS,
    **_windows.EMITTERS,
}
INPUT = "x"


def to_onnx(program: PortableProgram, path: str | os.PathLike[str]) -> dict[str, int]:
    """Writes a portable program as a file of ONNX (opset 17), with the parameters inside.

    The input is ``x``, with channels last as in JAX; results are named by ``program.result_names``. Convolutions and
    pools have channels first in ONNX, so the images are transposed once. A batch of any size is preserved. A program of
    ``quantize`` is written with its integers: ``QuantizeLinear`` and ``DequantizeLinear`` around each array that is
    stored in 8 bits, unsigned for activations.

    The file is checked by ``onnx.checker``. If onnxruntime is installed, its results for random inputs are compared
    with those of the program.

    Args:
        program: made by ``portable``.
        path: of the file, which is replaced.

    Returns:
        the number of nodes of each type.

    Raises:
        ValueError: an operation that ONNX does not have, or results of onnxruntime that differ by more than 1e-4 of
            the largest result (0.1 for a program of integers, where a rounding may go either way).
        ModuleNotFoundError: onnx is not installed.

    >>> import jax, tempfile
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
        session = open_session(content)
        sizes = (2, 1) if is_symbolic(program.input.shape[0]) else (program.input.shape[0],)
        check_agreement(program, lambda x: session.run(None, {INPUT: x}), runtime="onnxruntime", batches=sizes)
    with replacing(Path(path)) as file:
        file.write(content)
    return dict(sorted(Counter(node.op_type for node in every_node(model.graph.node)).items()))


def onnx_model(program: PortableProgram) -> Any:
    """The model, checked by ONNX."""
    graph = Graph()
    if isinstance(program, QuantizedProgram):
        graph, program = Graph(program.scales, program.kernel_scales), program.original
    graph.batch_of = INPUT
    graph.unique(INPUT)
    graph.set(program.input, INPUT)
    graph.uses = Uses(program.operations, program.results)
    _emit(graph, program.operations)
    graph.layer = ""
    names = [graph.unique(name) for name in program.result_names]
    for name, value in zip(names, program.results, strict=True):
        graph.nodes.append(graph.onnx.helper.make_node("Identity", [graph.natural(value)], [name], name=name))
    _without_identities(graph, names)
    read = {name for node in every_node(graph.nodes) for name in node.input}
    helper = graph.onnx.helper
    made = helper.make_graph(
        graph.nodes,
        "jaxcnn",
        [described(graph, INPUT, program.input)],
        [described(graph, name, value) for name, value in zip(names, program.results, strict=True)],
        [each for each in graph.initializers if each.name in read],  # ``Relu`` does not read the zero
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="jaxcnn")
    graph.onnx.checker.check_model(model, full_check=True)
    return model


def _emit(graph: Graph, operations: Sequence[Operation]) -> None:
    """Adds the nodes of operations."""
    for operation in operations:
        graph.layer = operation.layer
        if operation.name == "while":
            emit_while(graph, operation, functools.partial(_emit, graph))
        elif operation.name in EMITTERS:
            EMITTERS[operation.name](graph, operation)
        else:
            raise unsupported(operation, "there is no rule for it")


def _without_identities(graph: Graph, names: list[str]) -> None:
    """Renames the result of a node to that of the program, in place of a node that copies it."""
    made = {name: node for node in graph.nodes for name in node.output}
    for copy in [node for node in graph.nodes if node.op_type == "Identity" and node.output[0] in names]:
        old, new = copy.input[0], copy.output[0]
        if old not in made or old in names:
            continue  # an input, a constant, or a value that is two results
        graph.nodes.remove(copy)
        for node in every_node(graph.nodes):
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]


def open_session(content: bytes, *, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU that prints errors only; for 0, it selects the number of threads.

    On x86 processors without VNNI the sums of two products of bytes saturate at 16 bits, unless an option of the
    session requests exact sums.
    """
    runtime = import_optional("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.x64quantprecision", "1")
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
