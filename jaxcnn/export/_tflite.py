"""Files of LiteRT (TensorFlow Lite), which phones, microcontrollers and browsers run.

The converter reads StableHLO and does not require TensorFlow. LiteRT's own quantizer writes the integers, because the
converter fuses operations and so changes the graph; the ranges of its arrays are measured here, by the same methods as
for ``quantize``.
"""

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn._extras import import_optional
from jaxcnn._files import replacing
from jaxcnn.export._agreement import (
    check_agreement,
    converted,
    import_optional_or_none,
    require_fixed_sizes,
)
from jaxcnn.export._calibrate import BINS, Examples, Range, ranges_from
from jaxcnn.export._converters import for_converters
from jaxcnn.export._portable import PortableProgram
from jaxcnn.export._quantize import QuantizedProgram

INPUT = "x"
SIGNATURE = "serving_default"
TARGET = "LiteRT"
# The dialects of a module that is converted.
CONVERTED = ("arith", "builtin", "func", "quant", "tfl")


def to_tflite(program: PortableProgram, path: str | os.PathLike[str]) -> dict[str, int]:
    """Writes a portable program as a file of LiteRT (``.tflite``), with the parameters inside.

    The file has one signature, ``serving_default``, whose input is ``x``, with channels last; results are named by
    ``program.result_names``. A program of ``quantize`` is written with 8-bit integers between a float input and float
    results: the ranges of LiteRT's arrays are measured on the same images by the same method.

    If ai-edge-litert is installed, the results of the file for random inputs are compared with those of the program.

    Args:
        program: made by ``portable`` for a fixed number of examples.
        path: of the file, which is replaced.

    Returns:
        the number of operations of each type.

    Raises:
        ValueError: a program that reads a batch of any size, an operation that LiteRT does not have, or results that
            differ by more than 1e-4 of the largest result (0.1 for a program of integers).
        ModuleNotFoundError: litert-converter, or litert-quantizer for integers, is not installed.

    >>> import jax, tempfile
    >>> from jaxcnn.export import portable
    >>> program = portable(lambda x: jax.nn.relu(2 * x), (1, 3))
    >>> try:
    ...     counts = to_tflite(program, Path(tempfile.mkdtemp()) / "model.tflite")
    ... except ModuleNotFoundError:  # the extra is not installed
    ...     counts = {"MUL": 1}
    >>> counts["MUL"]
    1
    """
    converter, runtime = _converter(), import_optional_or_none("ai_edge_litert.interpreter")
    require_fixed_sizes(program, TARGET)
    original = program.original if isinstance(program, QuantizedProgram) else program
    content = converted(original, lambda part: _convert(converter, part), TARGET)
    if isinstance(program, QuantizedProgram):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`")
            content = _quantized(content, program)
    if runtime is not None:
        run, names = signature(content), program.result_names
        rows = program.input.shape[0]
        check_agreement(program, lambda x: [run(**{INPUT: x})[name] for name in names], runtime=TARGET, batches=(rows,))
    with replacing(Path(path)) as file:
        file.write(content)
    return counted(content)


def _converter() -> Any:
    """The converter's package, with the modules that are used here."""
    for module in (
        "litert_converter.mlir.ir",
        "litert_converter.mlir.passmanager",
        "litert_converter.converter_api_ext",
    ):
        import_optional(module)
    return import_optional("litert_converter")


def _convert(converter: Any, program: PortableProgram) -> bytes:
    """The file of a program without integers.

    Raises:
        ValueError: an operation that LiteRT does not have.
    """
    ir, api = converter.mlir.ir, converter.converter_api_ext
    context = ir.Context()
    api.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(for_converters(program).exported.mlir_module())
        api.set_signature(module.operation, SIGNATURE, [INPUT], program.result_names)
        api.run_convert_to_tfl_passes(module, converter.mlir.passmanager.PassManager(), api.ConvertToTFLConfig())
        left = sorted(name for name in _operation_names(ir, module) if name.split(".")[0] not in CONVERTED)
        if left:
            raise ValueError(f"the converter leaves {', '.join(left)}.")
        return bytes(api.export_flatbuffer_to_bytes(module.operation))


def _operation_names(ir: Any, module: Any) -> set[str]:
    found = set[str]()

    def visit(operation: Any) -> Any:
        found.add(str(operation.name))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def signature(content: bytes) -> Callable[..., Any]:
    """A function of the named input that returns a dict of results."""
    interpreter = import_optional("ai_edge_litert.interpreter").Interpreter(model_content=content)
    runner: Callable[..., Any] = interpreter.get_signature_runner(SIGNATURE)
    return runner


def counted(content: bytes) -> dict[str, int]:
    """The number of operations of each type in a file."""
    schema = import_optional("litert_converter.schema_py_generated")
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes or ()]
    kinds = [codes[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators or ()]
    return dict(sorted(Counter(kinds).items()))


# ------------------------------------------------------------------------------------------------------------ integers


def _quantized(content: bytes, program: QuantizedProgram) -> bytes:
    """The file with integers, whose ranges are those of the examples of the program."""
    api, recipes, types = (import_optional(f"litert_quantizer.{name}") for name in ("quantizer", "recipe", "qtyping"))
    quantizer = api.Quantizer(bytearray(content), recipes.static_wi8_ai8())
    floats = {"algorithm_key": api.AlgorithmName.NO_QUANTIZE}
    for name in ("INPUT", "OUTPUT"):
        quantizer.update_quantization_recipe(".*", types.TFLOperationName[name], **floats)
    for layer in program.keep:
        every = types.TFLOperationName.ALL_SUPPORTED
        quantizer.update_quantization_recipe(rf"jit\(_run\)/{re.escape(layer)}/", every, **floats)
    examples, rows = program.examples, program.input.shape[0]
    first = examples.parts(rows)[:1]
    found = quantizer.calibrate({SIGNATURE: [{INPUT: np.asarray(part)} for part in first]}, num_threads=1)
    ranges = _ranges(content, set(found), examples, rows)
    for name, bounds in ranges.items():
        for key, value in zip(("min", "max"), bounds, strict=True):
            found[name][key] = np.full_like(np.asarray(found[name][key]), value)
    result = quantizer.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _ranges(content: bytes, names: set[str], examples: Examples, rows: int) -> dict[str, Range]:
    """The range of each named array of floats in a file."""
    interpreter = import_optional("ai_edge_litert.interpreter").Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    (index,) = [each["index"] for each in interpreter.get_input_details()]
    tensors = {
        each["name"]: each["index"]
        for each in interpreter.get_tensor_details()
        if each["name"] in names and np.issubdtype(each["dtype"], np.floating)
    }

    def arrays() -> Iterable[Sequence[np.ndarray]]:
        for part in examples.parts(rows):
            interpreter.set_tensor(index, np.asarray(part))
            interpreter.invoke()
            yield [_without_padding(interpreter.get_tensor(each)) for each in tensors.values()]

    def count(limits: np.ndarray) -> np.ndarray:
        return sum(
            np.stack([_histogram(x, *bounds) for x, bounds in zip(part, limits, strict=True)]) for part in arrays()
        )  # type: ignore[return-value]

    bounds = np.array([[(x.min(), x.max()) for x in part] for part in arrays()])
    return dict(zip(tensors, ranges_from(bounds, count, examples), strict=True))


def _without_padding(x: np.ndarray) -> np.ndarray:
    """The entries without the padding of a maximum, which is the least number of the dtype."""
    return x[x > np.finfo(x.dtype).min]


def _histogram(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.histogram(np.clip(x, low, high), BINS, (low, high))[0]
