"""Each pair of calls gives the same numbers, where the other library is installed; the page is what was run.

``python -m tests.coming_from.test_coming_from`` writes the page again.
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
    """The value of a call; a module is given variables drawn from one key, and applied to ``x``."""
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
Some calls in the layout or with the defaults of PyTorch are accepted, because their arguments fit:

- A kernel `(out, in, *window)` given to `conv`, or `(in, out, *window)` given to `conv_transpose`, fits where the
  window is as wide as `x` has channels: a 3x3 window on RGB, and every window of one spatial axis. `conv` and
  `conv_transpose` warn where the reading as `(*window, in, out)` is implausible: two or more spatial axes, no
  groups, at least 8 output channels. They cannot where both readings are plausible: `(3, 3, 3, 3)`, `(5, 3, 3, 3)`,
  `(64, 3, 9)`. Use `jnp.transpose(kernel, (2, 3, 1, 0))`.
- A kernel `(*window, in, out)` given to `conv_transpose` fits where `in` equals `out`, and is then read with the
  two exchanged.
- Channels-first `x` given to pools, norms and `jaxcnn.augment`: the last axis is the channels, whatever its size.
- `momentum` of batch norm is the weight of the old value: 0.1 in PyTorch is 0.9 here.
- `model.apply(variables, x, mutable=["batch_stats"])`: evaluation is the default, and it returns the statistics
  without an update. The models of `jaxcnn.models` warn; a network of your own cannot.
- `nn.BatchNorm(64)`: the number of features is read from the input, and the first argument is
  `use_running_average`; a number other than 0 and 1 is refused."""


def page() -> str:
    """The page in Markdown."""
    parts = [
        "# Coming from PyTorch, Keras or Flax",
        "Written from the tests that run both sides of every row and compare the numbers "
        "(`tests/coming_from`); do not edit it by hand.",
        "Arrays are channels-last here: `x` is `(batch, height, width, channels)`, a kernel `(*window, in, out)`. "
        "`F` is `jaxcnn.functional` on our side.",
    ]
    for library, rows, preamble in (
        (
            "PyTorch",
            TORCH,
            "`import torch.nn.functional as F`; there `x` is channels-first, a kernel `(out, in, *window)`.",
        ),
        ("Keras", KERAS, "`from keras import ops`"),
        ("Flax", FLAX, "`from flax import linen` and `from jaxcnn import nn`"),
    ):
        lines = [f"| operation | {library} | jaxcnn | to know |", "| --- | --- | --- | --- |"]
        lines += [f"| {row.operation} | `{row.there}` | `{row.here}` | {row.note} |" for row in rows]
        parts += [f"## {library}", preamble, "\n".join(lines)]
        if library == "PyTorch":
            parts += ["### What is accepted and may be a mistake", SILENT]
    return "\n\n".join(parts) + "\n"


def test_the_page_is_what_was_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.coming_from.test_coming_from"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
