"""Changes that reduce memory accesses of a training step on a TPU: the stem and a block of ResNet-50, without a TPU.

    pip install '.[train,tpu-compile]'
    python -m docs.bench.fewer_bytes --json docs/bench/fewer_bytes.json

Each change is applied to the same program, whose batch norms have no second pass so that their loops are not counted.
The figures are those of the compiler, as in ``compiled_steps.py``. ``compiled_experiments.py`` writes the table of
docs/many_devices.md from the file.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen
from jax.ad_checkpoint import checkpoint_name

import jaxcnn.nn as nn
from docs.bench import compiled_steps
from docs.bench.compiled_steps import NETS, add, compiled, figures, without_loops
from jaxcnn import functional as F

NAME = "resnet50, stem and block"
CONVOLUTION = "result of a convolution"


class Recomputed:
    """A model whose gradient keeps the results of convolutions and computes batch norm and ReLU once more."""

    def __init__(self, model: linen.Module) -> None:
        self.model = model

    def apply(self, variables: Any, x: jax.Array, **options: Any) -> Any:
        """Like ``apply`` of the model."""

        def call(variables: Any, x: jax.Array) -> Any:
            with linen.intercept_methods(_named):
                return self.model.apply(variables, x, **options)

        return jax.checkpoint(call, policy=jax.checkpoint_policies.save_only_these_names(CONVOLUTION))(variables, x)


def _named(next_method: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    result = next_method(*args, **kwargs)
    return checkpoint_name(result, CONVOLUTION) if isinstance(context.module, nn.Conv) else result


@contextlib.contextmanager
def recomputed() -> Iterator[None]:
    """Inside the block steps compute batch norm and ReLU once more in their backward pass."""
    step = compiled_steps.training_step
    with mock.patch.object(compiled_steps, "training_step", lambda model: step(cast(Any, Recomputed(model)))):
        yield


@contextlib.contextmanager
def narrow_statistics() -> Iterator[None]:
    """Inside the block batch norm computes in the type of its input, so that squares are rounded to bfloat16."""
    with mock.patch("jaxcnn.functional._batch_norm.accumulator_dtype", lambda dtype: dtype):
        yield


def space_to_depth(x: jax.Array) -> jax.Array:
    """Squares of 2x2 entries as channels.

    >>> space_to_depth(jnp.arange(16).reshape(1, 4, 4, 1))[0, 0]
    Array([[0, 1, 4, 5],
           [2, 3, 6, 7]], dtype=int32)
    """
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, height // 2, width // 2, 4 * channels)


def stem_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The 7x7 convolution with stride 2 and padding 3, by one of 4x4 with stride 1 of four times the channels."""
    wide = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))  # 8x8, so that the window starts at an even pixel
    size, _, channels, features = wide.shape
    squares = space_to_depth(wide.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0)
    assert squares.shape == (size // 2, size // 2, 4 * channels, features)
    return F.conv(space_to_depth(x), squares, padding=((2, 1), (2, 1)))


def _squares(next_method: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    module = context.module
    if module.name != "stem_conv" or context.method_name != "__call__" or module.is_initializing():
        return next_method(*args, **kwargs)
    kernel = module.variables["params"]["kernel"]
    return stem_convolution(args[0].astype(module.dtype), kernel.astype(module.dtype))


CHANGES: Mapping[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "as it is": contextlib.nullcontext,
    "batch norm and ReLU computed once more in the backward pass": recomputed,
    "statistics from bfloat16 squares": narrow_statistics,
    "first layer on squares of 2x2 pixels": lambda: linen.intercept_methods(_squares),
}


def main() -> None:
    """Compiles the program with each change, and adds the figures to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the file to write, or to add to")
    parser.add_argument("--only", default="", help="changes whose name has this text")
    options = parser.parse_args()
    net = NETS[NAME]
    for change, context in CHANGES.items():
        if options.only in change:
            began = time.perf_counter()
            with without_loops(), context():
                found = figures(*compiled(net, "bfloat16"), 1)
            found["compile_seconds"] = round(time.perf_counter() - began, 1)
            print(change, found, flush=True)
            add(options.json, f"{NAME}, {net.topology}, bfloat16", {change: found})


if __name__ == "__main__":
    main()
