"""A small network of each family of ``models.list_models()``, with variables as after training."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn import models
from jaxcnn.export import PortableProgram, portable

# The first blocks of the inception networks: the channels of their branches, and their pool.
BLOCKS = inspect.signature(models.create("bn_inception").__class__).parameters["blocks"].default
ONE_OF_EACH_STAGE = tuple((name, (64, 96, 128, 16, 32, 32)) for name in ("3a", "4a", "5a"))
SMALL_DETECTOR: dict[str, Any] = {
    "head": functools.partial(models.DenseHead, hidden=(12,)),
    "candidates": (16, 16),
    "max_proposals": (8, 8),
    "max_detections": 6,
}
DILATED = {"stage_sizes": (1, 1, 1, 1), "width": 4}

# For each family: the options that make it small, the side of the images (or the shape of an example without channels),
# and the number of its batch norms that do not directly follow a convolution of their own; None for networks without
# batch norms.
FAMILIES: dict[str, tuple[Mapping[str, Any], int | tuple[int, ...], int | None]] = {
    "alexnet": ({"hidden": 16}, 63, None),
    "alexnet_2012": ({"hidden": 16}, 227, None),
    "bn_inception": ({"width": 0.1, "blocks": BLOCKS[1:3]}, 32, 0),
    "inception_2015": ({"width": 0.1, "blocks": BLOCKS[:1]}, 32, None),
    "cifar_speedrun": ({"widths": (8, 8, 8)}, 32, 3),
    "convnetjs_cifar10": ({}, 32, None),
    "convnext_tiny": ({"stage_sizes": (1, 1), "widths": (8, 16)}, 32, None),
    "deeplabv3_resnet50": ({**DILATED, "channels": 8}, 33, 0),
    "deeplabv3plus_resnet50": ({**DILATED, "channels": 8, "early_channels": 2}, 33, 0),
    "efficientnet_b0": ({"width": 0.1, "depth": 0.2}, 32, 0),
    "farabet_multiscale": ({"widths": (2, 3), "hidden": 4, "scales": 2}, 16, None),
    "fasterrcnn_resnet50_fpn": (
        {
            **SMALL_DETECTOR,
            "backbone": functools.partial(models.ResNetPyramid, stage_sizes=(1, 1), channels=4, width=2),
            "anchor_sizes": ((8,), (16,), (32,)),
            "pooled_maps": 2,
        },
        32,
        None,
    ),
    "fasterrcnn_vgg16": (
        {
            **SMALL_DETECTOR,
            "backbone": functools.partial(models.VGGMap, stage_sizes=(1,) * 5, widths=(4,) * 5),
            "anchor_sizes": ((16, 32),),
        },
        48,
        None,
    ),
    "fcn_resnet50": (DILATED, 33, 0),
    "fcn8s_vgg16": ({"widths": (4,) * 5, "stage_sizes": (1,) * 5, "hidden": 4}, 40, None),
    "c3d": ({"stage_sizes": (1, 1, 1, 1, 1), "widths": (2, 2, 2, 2, 2), "hidden": 4}, (1, 112, 112), None),
    "fcn_1d": ({"widths": (3, 4, 3)}, (12,), 0),
    "inception_time": ({"width": 2, "depth": 3, "windows": (4,)}, (12,), 3),
    "pilotnet": ({}, (66, 200), None),
    "mc3_18": ({"kinds": ("3d", "2d"), "width": 4, "stage_sizes": (1, 1)}, (4, 16, 16), 0),
    "r2plus1d_18": ({"kinds": ("2+1d",), "width": 4, "stage_sizes": (1,)}, (4, 16, 16), 0),
    "r3d_18": ({"width": 4, "stage_sizes": (1, 1, 1, 1)}, (4, 16, 16), 0),
    "resnet_1d": ({"widths": (2, 3)}, (12,), 0),
    "wavenet_stack": ({"dilations": (1, 2), "stacks": 1, "width": 3, "skip_width": 3}, (12,), None),
    "googlenet": ({"width": 0.05, "blocks": ONE_OF_EACH_STAGE}, 31, None),
    "lenet5": ({}, 32, None),
    "lenet5_1998": ({}, 32, None),
    "mobilenet_v2": ({"width": 0.1, "stages": ((1, 16, 1, 1), (6, 24, 2, 2))}, 16, 0),
    "neocognitron": ({}, 16, None),
    "resnet18": ({"width": 4, "stage_sizes": (1, 1, 1, 1)}, 32, 0),
    "resnet20_cifar": ({"width": 4, "stage_sizes": (1, 1, 1)}, 16, 0),
    "two_stream": ({"hidden": (8, 6)}, 201, None),
    "two_stream_spatial": ({"hidden": (8, 6)}, 201, None),
    "unet": ({"widths": (4, 8)}, 32, None),
    "vgg11_bn": ({"stage_sizes": (1,) * 5, "widths": (4,) * 5, "hidden": 8}, 64, 0),
    "vit_s_16": ({"width": 12, "depth": 2, "num_heads": 3, "mlp_width": 16, "patch": 8}, 16, None),
}


DETECTORS = ("fasterrcnn_resnet50_fpn", "fasterrcnn_vgg16")  # whose programs require the number of images


class Network(NamedTuple):
    """A network that is ready to be exported.

    Attributes:
        model: the module.
        variables: drawn so that all of them matter.
        function: images -> logits.
        shape: of one image.
        images: two of them.
    """

    model: nn.Module
    variables: dict[str, Any]
    function: Callable[[jax.Array], jax.Array]
    shape: tuple[int, ...]
    images: np.ndarray


@functools.cache
def network(name: str) -> Network:
    """The small network of a family."""
    options, size, _ = FAMILIES[name]
    fixed = name in ("lenet5_1998", "pilotnet")
    model = models.create(name, **{} if fixed else {"num_classes": 4}, **options)
    sizes = (size, size) if isinstance(size, int) else size
    shape = (*sizes, models.info(name).input_shape[-1])
    return prepared(model, shape)


@functools.cache
def program(name: str) -> PortableProgram:
    """The small network of a family as a program for batches of any size; for a detector, for two images."""
    chosen = network(name)
    return portable(chosen.function, (2 if name in DETECTORS else None, *chosen.shape))


def prepared(model: nn.Module, shape: tuple[int, ...]) -> Network:
    """A network with random variables, made without compiling anything."""
    generator = np.random.default_rng(0)
    kinds = jax.eval_shape(
        functools.partial(model.init, **_evaluation(model)), jax.random.key(0), jnp.zeros((1, *shape))
    )
    variables = jax.tree_util.tree_map_with_path(functools.partial(draw, generator), dict(kinds))
    function = functools.partial(model.apply, variables, **_evaluation(model))
    return Network(model, variables, function, shape, generator.normal(size=(2, *shape)).astype(np.float32))


def draw(generator: np.random.Generator, path: Any, kind: jax.ShapeDtypeStruct) -> np.ndarray:
    """Statistics and scales that are neither 0 nor 1, and kernels that preserve the variance.

    The values for boxes and scores are smaller, so that boxes have areas and several classes have probabilities.
    """
    name, shape = path[-1].key, kind.shape
    if name in ("var", "scale", "b"):  # b of the neocognitron is an inhibition
        array = generator.uniform(0.5, 2, shape)
    elif len(shape) > 1:
        array = generator.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        array = np.abs(array) if name == "a" else array
    else:
        array = generator.normal(size=shape) * 0.3
    if {each.key for each in path} & {"rpn", "predictor"}:
        array = array * 0.2
    return array.astype(kind.dtype)


def difference(expected: Any, found: Any) -> float:
    """The largest difference relative to the largest entry, over the arrays of two trees."""
    worst = 0.0
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert one.shape == other.shape
        assert np.abs(one).max() > 0
        worst = max(worst, float(np.abs(one - other).max() / np.abs(one).max()))
    return worst


def _evaluation(model: nn.Module) -> dict[str, bool]:
    return {"train": False} if "train" in inspect.signature(type(model).__call__).parameters else {}
