"""Every image size that a model supports gives an output, and the next smaller size is refused."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import ShapeError, models
from tests.tiers import default_rows

LARGEST = 320
STRIDE = 32  # the largest stride of a last map


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A model with its own windows and strides but fewer channels and layers, and the supported sides of its images."""

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    smallest: int = 1
    largest: int = LARGEST
    some_refused: bool = False  # some sides within the range are refused by a ShapeError

    def output(self, height: int, width: int) -> tuple[int, ...]:
        model = models.create(self.name, num_classes=3, **self.options)
        x = jax.ShapeDtypeStruct((1, height, width, models.info(self.name).input_shape[-1]), jnp.float32)
        return jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x)[0], x).shape

    @property
    def dense(self) -> bool:
        return self.name.startswith(("unet", "fcn", "deeplab"))


ONE_BLOCK = {"stage_sizes": (1, 1, 1, 1), "width": 1}
CLAIMS = [
    Claim(name="alexnet", options={"hidden": 1}, smallest=63),
    Claim(name="alexnet_2012", options={"hidden": 1}, smallest=227, largest=254),
    Claim(name="bn_inception", options={"width": 0.01}, smallest=15),
    Claim(name="bn_baseline", options={"width": 0.01}, smallest=15),
    Claim(name="cifar_speedrun", options={"widths": (1, 1, 1)}, smallest=25, largest=48),
    Claim(name="convnetjs_cifar10", smallest=8),
    Claim(name="convnext_tiny", options={"stage_sizes": (1, 1, 1, 1), "widths": (1, 1, 1, 1)}, smallest=32),
    Claim(name="deeplabv3_resnet50", options={**ONE_BLOCK, "channels": 1}),
    Claim(
        name="efficientnet_b0",
        options={"stages": ((1, 3, 1, 8, 1), (1, 3, 2, 8, 1), (1, 5, 2, 8, 1), (1, 3, 2, 8, 1), (1, 5, 2, 8, 1))},
    ),
    Claim(
        name="fcn8s_vgg16",
        options={"stage_sizes": (1, 1, 1, 1, 1), "widths": (1, 1, 1, 1, 1), "hidden": 1},
    ),
    Claim(name="fcn_resnet50", options=ONE_BLOCK),
    Claim(name="googlenet", options={"width": 0.01}, smallest=31),
    Claim(name="googlenet_torchvision", options={"width": 0.01}, smallest=15),
    Claim(name="lenet5", smallest=32, largest=35),
    Claim(name="lenet5_1998", smallest=32, largest=35),
    Claim(name="mobilenet_v2", options={"stages": tuple((1, 8, 1, strides) for strides in (1, 2, 2, 2, 2))}),
    Claim(name="neocognitron", smallest=8),
    Claim(name="resnet18", options=ONE_BLOCK),
    Claim(name="resnet50", options=ONE_BLOCK),
    Claim(name="resnet20_cifar", options={"stage_sizes": (1, 1, 1), "width": 1}),
    Claim(name="unet", options={"widths": (1, 1, 1, 1, 1)}, some_refused=True),
    Claim(
        name="vgg11",
        options={"stage_sizes": (1, 1, 1, 1, 1), "widths": (1, 1, 1, 1, 1), "hidden": 1},
        smallest=32,
    ),
    Claim(name="vit_s_16", options={"depth": 1, "width": 2, "num_heads": 1}, smallest=16, some_refused=True),
]
# Networks whose family has a shallower member.
DEEP = {"bn_baseline", "googlenet", "resnet50"}
# One network of each kind: a chain of convolutions and pools, branches, blocks, a decoder, patches.
BY_DEFAULT = ["alexnet", "googlenet_torchvision", "resnet18", "unet", "vit_s_16"]
every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)


