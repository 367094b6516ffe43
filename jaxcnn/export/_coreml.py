"""Packages of Core ML, which iPhones and Macs run."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np

from jaxcnn._errors import check_choice
from jaxcnn._extras import import_optional
from jaxcnn.export._agreement import converted, require_fixed_sizes
from jaxcnn.export._converters import for_converters
from jaxcnn.export._portable import PortableProgram
from jaxcnn.export._quantize import QuantizedProgram

TARGET = "Core ML"
SUFFIX = ".mlpackage"

Precision = Literal["float16", "float32"]


def to_coreml(
    program: PortableProgram, path: str | os.PathLike[str], *, precision: Precision = "float16"
) -> dict[str, int]:
    """Writes a portable program as a package of Core ML for iOS 18 and macOS 15 or newer, with the parameters inside.

    The input is ``x``, with channels last; uint8 images are passed as int32 from 0 to 255, since Core ML has no inputs
    of bytes. Results are named by ``program.result_names``. The package is converted on any system, but only macOS can
    run it, so its results are not compared with those of the program.

    Args:
        program: made by ``portable`` for a fixed number of examples.
        path: of the package, a folder that ends in ``.mlpackage`` and is replaced.
        precision: the dtype in which Core ML computes; the neural engine computes in float16 only.

    Returns:
        the number of operations of each type, without constants.

    Raises:
        ValueError: a path that does not end in ``.mlpackage`` or names something else than a package, a program that
            reads a batch of any size, an operation that Core ML does not have, or a program of integers.
        ModuleNotFoundError: coremltools or stablehlo-coreml is not installed.

    >>> from jaxcnn.export import portable
    >>> program = portable(lambda x: jax.nn.relu(2 * x), (1, 3))
    >>> try:
    ...     counts = to_coreml(program, Path(tempfile.mkdtemp()) / "model.mlpackage")
    ... except ModuleNotFoundError:  # the extra is not installed
    ...     counts = {"mul": 1}
    >>> counts["mul"]
    1
    """
    check_choice(precision, get_args(Precision), name="precision")
    tools, converter = import_optional("coremltools"), import_optional("stablehlo_coreml")
    path = _checked(Path(path))
    require_fixed_sizes(program, TARGET)
    if isinstance(program, QuantizedProgram):
        raise ValueError(
            "integers are not written to Core ML, whose tools measure the ranges of activations on macOS only. Write "
            "the original program, or use to_onnx or to_tflite."
        )
    model = converted(program, lambda part: _convert(tools, converter, part, precision), TARGET)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        model.save(str(fresh))
        if path.exists():
            shutil.rmtree(path)
        fresh.rename(path)
    kinds = Counter(operation.type for operation in _operations(model.get_spec()))
    return {kind: count for kind, count in sorted(kinds.items()) if kind != "const"}


def _checked(path: Path) -> Path:
    """The path, if a package may be written there.

    Raises:
        ValueError: it does not end in ``.mlpackage``, or is something else than a package.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"a package of Core ML is a folder that ends in {SUFFIX}; got {path}.")
    if path.exists() and not (path / "Manifest.json").is_file():
        raise ValueError(f"{path} exists and is no package of Core ML. Write to another path.")
    return path


def _convert(tools: Any, converter: Any, program: PortableProgram, precision: Precision) -> Any:
    """The converted model, whose results have the names of ``program.result_names``."""
    struct = jax.ShapeDtypeStruct(program.input.shape, program.input.dtype)
    lowered = jax.jit(program._run).trace(struct).lower(lowering_platforms=("cpu",))
    target = tools.target.iOS18
    options: dict[str, Any] = {
        "source": "milinternal",
        "minimum_deployment_target": target,
        "pass_pipeline": converter.build_pass_pipeline(),
        "compute_precision": tools.precision.FLOAT16 if precision == "float16" else tools.precision.FLOAT32,
        "skip_model_load": True,
    }
    # The text form omits attributes that equal their defaults; the converter fails on some of them.
    module = lowered.compiler_ir("stablehlo")
    module = type(module).parse(for_converters(program).exported.mlir_module(), context=module.context)
    with np.errstate(over="ignore"):  # while the converter tests whether numbers fit into smaller types
        model = tools.convert(converter.convert(module, minimum_deployment_target=target), **options)
    spec = model.get_spec()
    for output, name in zip(list(spec.description.output), program.result_names, strict=True):
        tools.utils.rename_feature(spec, output.name, name)
    return tools.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def _operations(spec: Any) -> Iterator[Any]:
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            yield from block.operations
