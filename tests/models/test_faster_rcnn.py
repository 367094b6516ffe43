"""Faster R-CNN: detections, losses and gradients equal those of torchvision for the same weights and samples."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models, nn
from jaxcnn.models._faster_rcnn import _targets
from jaxcnn.models._faster_rcnn._losses import region_losses
from tests.models.small import count_multiply_adds, quick_jit
from tests.models.test_torch_weights import shapes_here
from tests.oracles import torchvision_detection as tv

NAME = "fasterrcnn_resnet50_fpn"
TINY: dict[str, Any] = {
    "num_classes": tv.TINY_CLASSES,
    "backbone": functools.partial(
        models.ResNetPyramid, stage_sizes=(1, 1), channels=tv.TINY_CHANNELS, width=tv.TINY_WIDTH
    ),
    "head": functools.partial(models.DenseHead, hidden=(tv.TINY_HIDDEN, tv.TINY_HIDDEN)),
    "anchor_sizes": tv.TINY_ANCHORS,
    "pooled_maps": 2,
    "max_detections": 20,
    "anchor_samples": 64,
    "region_samples": 32,
}


@functools.cache
def tiny() -> tuple[models.FasterRCNN, Any]:
    model, variables = models.load_torch(NAME, tv.weights(shapes_here(NAME, **TINY)), **TINY)
    assert isinstance(model, models.FasterRCNN)
    return model, variables


def check_detections(found: dict[str, Any], name: str, *, tolerance: float) -> None:
    """Checks labels and their order exactly, scores to a tolerance, and boxes to that fraction of 100 pixels."""
    stored = {key: tv.stored()[f"{name} {key}"] for key in ("boxes", "labels", "scores")}
    assert (stored["scores"] > 0).all() and len(np.unique(stored["labels"])) > 1
    np.testing.assert_array_equal(found["labels"], stored["labels"])
    np.testing.assert_allclose(found["scores"], stored["scores"], atol=tolerance)
    np.testing.assert_allclose(found["boxes"], stored["boxes"], atol=100 * tolerance)


@pytest.mark.gate  # the default test of train.detection runs the same layers, proposals and detections
def test_detections_are_torchvisions_and_one_program_serves_all_images() -> None:
    """Three images of three sizes in one batch: boxes, labels and scores in order; no new trace for other images."""
    model, variables = tiny()
    traces = 0

    @quick_jit
    def detect(x: jax.Array, sizes: jax.Array) -> Any:
        nonlocal traces
        traces += 1
        return model.apply(variables, x, image_sizes=sizes)

    x, sizes = tv.images(tv.TINY_SIZES, 96), np.array(tv.TINY_SIZES)
    found = jax.device_get(detect(x, sizes))
    check_detections(found, "tiny", tolerance=1e-5)
    limits = np.array(tv.TINY_SIZES)[:, None, ::-1]
    assert (found["boxes"][..., 2:] <= limits).all()
    assert ((found["boxes"][..., 2:] == limits) & (limits < 96)).any((1, 2)).sum() > 1, "boxes that are clipped"
    # Pixels beyond the true size of an image have no influence; images without a score have no detections.
    spoilt = np.where(x == 0, 7, x)
    np.testing.assert_array_equal(detect(spoilt, sizes)["boxes"], found["boxes"])
    assert not np.array_equal(detect(x[::-1].copy(), sizes[::-1].copy())["boxes"], found["boxes"])
    assert traces == 1


@pytest.mark.gate
def test_the_hundred_detections_of_the_whole_network_are_torchvisions() -> None:
    model, variables = models.load_torch(NAME, tv.weights(shapes_here(NAME)))
    x, sizes = tv.images(tv.WHOLE_SIZES, 128), np.array(tv.WHOLE_SIZES)
    found = jax.device_get(quick_jit(functools.partial(model.apply, variables))(x, image_sizes=sizes))
    # A residual network of random weights with frozen norms amplifies activations, and rounding errors with them.
    check_detections(found, "whole", tolerance=5e-4)


def truth() -> tuple[np.ndarray, np.ndarray]:
    """The boxes and labels of three images, one of which has none, padded to five boxes."""
    boxes, labels = np.zeros((3, 5, 4), np.float32), np.zeros((3, 5), np.int32)
    for index, (some, classes) in enumerate(tv.TRUTH):
        boxes[index, : len(some)], labels[index, : len(some)] = some, classes
    return boxes, labels


@pytest.fixture
def first_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of the first entries, as in the reference losses of torchvision."""
    draw = jax.random.uniform

    def uniform(key: jax.Array, shape: Any, *more: Any, **options: Any) -> jax.Array:
        return draw(key, shape, *more, **options) if more or options else 1 - jnp.arange(1.0 * shape[0]) / shape[0]

    monkeypatch.setattr(_targets.jax.random, "uniform", uniform)


