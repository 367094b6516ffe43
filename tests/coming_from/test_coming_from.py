"""Both calls of each pair give the same numbers where the other library is installed; the page lists these calls.

``python -m tests.coming_from.test_coming_from`` writes the page.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import functional, nn
from tests.coming_from.rows import FLAX, KERAS, SHAPES, TORCH, Row

PAGE = Path(__file__).parent.parent.parent / "docs" / "coming_from.md"
IMAGES = ("x", "signal", "volume")
KERNELS = ("kernel", "kernel1", "kernel3", "grouped", "depthwise", "transposed")


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    drawn = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    drawn["var"] = np.abs(drawn["var"]) + 0.5
    return drawn


def here(row: Row) -> Any:
    names = {name: jnp.asarray(array) for name, array in arrays().items()}
    return evaluate(row.here, {"F": functional, "nn": nn, **names}, names["x"])


def evaluate(call: str, names: dict[str, Any], x: Any) -> Any:
    """The value of a call; a module is initialised with a fixed key and applied to ``x``."""
    value = eval(call, {"__builtins__": {}}, names)
    if isinstance(value, linen.Module):
        variables = value.init(jax.random.key(0), x)
        return value.apply(variables, x)
    return value


def assert_close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("row", TORCH, ids=lambda row: row.operation)
def test_as_in_pytorch(row: Row) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = {}
    for name, array in arrays().items():
        if name in IMAGES:
            array = np.moveaxis(array, -1, 1)
        elif name in KERNELS:
            array = np.moveaxis(array, (-1, -2), (0, 1))
        theirs[name] = torch.tensor(np.ascontiguousarray(array))
    result = evaluate(row.there, {"F": torch.nn.functional, **theirs}, theirs["x"])
    result = result.numpy()
    assert_close(here(row), np.moveaxis(result, 1, -1))


@pytest.mark.parametrize("row", KERAS, ids=lambda row: row.operation)
def test_as_in_keras(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = arrays()
        theirs["depthwise"] = np.swapaxes(theirs["depthwise"], -1, -2)
        assert_close(here(row), evaluate(row.there, {"ops": keras.ops, **theirs}, None))


@pytest.mark.parametrize("row", FLAX, ids=lambda row: row.operation)
def test_as_in_flax(row: Row) -> None:
    names = {name: jnp.asarray(array) for name, array in arrays().items()}
    with jax.numpy_rank_promotion("allow"):
        assert_close(here(row), evaluate(row.there, {"linen": linen, **names}, names["x"]))


SILENT = """\
These calls use the layout or the defaults of PyTorch, but their shapes are valid in jaxcnn:

- A kernel `(out, in, *window)` passed to `conv` has a valid shape if its second-to-last axis has the size of the
  channels of `x`: a 3x3 window on RGB, and every window of one spatial axis. A kernel `(in, out, *window)` passed to
  `conv_transpose` has one if its last axis has that size. Both functions warn if the layout of jaxcnn is an implausible
  reading of the shape: two or more spatial axes, no groups, at least 8 output channels. There is no warning if both
  readings are plausible: `(3, 3, 3, 3)`, `(5, 3, 3, 3)`, `(64, 3, 9)`. Convert kernels of images with
  `jnp.transpose(kernel, (2, 3, 1, 0))`.
- A kernel `(*window, in, out)` passed to `conv_transpose` is valid if `in` equals `out`; `conv_transpose` reads it as
  `(*window, out, in)`.
- Pools, norms and `jaxcnn.augment` always take the last axis of `x` as the channels, so channels-first arrays raise no
  error.
- `momentum` of batch norm is the weight of the old value: 0.1, the default of PyTorch, corresponds to 0.9 in jaxcnn,
  whose default is 0.99.
- `model.apply(variables, x, mutable=["batch_stats"])` evaluates, because `train=False` is the default, and returns
  unchanged statistics. The models of `jaxcnn.models` give a warning; there is none for other networks.
- `nn.BatchNorm` reads the number of features from its input, and its first argument is `use_running_average`:
  `nn.BatchNorm(64)` is an error, but `nn.BatchNorm(1)` is not."""


def page() -> str:
    """The page in Markdown."""
    parts = [
        "# Coming from PyTorch, Keras or Flax",
        "<!-- written by `python -m tests.coming_from.test_coming_from`; do not edit -->",
        "The same call in both libraries. A test runs both calls of every row and compares the results.",
        "In jaxcnn arrays are channels-last: `x` is `(batch, height, width, channels)`, a kernel `(*window, in, out)`. "
        "`F` is `jaxcnn.functional`.",
    ]
    for library, rows, preamble in (
        (
            "PyTorch",
            TORCH,
            "`import torch.nn.functional as F`; `x` is channels-first, a kernel `(out, in, *window)`.",
        ),
        ("Keras", KERAS, "`from keras import ops`"),
        ("Flax", FLAX, "`from flax import linen` and `from jaxcnn import nn`"),
    ):
        lines = [f"| operation | {library} | jaxcnn | differences |", "| --- | --- | --- | --- |"]
        lines += [f"| {row.operation} | `{row.there}` | `{row.here}` | {row.note} |" for row in rows]
        parts += [f"## {library}", preamble, "\n".join(lines)]
        if library == "PyTorch":
            parts += ["### Mistakes that raise no error", SILENT]
    return "\n\n".join(parts) + "\n"


def test_the_page_is_what_was_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.coming_from.test_coming_from"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
