"""Historical networks: exact sizes, invalid options and inputs, and that each network learns."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcnn import ShapeError, models
from jaxcnn.models._bn_inception import BLOCKS, PAPER_RUNS
from jaxcnn.models._neocognitron import Stage
from tests.models.small import Small, initialized, losses, quick_jit
from tests.tiers import default_rows

NAMES = (
    *("bn_baseline", "bn_inception", "bn_x30", "bn_x5", "bn_x5_sigmoid", "convnetjs_cifar10", "fcn16s_vgg16"),
    *("fcn32s_vgg16", "fcn8s_vgg16", "googlenet", "googlenet_torchvision", "inception_2015", "lenet5_1998"),
    *("neocognitron", "unet", "vit_b_16", "vit_s_16"),
)
TINY_INCEPTION = {"width": 0.1, "dropout_rate": 0.0}
TWO_BLOCKS = (("3a", (64, 96, 128, 16, 32, 32)), ("4a", (192, 96, 208, 16, 48, 64)))
SMALL = [
    Small(name="googlenet", options={**TINY_INCEPTION, "blocks": TWO_BLOCKS}, norms=False, learning_rate=0.02),
    Small(name="googlenet_torchvision", options={**TINY_INCEPTION, "blocks": TWO_BLOCKS}),
    Small(name="bn_inception", options={**TINY_INCEPTION, "blocks": BLOCKS[1:3]}),
    Small(name="bn_x5_sigmoid", options={**TINY_INCEPTION, "blocks": BLOCKS[1:2]}, learning_rate=0.05),
    Small(
        name="vit_s_16",
        options={"patch": 8, "width": 16, "depth": 2, "num_heads": 2, "mlp_width": 32},
        norms=False,
        learning_rate=0.02,
    ),
    Small(name="convnetjs_cifar10", norms=False),
    Small(name="neocognitron", norms=False, options={"stages": (Stage(planes=4), Stage(planes=4, c_strides=2))}),
]
every_small = pytest.mark.parametrize("small", SMALL, ids=lambda small: small.name)
a_few_small = pytest.mark.parametrize("small", default_rows({small.name: small for small in SMALL}, keep=["vit_s_16"]))


DEEP = {
    "bn_baseline",
    "bn_inception",
    "inception_2015",
    "bn_x30",
    "bn_x5",
    "bn_x5_sigmoid",
    "googlenet_torchvision",
    "vit_b_16",
}


@pytest.mark.parametrize("name", default_rows(NAMES, keep=[name for name in NAMES if name not in DEEP]))
def test_sizes_are_those_of_the_info(name: str) -> None:
    """The number of parameters is that in the literature, and the number of multiply-adds that of the summary."""
    info = models.info(name)
    found = models.summary(models.create(name), (1, *info.input_shape))
    assert (found.parameters, found.macs) == (info.parameters, info.macs)
    assert found.maps[-1].name == "logits" and found.maps[-1].shape[-1] == info.num_classes


def test_published_counts() -> None:
    """Independent sources: the papers, the tables of torchvision and timm, and the Caffe model."""
    published = {
        "bn_inception": 11_295_240,
        "convnetjs_cifar10": 22_466,
        "fcn32s_vgg16": 136_152_917,
        "fcn8s_vgg16": 134_489_759,
        "googlenet": 6_998_552,
        "googlenet_torchvision": 6_624_904,
        "lenet5_1998": 60_000,
        "unet": 31_030_658,
        "vit_b_16": 86_567_656,
        "vit_s_16": 22_050_664,
    }
    assert {name: models.info(name).parameters for name in published} == published
    for name, billions in (("googlenet_torchvision", 1.498), ("vit_b_16", 17.564), ("bn_inception", 2.0326)):
        assert models.info(name).macs == pytest.approx(billions * 1e9, rel=1e-3)


@pytest.mark.gate
@pytest.mark.parametrize(
    ("name", "count"),
    default_rows([("googlenet", 13_378_280), ("googlenet_torchvision", 13_004_888)], keep=["googlenet"]),
)
def test_auxiliary_heads(name: str, count: int) -> None:
    model, x = models.create(name, aux_heads=True), jnp.zeros((1, 224, 224, 3))
    for train in (False, True):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        variables = jax.eval_shape(functools.partial(model.init, train=train), keys, x)
        assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
        apply = functools.partial(model.apply, train=train, method="features", rngs=keys, mutable=["batch_stats"])
        found, _ = jax.eval_shape(apply, variables, x)
        assert ("aux1" in found, "aux2" in found) == (train, train)


def test_auxiliary_heads_of_the_paper_want_its_size() -> None:
    model = models.create("googlenet", aux_heads=True)
    with pytest.raises(ShapeError, match=r"auxiliary heads require maps from 14x14 to 16x16.*this map is 8x8"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 128, 128, 3)))
    small = models.create("googlenet_torchvision", aux_heads=True)
    jax.eval_shape(small.init, jax.random.key(0), jnp.zeros((1, 128, 128, 3)))


def test_the_five_networks_of_the_paper() -> None:
    assert set(PAPER_RUNS) <= set(models.list_models())
    sizes = {name: models.info(name).parameters for name in PAPER_RUNS}
    assert len({size for name, size in sizes.items() if name != "inception_2015"}) == 1
    # A norm has two parameters for each channel, a bias has one.
    assert sizes["bn_x5"] - sizes["inception_2015"] == sizes["bn_baseline"] - sizes["inception_2015"] == 9952


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=r"expected images.*got x.shape=\(32, 32\)"):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros((32, 32)))


@pytest.mark.gate
@every_small
def test_five_steps_on_one_batch_lower_the_loss(small: Small) -> None:
    values = losses(small, steps=5, batch=4)
    assert np.isfinite(values).all()
    assert values[-1] < values[0], values


@a_few_small
def test_half_precision_keeps_parameters_in_single(small: Small) -> None:
    model = small.create(dtype=jnp.bfloat16)
    variables = jax.eval_shape(model.init, jax.random.key(0), small.images(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    found = jax.eval_shape(lambda v: model.apply(v, small.images(2, 3), method="features"), variables)
    assert {leaf.dtype for leaf in found.values()} == {jnp.dtype(jnp.bfloat16)}
    assert found["logits"].shape == (2, 3, 4)


@a_few_small
def test_batch_axes_any_number(small: Small) -> None:
    model, variables = small.create(), initialized(small)
    apply = quick_jit(lambda x: model.apply(variables, x, train=False))
    x = small.images(2, 2)
    y = apply(x)
    assert y.shape == (2, 2, 4)
    np.testing.assert_allclose(apply(x[0, 1]), y[0, 1], rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------ classes for pixels

SEGMENTERS: dict[str, dict[str, Any]] = {
    "unet": {"padding": "SAME", "widths": (4, 8, 8), "dropout_rate": 0.0},
    "fcn8s_vgg16": {"stage_sizes": (1,) * 5, "widths": (4, 4, 8, 8, 8), "hidden": 8, "dropout_rate": 0.0},
}


@pytest.mark.gate
@pytest.mark.parametrize("name", list(SEGMENTERS))
def test_segmenters_learn_which_pixels_are_bright(name: str) -> None:
    model = models.create(name, num_classes=2, **SEGMENTERS[name])
    channels = models.info(name).input_shape[-1]
    x = jnp.repeat(jax.random.normal(jax.random.key(0), (2, 4, 4, channels)), 8, 1).repeat(8, 2)
    labels = (x[..., 0] > 0).astype(jnp.int32)
    params = quick_jit(model.init)(jax.random.key(1), x)["params"]
    optimizer = optax.flatten(optax.adam(0.02))

    @quick_jit
    def step(params: Any, moments: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, x, train=True, rngs={"dropout": jax.random.key(2)})
            assert logits.shape == (*x.shape[:-1], 2)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(grads, moments)
        return optax.apply_updates(params, updates), moments, value

    moments, values = quick_jit(optimizer.init)(params), []
    for _ in range(6):
        params, moments, value = step(params, moments)
        values.append(float(value))
    assert values[-1] < values[0], values


def test_unet_sizes() -> None:
    """The pairs of sizes in the paper. Other sizes are refused, with the nearest valid size in the message."""
    model = models.create("unet", widths=(1, 1, 1, 1, 1))
    for size, out in ((572, 388), (540, 356), (188, 4)):
        x = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
        found, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
        assert found.shape == (1, out, out, 2)
    for size, hint in ((512, "508 or 524, or padding='SAME'"), (60, "188 or 204")):
        message = rf"a side of {size} is not halved evenly by each of 4 pools\. Try {hint}\."
        with pytest.raises(ShapeError, match=message):
            jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 1)))
    same = models.create("unet", padding="SAME", widths=(1, 1, 1, 1, 1))
    found, _ = jax.eval_shape(same.init_with_output, jax.random.key(0), jnp.zeros((48, 64, 1)))
    assert found.shape == (48, 64, 2)
    with pytest.raises(ShapeError, match=r"a side of 50.*Try 48 or 64"):
        jax.eval_shape(same.init, jax.random.key(0), jnp.zeros((1, 50, 48, 1)))
    with pytest.raises(ValueError, match=r"padding='SMAE' is not known\. Did you mean 'SAME'"):
        jax.eval_shape(models.create("unet", padding="SMAE").init, jax.random.key(0), jnp.zeros((1, 48, 48, 1)))


@pytest.mark.parametrize("name", default_rows(["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16"], keep=["fcn8s_vgg16"]))
def test_fcn_gives_a_class_to_every_pixel_of_any_image(name: str) -> None:
    model = models.create(name, widths=(1,) * 5, stage_sizes=(1,) * 5, hidden=1)
    for shape in ((1, 1, 3), (33, 70, 3), (2, 2, 65, 64, 3)):
        found, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros(shape))
        assert found.shape == (*shape[:-1], 21)


@pytest.mark.parametrize("stride", default_rows([32, 16, 8], keep=[8]))
def test_fcn_enlarges_bilinearly_about_the_right_place(stride: int) -> None:
    """For constant scores, the enlarged map is constant away from the edges."""
    from jaxcnn.models._fcn import FCN

    options: dict[str, Any] = {"widths": (1,) * 5, "stage_sizes": (1,) * 5, "hidden": 1, "num_classes": 2}
    model = FCN(stride=stride, **options)
    params = dict(quick_jit(model.init)(jax.random.key(0), jnp.zeros((1, 120, 120, 3)))["params"])
    params["score"] = {**params["score"], "bias": jnp.array([1.0, -2.0])}
    y = quick_jit(model.apply)({"params": params}, jnp.ones((1, 120, 120, 3)))
    np.testing.assert_allclose(y[0, 60, 40:80], np.broadcast_to([1.0, -2.0], (40, 2)), rtol=1e-5)


def test_fcn_takes_the_weights_of_vgg() -> None:
    """On an image of 224x224 with the padding of VGG, the centre of fc6 equals the fc6 of VGG."""
    sizes: dict[str, Any] = {"stage_sizes": (1,) * 5, "widths": (2,) * 5, "hidden": 3}
    from jaxcnn.models._fcn import FCN
    from jaxcnn.models._vgg import VGG

    x = jnp.zeros((1, 224, 224, 3))
    vgg = quick_jit(VGG(num_classes=5, **sizes).init)(jax.random.key(0), x)["params"]
    fcn = quick_jit(FCN(**sizes).init)(jax.random.key(1), x)["params"]
    mixed = models.params_from_vgg(fcn, vgg)
    np.testing.assert_array_equal(mixed["fc6"]["kernel"].reshape(-1, 3), vgg["fc6"]["kernel"])
    np.testing.assert_array_equal(mixed["conv3_1"]["kernel"], vgg["conv3_1"]["kernel"])
    assert mixed["score"] is fcn["score"]
    with pytest.raises(ShapeError, match="fc6 of VGG has a kernel"):
        models.params_from_vgg(fcn, {"fc6": {"kernel": jnp.zeros((9, 3)), "bias": jnp.zeros(3)}})
    with pytest.raises(ValueError, match=r"stride=4 is not known\. Known: 32, 16, 8"):
        jax.eval_shape(FCN(stride=4).init, jax.random.key(0), x)


# -------------------------------------------------------------------------------------------------- transformer


def test_vit_says_which_images_it_cannot_read() -> None:
    model = models.create("vit_s_16", depth=1)
    with pytest.raises(ShapeError, match="patches of 16 do not tile images of 40x32"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 40, 32, 3)))
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    with pytest.raises(ShapeError, match=r"places for 4 patches.*these images have 6 patches"):
        jax.eval_shape(model.apply, variables, jnp.zeros((1, 32, 48, 3)))
    with pytest.raises(ShapeError, match="num_heads=5 does not divide width=384"):
        jax.eval_shape(models.create("vit_s_16", num_heads=5).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_attention_is_that_of_flax(key: jax.Array) -> None:
    from flax import linen

    from jaxcnn.models._vit import SelfAttention

    x = jax.random.normal(key, (2, 3, 5, 8))
    ours, flax = SelfAttention(2), linen.MultiHeadDotProductAttention(num_heads=2)
    params = flax.init(key, x)["params"]
    joined = {
        part: jnp.concatenate([params[name][part].reshape(-1 if part == "bias" else (8, -1)) if part == "bias"
                               else params[name][part].reshape(8, 8) for name in ("query", "key", "value")], -1)
        for part in ("kernel", "bias")
    }  # fmt: skip
    out = {"kernel": params["out"]["kernel"].reshape(8, 8), "bias": params["out"]["bias"]}
    y = ours.apply({"params": {"qkv": joined, "out": out}}, x)
    np.testing.assert_allclose(y, flax.apply({"params": params}, x), rtol=1e-5, atol=1e-6)


def test_the_stem_of_inception_is_one_of_two() -> None:
    with pytest.raises(ValueError, match=r"BNInception: stem='5x5'"):
        dry(models.create("bn_inception", stem="5x5"))
    small = dry(models.create("bn_inception", stem="3x3", width=0.25, blocks=BLOCKS[:1], num_classes=10))
    assert small["params"]["conv1"]["conv"]["kernel"].shape == (3, 3, 3, 16) and "conv2" not in small["params"]


def dry(model: Any) -> Any:
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