LOSSES = {
    "objectness": "loss_objectness",
    "rpn_boxes": "loss_rpn_box_reg",
    "classes": "loss_classifier",
    "boxes": "loss_box_reg",
}


@pytest.mark.gate  # the default test of train.detection compares the same losses
@pytest.mark.usefixtures("first_samples")
def test_losses_are_torchvisions_for_the_same_samples() -> None:
    """An image without boxes is included. Boxes without area and inverted boxes have no influence."""
    model, variables = tiny()

    @quick_jit
    def losses(boxes: jax.Array, labels: jax.Array) -> Any:
        x, sizes = tv.images(tv.TINY_SIZES, 96), np.array(tv.TINY_SIZES)
        rngs = {"sampling": jax.random.key(0)}
        return model.apply(variables, x, boxes, labels, image_sizes=sizes, method="losses", rngs=rngs)

    boxes, labels = truth()
    found = jax.device_get(losses(boxes, labels))
    assert found.keys() == LOSSES.keys()
    for ours, theirs in LOSSES.items():
        assert found[ours].shape == (3,)
        np.testing.assert_allclose(found[ours].mean(), tv.stored()[theirs], rtol=1e-5, err_msg=ours)
    assert found["rpn_boxes"][1] == found["boxes"][1] == 0
    labels[:, 3:] = 1
    boxes[:, 3:] = [[30, 30, 20, 50], [10, 10, 10, 40]]
    degenerate = jax.device_get(losses(boxes, labels))
    jax.tree.map(np.testing.assert_array_equal, found, degenerate)


@pytest.mark.gate
@pytest.mark.usefixtures("first_samples")
def test_gradients_are_torchvisions_for_the_same_samples() -> None:
    model, variables = tiny()
    x, (boxes, labels), sizes = tv.images(tv.TINY_SIZES, 96), truth(), np.array(tv.TINY_SIZES)

    def loss(params: Any) -> Any:
        rngs = {"sampling": jax.random.key(0)}
        found: Any = model.apply(
            variables | {"params": params}, x, boxes, labels, image_sizes=sizes, method="losses", rngs=rngs
        )
        return sum(each.mean() for each in found.values())

    grads = jax.device_get(quick_jit(jax.grad(loss))(variables["params"]))
    for name, ours in {
        "rpn.head.cls_logits.weight": grads["rpn"]["objectness"]["kernel"].transpose(3, 2, 0, 1),
        "backbone.fpn.layer_blocks.1.0.bias": grads["backbone"]["outer2"]["bias"],
        "backbone.body.conv1.weight": grads["backbone"]["body"]["stem_conv"]["kernel"].transpose(3, 2, 0, 1),
    }.items():
        stored = tv.stored()[f"gradient {name}"]
        np.testing.assert_allclose(ours, stored, atol=1e-5 * np.abs(stored).max(), err_msg=name)


