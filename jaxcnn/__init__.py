"""jaxcnn: convolutional networks in JAX, from pure functions to reproducible training.

Each public name is imported when it is first used, so that ``import jaxcnn.shapes`` does not import jax and the command
line starts quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxcnn._extras import with_hint
from jaxcnn._hints import missing_name
from jaxcnn._other_names import NAMES

if TYPE_CHECKING:  # for type checkers and the reference; __getattr__ imports the same names
    from jaxcnn import attribution, augment, data, export, functional, live, metrics, models, nn, shapes, train, vis
    from jaxcnn._check_gradients import check_gradients
    from jaxcnn._freed_memory import keep_freed_memory, release_freed_memory
    from jaxcnn.functional import accelerate
    from jaxcnn.models import summary
    from jaxcnn.shapes import ShapeError
    from jaxcnn.train import load

_MODULES = (
    "attribution",
    "augment",
    "data",
    "export",
    "functional",
    "live",
    "metrics",
    "models",
    "nn",
    "shapes",
    "train",
    "vis",
)
_NAMES = {
    "ShapeError": "jaxcnn.shapes",
    "accelerate": "jaxcnn.functional",
    "check_gradients": "jaxcnn._check_gradients",
    "keep_freed_memory": "jaxcnn._freed_memory",
    "load": "jaxcnn.train",
    "release_freed_memory": "jaxcnn._freed_memory",
    "summary": "jaxcnn.models",
}

__all__ = [
    "ShapeError",
    "accelerate",
    "attribution",
    "augment",
    "check_gradients",
    "data",
    "export",
    "functional",
    "keep_freed_memory",
    "live",
    "load",
    "metrics",
    "models",
    "nn",
    "release_freed_memory",
    "shapes",
    "summary",
    "train",
    "vis",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        try:
            return importlib.import_module(f"jaxcnn.{name}")
        except ModuleNotFoundError as error:
            raise with_hint(error) from None
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    missing_name(__name__, __all__, NAMES[__name__], name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
