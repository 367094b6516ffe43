"""The packages that are optional, and the error for a missing one."""

import importlib
from typing import Any

# The modules that ``pip install 'jaxcnn[train]'`` installs in addition to the core.
TRAIN = {
    "google_crc32c",
    "grain",
    "importlib_resources",
    "matplotlib",
    "optax",
    "orbax",
    "PIL",
    "rich",
    "tensorflow_datasets",
}
# The argument of ``pip install`` for each module.
_REQUIREMENTS = dict.fromkeys(TRAIN, "'jaxcnn[train]'") | {
    "ai_edge_litert": "'jaxcnn[tflite]'",
    "coremltools": "'jaxcnn[coreml]'",
    "litert_converter": "'jaxcnn[tflite]'",
    "litert_quantizer": "'jaxcnn[tflite]'",
    "mlflow": "mlflow-skinny",
    "onnx": "'jaxcnn[onnx]'",
    "onnxruntime": "'jaxcnn[onnx]'",
    "stablehlo_coreml": "'jaxcnn[coreml]'",
    "tensorboard": "'jaxcnn[tensorboard]'",
    "wandb": "wandb",
}


def is_optional(error: ModuleNotFoundError) -> bool:
    """Whether the missing module belongs to an optional package.

    >>> is_optional(ModuleNotFoundError(name="optax")), is_optional(ModuleNotFoundError(name="mine"))
    (True, False)
    """
    return (error.name or "").split(".")[0] in _REQUIREMENTS


def with_hint(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error, with the command that installs the package if it is optional.

    >>> with_hint(ModuleNotFoundError("No module named 'grain'", name="grain"))
    ModuleNotFoundError("No module named 'grain': it comes with pip install 'jaxcnn[train]'")
    """
    if not is_optional(error):
        return error
    source = _REQUIREMENTS[(error.name or "").split(".")[0]]
    return ModuleNotFoundError(f"{error.msg}: it comes with pip install {source}", name=error.name)


def import_optional(module: str) -> Any:
    """A module of an optional package.

    Raises:
        ModuleNotFoundError: the package is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise with_hint(error) from None