@pytest.mark.parametrize(("kind", "low", "high"), [("anchors", 0.3, 0.7), ("regions", 0.5, 0.5)])
def test_matches_are_torchvisions(kind: str, low: float, high: float) -> None:
    """Overlaps are multiples of a tenth, so that several anchors share the highest overlap of a box.

    Padding has no influence.
    """
    overlaps = tv.stored()["overlaps"]
    padded = np.concatenate([overlaps, np.ones((2, 60), np.float32)])
    there = np.arange(6) < 4
    match = jax.jit(functools.partial(_targets.match, low=low, high=high, best_too=kind == "anchors"))
    stored = tv.stored()[f"matches of {kind}"]
    assert (stored == -2).any() == (kind == "anchors")
    np.testing.assert_array_equal(match(padded, there, np.ones(60, bool)), stored)
    some = np.arange(60) % 3 > 0
    found = np.asarray(match(padded, there, some))
    assert (found[~some] == _targets.IGNORED).all()
    np.testing.assert_array_equal(match(padded, np.zeros(6, bool), some), np.where(some, -1, -2))
    # A box without any overlap is not matched.
    np.testing.assert_array_equal(match(0 * padded, there, np.ones(60, bool)), np.full(60, -1))


def test_samples_are_random_of_both_kinds_and_of_fixed_length() -> None:
    matched = np.array([3] * 10 + [-1] * 30 + [-2] * 60, np.int32)
    draw = jax.jit(functools.partial(_targets.draw, count=16, positive_share=0.25))
    drawn = [jax.device_get(draw(jax.random.key(seed), matched)) for seed in range(40)]
    for index, weight in drawn:
        assert weight.tolist() == [1] * 16 and len(set(index.tolist())) == 16
        assert (matched[index] == 3).sum() == 4 and (matched[index] == -1).sum() == 12
    assert set(np.concatenate([index for index, _ in drawn]).tolist()) == set(range(40))
    index, weight = draw(jax.random.key(0), np.array([-1, 2, -2, -1] + [-2] * 96, np.int32))
    assert weight.sum() == 3 and sorted(index[:3].tolist()) == [0, 1, 3] and index[0] == 1
    index, weight = jax.jit(functools.partial(_targets.draw, count=16, positive_share=0.25))(
        jax.random.key(0), np.array([-1, 2, -2], np.int32)
    )
    assert index.shape == (3,) and weight.tolist() == [1, 1, 0]


def test_anchors_across_the_border_are_left_out_of_training_where_the_paper_does() -> None:
    """The true size of the image decides: an anchor that ends in the padding crosses the border too."""
    anchors = np.array([[-1, 0, 8, 8], [0, 0, 8, 8], [4, 4, 17, 12], [8, 4, 16, 12], [4, 4, 12, 13]], np.float32)

    @jax.jit
    def draw(key: jax.Array) -> Any:
        def of(crossing: bool) -> Any:
            about, size, exists = jnp.asarray(anchors), jnp.array([12, 16]), jnp.ones(1, bool)
            options: dict[str, Any] = {"thresholds": (0.3, 0.7), "count": 5, "positive_share": 0.5}
            return _targets.sample_anchors(key, about, about[:1], exists, size, crossing=crossing, **options)

        return of(False), of(True)

    inside, every = jax.device_get(draw(jax.random.key(0)))
    assert sorted(inside.place[inside.weight > 0].tolist()) == [1, 3] and every.weight.sum() == 5
    # The best anchor inside the image is matched with the box, although an anchor that is left out overlaps more.
    assert inside.label[inside.place == 1].tolist()[0] == 1
    assert models.create("fasterrcnn_vgg16").crossing_anchors is False
    assert models.create(NAME).crossing_anchors is True


def test_what_nothing_counts_has_no_loss() -> None:
    logits, deltas = np.full((2, 3, 4), np.nan, np.float32), np.full((2, 3, 4, 4), np.nan, np.float32)
    zeros = np.zeros((2, 3), np.int32)
    weights = np.zeros((2, 3), np.float32)
    found = jax.jit(region_losses)(logits, deltas, zeros, np.zeros((2, 3, 4), np.float32), weights)
    assert all(each.tolist() == [0, 0] for each in found.values())


def shapes_of(model: Any, x: Any, **options: Any) -> Any:
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    return variables, jax.eval_shape(functools.partial(model.apply, **options), variables, x)


