"""Residual networks trained with the ImageNet example of Flax."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import serialization

from jaxcnn._errors import ShapeError
from jaxcnn.models._registry import create, info
from jaxcnn.models._resnet import IMAGENET_FORMS, Bottleneck
from jaxcnn.models._weights._match import as_variables, match_tensors
from jaxcnn.models._weights._torch_names import Counterpart, paths

PARTS = ("params", "batch_stats")
# Path here to path there; {block} is the name of the block, counted over all stages.
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

    The example pads strided layers as TensorFlow does, so the model is made with ``same_padding=True``: its logits are
    the example's. The number of classes is the checkpoint's.

    Args:
        name: ``resnet18`` to ``resnet152``.
        checkpoint: the tree with ``params`` and ``batch_stats`` (what else a train state holds is not read), or the
            file in which Flax's own ``save_checkpoint`` kept it. A folder of Orbax is read with Orbax, into a tree.
        **options: the model's own, as in ``create``, such as ``dtype``.

    Returns:
        The model and ``{"params": ..., "batch_stats": ...}``, for ``model.apply``.

    Raises:
        ValueError: there is no such model.
        ShapeError: the example has no such model; or arrays are missing, left over or of another shape.
    """
    info(name)
    if name not in IMAGENET_FORMS:
        raise ShapeError(f"the example has {', '.join(IMAGENET_FORMS)}; got {name!r}.")
    tree = (
        checkpoint if isinstance(checkpoint, Mapping) else serialization.msgpack_restore(Path(checkpoint).read_bytes())
    )
    tensors = dict(paths({part: tree[part] for part in PARTS if part in tree}))
    bias = tensors.get("params/Dense_0/bias")
    model = create(name, num_classes=None if bias is None else len(bias), same_padding=True, **options)
    x = jnp.zeros((1, *info(name).input_shape))
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)
    specs = {path: _counterpart(name, path, tuple(leaf.shape)) for path, leaf in paths(shapes)}
    where = "the tree" if isinstance(checkpoint, Mapping) else str(checkpoint)
    found = match_tensors(specs, tensors, where=f"{where}, read as the Flax example's {name}")
    return model, as_variables(shapes, found)


def _counterpart(name: str, path: str, shape: tuple[int, ...]) -> Counterpart:
    """The example counts blocks from the first stage to the last; everything else has the same layout."""
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