def check(claim: Claim, sizes: list[int]) -> None:
    """Checks each size once, two sizes per image."""
    failed = {}
    for height, width in zip(sizes[::2], reversed([*sizes[1::2], *sizes[-1:][: len(sizes) % 2]]), strict=True):
        try:
            shape = claim.output(height, width)
        except ShapeError as error:
            if not claim.some_refused:
                failed[height, width] = error
            continue
        except Exception as error:  # any exception contradicts the claim
            failed[height, width] = error
            continue
        assert shape == ((1, *shape[1:3], 3) if claim.dense else (1, 3))
    assert not failed, f"{claim.name} does not read {list(failed)}: {next(iter(failed.values()))}"


@pytest.mark.parametrize(
    "claim",
    default_rows({claim.name: claim for claim in CLAIMS}, keep=BY_DEFAULT),
)
def test_some_sizes_of_the_claim(claim: Claim) -> None:
    first, last = claim.smallest, min(claim.largest, LARGEST)
    check(claim, sorted({first, min(first + 1, last), last - 1, last}))


@every_claim
@pytest.mark.gate
def test_every_size_of_the_claim(claim: Claim) -> None:
    """Every size up to the total stride above the smallest, and the last sizes.

    Larger sizes repeat these cases. Up to three times the stride every fifth size is tested, so that remainders differ.
    """
    last = min(claim.largest, LARGEST)
    once, repeats_after = (min(claim.smallest + count * STRIDE, last) for count in (1, 3))
    every, some = range(claim.smallest, once + 1), range(once + 5, repeats_after + 1, 5)
    check(claim, sorted({*every, *some, *range(max(last - 7, claim.smallest), last + 1)}))


@pytest.mark.parametrize(
    "claim", default_rows({claim.name: claim for claim in CLAIMS}, keep=[c.name for c in CLAIMS if c.name not in DEEP])
)
def test_sizes_outside_of_the_claim_are_refused(claim: Claim) -> None:
    outside = [claim.smallest - 1] + ([claim.largest + 1] if claim.largest < LARGEST else [])
    for size in outside:
        if size:
            with pytest.raises(ShapeError, match=r"got x.shape=|side"):
                claim.output(size, size)


WITH_HEADS = {claim.name: claim for claim in CLAIMS if not claim.dense and claim.name != "lenet5_1998"}


@pytest.mark.parametrize("claim", default_rows(WITH_HEADS, keep=[name for name in BY_DEFAULT if name in WITH_HEADS]))
def test_without_a_head_a_model_returns_the_features_that_its_head_reads(claim: Claim) -> None:
    size = max(claim.smallest, 32)
    model = models.create(claim.name, num_classes=0, **claim.options)
    x = jnp.zeros((2, size, size, models.info(claim.name).input_shape[-1]))
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
    assert not {"head", "fc8", "output"} & set(variables["params"])
    found = jax.eval_shape(lambda v: model.apply(v, x, method="features"), variables)
    assert found["logits"].ndim == 2 and found["logits"].size > 0
    assert "pooled" not in found or found["pooled"].shape == found["logits"].shape


@pytest.mark.parametrize("name", ["unet", "fcn8s_vgg16", "fcn_resnet50", "lenet5_1998"])
def test_a_model_without_features_of_an_image_refuses_to_lose_its_head(name: str) -> None:
    model = models.create(name, num_classes=0)
    with pytest.raises(ValueError, match=r"num_classes=0 would leave no output|codes for 1 to 10 classes, not 0"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *models.info(name).input_shape)))


def test_auxiliary_heads_require_classes() -> None:
    model = models.create("googlenet", num_classes=0, aux_heads=True, width=0.1)
    with pytest.raises(ValueError, match="the auxiliary heads require classes"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))


def test_a_negative_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="create: num_classes=-1 must be at least 1, or 0 for features without a head"):
        models.create("resnet18", num_classes=-1)
    with pytest.raises(TypeError, match="create: num_classes must be an integer"):
        models.create("resnet18", num_classes=2.5)