@pytest.mark.gate  # the doctest of FasterRCNN counts the parameters of the first
def test_sizes_are_those_of_the_info() -> None:
    """41,755,286 parameters with frozen norms and 41,808,406 with trainable ones, as in torchvision."""
    for name in (NAME, "fasterrcnn_vgg16"):
        info, model = models.info(name), models.create(name)
        variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *info.input_shape)))
        assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == info.parameters
        assert count_multiply_adds(model, (1, *info.input_shape)) == info.macs
    norm = functools.partial(nn.BatchNorm, momentum=0.9)
    model = models.create(NAME, backbone=functools.partial(models.ResNetPyramid, norm=norm))
    variables, _ = shapes_of(model, jnp.zeros((1, 64, 64, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 41_808_406


@pytest.mark.gate
def test_boxes_are_float32_in_any_type_and_batch_axes_stay() -> None:
    model, x = models.create(NAME, **TINY, dtype=jnp.bfloat16), jnp.zeros((2, 1, 40, 50, 3))
    variables, found = shapes_of(model, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert found["boxes"].shape == (2, 1, 20, 4) and found["boxes"].dtype == found["scores"].dtype == jnp.float32
    maps = jax.eval_shape(functools.partial(model.apply, method="features"), variables, x)
    assert [each.shape for each in maps.values()] == [(2, 1, side, side, 8) for side in (16, 8, 4)]
    assert {each.dtype for each in maps.values()} == {jnp.dtype(jnp.bfloat16)}
    assert jax.eval_shape(functools.partial(model.apply, method="proposals"), variables, x[0, 0])["boxes"].ndim == 2


@pytest.mark.gate
def test_weights_under_the_names_of_2020_load() -> None:
    """The published file has these names."""
    state = tv.weights(shapes_here(NAME, **TINY))
    old = {re.sub(r"(_blocks\.\d|head\.conv)(\.0)+\.", r"\1.", name): array for name, array in state.items()}
    assert {"backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.bias"} <= old.keys() - state.keys()
    jax.tree.map(np.testing.assert_array_equal, models.load_torch(NAME, old, **TINY)[1], tiny()[1])


@pytest.mark.gate
def test_another_number_of_classes_draws_both_last_layers() -> None:
    model, variables = models.load_torch(NAME, tv.weights(shapes_here(NAME, **TINY)), **{**TINY, "num_classes": 7})
    found, loaded = variables["params"], tiny()[1]["params"]
    assert model.num_classes == 7 and found["predictor"]["deltas"]["kernel"].shape == (tv.TINY_HIDDEN, 28)
    jax.tree.map(np.testing.assert_array_equal, found["head"], loaded["head"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, r"num_classes=1 must be at least 2: the background and one class"),
        ({"pooling": "max"}, r"pooling='max' reads one map, but pooled_maps=2"),
        ({"pooling": "mean"}, r"pooling='mean' is not known"),
        (
            {"anchor_sizes": ((8,),)},
            r"the backbone gives 3 maps, but there are anchor_sizes for 1 and regions are read",
        ),
        ({"anchor_sizes": ((8,), (16, 32))}, r"must have as many sizes for each map as for any other"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes_of(models.create(NAME, **{**TINY, **options}), jnp.zeros((1, 32, 32, 3)))


def test_arrays_that_do_not_fit_are_refused() -> None:
    model = models.create(NAME, **TINY)
    x = jnp.zeros((2, 32, 32, 3))
    variables = jax.eval_shape(lambda: tiny()[1])

    def losses(boxes: Any, labels: Any) -> Any:
        return jax.eval_shape(
            lambda v: model.apply(v, x, boxes, labels, method="losses", rngs={"sampling": jax.random.key(0)}), variables
        )

    with pytest.raises(ShapeError, match=r"image_sizes must be \(height, width\) of each image, \(2, 2\), not of"):
        jax.eval_shape(functools.partial(model.apply, image_sizes=np.ones((3, 2), int)), variables, x)
    with pytest.raises(
        ShapeError, match=r"boxes, labels and mask must have the shapes \(\*batch, m, 4\), .* \(2,\) of"
    ):
        losses(np.zeros((3, 4)), np.zeros(3, int))
    assert losses(np.zeros((2, 0, 4)), np.zeros((2, 0), int))["classes"].shape == (2,)
    with pytest.raises(ShapeError, match=r"FasterRCNN: expected images \(\*batch, height, width, channels\)"):
        jax.eval_shape(model.apply, variables, jnp.zeros((32, 32)))
