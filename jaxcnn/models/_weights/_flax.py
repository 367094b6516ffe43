"""Weights of residual networks from the ImageNet example of Flax."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import serialization

from jaxcnn.models._registry import create, info
from jaxcnn.models._resnet import IMAGENET_FORMS, Bottleneck
from jaxcnn.models._weights._match import as_variables, match_tensors
from jaxcnn.models._weights._torch_names import Counterpart, paths

PARTS = ("params", "batch_stats")
# From the path in jaxcnn to the path in the example; {block} is the name of the block, numbered over all stages.
NAMES = {
    "stem_conv": "conv_init",
    "stem_norm": "bn_init",
    r"stage\d_block\d+/conv1": "{block}/Conv_0",
    r"stage\d_block\d+/conv2": "{block}/Conv_1",
    r"stage\d_block\d+/conv3": "{block}/Conv_2",
    r"stage\d_block\d+/norm1": "{block}/BatchNorm_0",
    r"stage\d_block\d+/norm2": "{block}/BatchNorm_1",
    r"stage\d_block\d+/norm3": "{block}/BatchNorm_2",
    r"stage\d_block\d+/shortcut_conv": "{block}/conv_proj",
    r"stage\d_block\d+/shortcut_norm": "{block}/norm_proj",
    "head": "Dense_0",
}


def load_flax_resnet(
    name: str, checkpoint: str | Path | Mapping[str, Any], **options: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """A residual network, and its variables from the ImageNet example of Flax.

    The example pads strided layers as TensorFlow does, so the model has ``same_padding=True`` and the same logits as
    the example. The number of classes is that of the checkpoint.

    Args:
        name: ``resnet18`` to ``resnet152``.
        checkpoint: a tree with ``params`` and ``batch_stats`` (other entries of a train state are ignored), or a file
            of Flax's ``save_checkpoint``. For a folder of Orbax, restore the tree with Orbax first.
        **options: of the model, as in ``create``, such as ``dtype``.

    Returns:
        The model and ``{"params": ..., "batch_stats": ...}``, for ``model.apply``.

    Raises:
        ValueError: an unknown name, a model that the example does not have, or missing or unexpected arrays.
        ShapeError: arrays of another shape.
        TypeError: ``name`` is not a string.

    >>> model = create("resnet18", num_classes=10)
    >>> load_flax_resnet("lenet5", {})
    Traceback (most recent call last):
    ValueError: load_flax_resnet: the example has resnet18, resnet34, resnet50, resnet101, resnet152; got 'lenet5'.
    """
    info(name)
    if name not in IMAGENET_FORMS:
        raise ValueError(f"the example has {', '.join(IMAGENET_FORMS)}; got {name!r}.")
    tree = (
        checkpoint if isinstance(checkpoint, Mapping) else serialization.msgpack_restore(Path(checkpoint).read_bytes())
    )
    tensors = dict(paths({part: tree[part] for part in PARTS if part in tree}))
    bias = tensors.get("params/Dense_0/bias")
    model = create(
        name, num_classes=None if bias is None or not np.ndim(bias) else len(bias), same_padding=True, **options
    )
    x = jnp.zeros((1, *info(name).input_shape))
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    specs = {path: _counterpart(name, path, tuple(leaf.shape)) for path, leaf in paths(shapes)}
    where = "the tree" if isinstance(checkpoint, Mapping) else str(checkpoint)
    found = match_tensors(specs, tensors, where=f"{where}, read as the Flax example's {name}")
    return model, as_variables(shapes, found)


def _counterpart(name: str, path: str, shape: tuple[int, ...]) -> Counterpart:
    """The array of the example, which numbers blocks over all stages; layouts are equal."""
    block, sizes, *_ = IMAGENET_FORMS[name]
    part, _, rest = path.partition("/")
    module, _, leaf = rest.rpartition("/")
    there = next(there for ours, there in NAMES.items() if re.fullmatch(ours, module))
    place = re.match(r"stage(\d)_block(\d+)/", rest)
    if place:
        number = sum(sizes[: int(place[1]) - 1]) + int(place[2])
        kind = "BottleneckResNetBlock" if block is Bottleneck else "ResNetBlock"
        there = there.format(block=f"{kind}_{number}")
    return Counterpart(
        name=f"{part}/{there}/{leaf}", ours=shape, split=shape, order=tuple(range(len(shape))), theirs=shape
    )
