"""Dilated residual networks: their maps, auxiliary scores, and errors. Logits: test_torch_weights.py."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from tests.models.small import quick_jit
from tests.tiers import default_rows

TINY: dict[str, Any] = {"num_classes": 3, "stage_sizes": (1, 1, 2, 2), "width": 4}
FEW = {"stage_sizes": (1, 1, 1, 1)}


def shapes(name: str, size: int, *, train: bool = False, batch: int = 2, **options: Any) -> dict[str, Any]:
    model = models.create(name, **{**TINY, **options})
    x = jnp.zeros((batch, size, size, 3))
    variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), x)

    def features(variables: Any) -> Any:
        more: dict[str, Any] = {"mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(1)}} if train else {}
        found = model.apply(variables, x, train=train, method="features", **more)
        return found[0] if train else found

    return {name: each.shape for name, each in jax.eval_shape(features, variables).items()}


# output_stride, stem, sizes of the maps of stages 2 to 4 for an image of 64x64
MAPS = [
    (32, "7x7", (8, 4, 2)),
    (16, "7x7", (8, 4, 4)),
    (8, "7x7", (8, 8, 8)),
    (4, "7x7", (16, 16, 16)),
    (8, "3x3", (32, 16, 8)),
    (4, "3x3", (32, 16, 16)),
    (2, "3x3", (32, 32, 32)),
]


@pytest.mark.parametrize(("stride", "stem", "sizes"), default_rows(MAPS, keep=[8]))
def test_a_smaller_output_stride_keeps_the_maps_large(stride: int, stem: str, sizes: tuple[int, ...]) -> None:
    found = shapes("resnet50", 64, stem=stem, output_stride=stride)
    assert tuple(found[f"stage{stage}"][1] for stage in (2, 3, 4)) == sizes


def test_a_network_for_segmentation_has_the_stem_and_the_stride_of_its_backbone() -> None:
    found = shapes("deeplabv3_resnet50", 48, stem="3x3", output_stride=4, **FEW)
    assert (found["stage4"][1:3], found["logits"][1:3]) == ((12, 12), (48, 48))
    assert shapes("deeplabv3_resnet50", 48, **FEW)["stage4"][1:3] == (6, 6)


def test_the_decoder_reads_the_map_of_the_first_stage() -> None:
    """Its score map has the stride of that stage, 4: the logits of two such maps' pixels are interpolated."""
    model = models.create("deeplabv3plus_resnet50", **TINY, channels=4, early_channels=2)
    x = jax.random.normal(jax.random.key(0), (2, 64, 48, 3))
    variables = quick_jit(functools.partial(model.init, train=False))(jax.random.key(1), x)
    logits, found = quick_jit(
        functools.partial(model.apply, capture_intermediates=lambda module, _: module.name == "head")
    )(variables, x)
    (scores,) = found["intermediates"]["head"]["__call__"]
    assert (scores.shape, logits.shape) == ((2, 16, 12, 3), (2, 64, 48, 3))
    params = variables["params"]
    assert params["early"]["conv"]["kernel"].shape == (1, 1, 16, 2)
    assert params["fuse"]["conv"]["kernel"].shape == (3, 3, 4 + 2, 4)
    blind = {**params, "early": jax.tree.map(jnp.zeros_like, params["early"])}
    changed = quick_jit(model.apply)({**variables, "params": blind}, x)
    assert float(jnp.abs(changed - logits).max()) > 1e-4


def test_parameters_of_the_decoder() -> None:
    """The backbone, three layers of the pyramid with 3x3 windows and three with 1x1, the decoder, and the scores."""
    pyramid = 2 * (2048 * 256 + 512) + 3 * (9 * 2048 * 256 + 512) + 5 * 256 * 256 + 512
    decoder = 256 * 48 + 96 + 9 * (256 + 48) * 256 + 512 + 9 * 256 * 256 + 512
    backbone = models.info("resnet50").parameters - (2048 * 1000 + 1000)
    assert models.info("deeplabv3plus_resnet50").parameters == backbone + pyramid + decoder + 256 * 21 + 21


@pytest.mark.gate
@pytest.mark.parametrize(("stem", "strides"), [("7x7", (32, 8)), ("3x3", (8, 2))])
def test_a_dilated_network_computes_the_strided_one_at_some_pixels(stem: str, strides: tuple[int, int]) -> None:
    """Dilated windows without the preceding strides read the same pixels as the windows of the strided network."""
    strided, dilated = (models.create("resnet50", **TINY, stem=stem, output_stride=stride) for stride in strides)
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    variables = quick_jit(functools.partial(strided.init, train=False))(jax.random.key(0), x)
    few, many = (
        quick_jit(functools.partial(model.apply, method="features"))(variables, x) for model in (strided, dilated)
    )
    # The stride of the first block of a stage becomes the dilation of the second, which is twice that of the first.
    np.testing.assert_allclose(many["stage3"][:, ::2, ::2], few["stage3"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(many["stage4"][:, ::4, ::4], few["stage4"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", default_rows(["fcn_resnet50", "deeplabv3_resnet50"], keep=["fcn_resnet50"]))
def test_auxiliary_scores_are_those_of_training(name: str) -> None:
    assert shapes(name, 33, aux_head=True, **FEW).keys() == {"stage3", "stage4", "logits"}
    found = shapes(name, 33, train=True, aux_head=True, **FEW)
    assert found["aux"] == found["logits"] == (2, 33, 33, 3)
    assert shapes(name, 33, train=True, **FEW).keys() == {"stage3", "stage4", "logits"}


def test_a_batch_of_one_image_is_refused_in_training() -> None:
    with pytest.raises(ShapeError, match=r"one value a channel and image, .* Train on at least two images a step"):
        shapes("deeplabv3_resnet50", 33, train=True, batch=1, **FEW)
    shapes("deeplabv3_resnet50", 33, batch=1, **FEW)
    shapes("fcn_resnet50", 33, train=True, batch=1, **FEW)


def test_other_strides_and_basic_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"output_stride=5 is not known\. Known: 32, 16, 8, 4, 2\."):
        shapes("resnet50", 64, output_stride=5)
    with pytest.raises(ValueError, match=r'output_stride=2 is less than 4, the stride of the 7x7 stem\. .* stem="3x3"'):
        shapes("resnet50", 64, output_stride=2)
    with pytest.raises(ValueError, match=r"output_stride below 32 is for bottlenecks"):
        shapes("resnet18", 64, output_stride=8, stage_sizes=(1, 1, 1, 1))
