"""Networks for video: sizes, windows, both streams, and weights of image networks. Logits: test_torch_weights.py."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import ShapeError, models
from jaxcnn.nn import Conv
from tests.models.small import count_multiply_adds, quick_jit
from tests.tiers import default_rows

VIDEO = ["c3d", "mc3_18", "r2plus1d_18", "r3d_18"]
STREAMS = models.list_models("two_stream*")
TINY: dict[str, Any] = {"stage_sizes": (1, 1, 1, 1), "width": 4, "num_classes": 3}


def random(shape: tuple[int, ...]) -> np.ndarray:
    """The same values for a shape in every test, independent of the order of tests."""
    return np.random.default_rng(shape).standard_normal(shape)


@pytest.mark.parametrize("name", default_rows([*VIDEO, *STREAMS], keep=["two_stream"]))
def test_sizes_are_those_of_the_info(name: str) -> None:
    info, model = models.info(name), models.create(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *info.input_shape)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == info.parameters
    assert count_multiply_adds(model, (1, *info.input_shape)) == info.macs


def maps(name: str, shape: tuple[int, ...], **options: Any) -> dict[str, Any]:
    model = models.create(name, **options)
    x = jnp.zeros(shape)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    found = jax.eval_shape(lambda v: model.apply(v, x, method="features"), variables)
    return {key: each.shape for key, each in found.items()}


def test_stages_halve_frames_where_they_have_windows_over_time() -> None:
    shape = (2, 3, 16, 32, 40, 3)
    found = maps("r3d_18", shape, **TINY)
    assert [found[f"stage{stage}"][2] for stage in (1, 2, 3, 4)] == [16, 8, 4, 2]
    assert found["stage4"] == (2, 3, 2, 2, 3, 32) and found["logits"] == (2, 3, 3)
    assert maps("mc3_18", shape, **TINY)["stage4"] == (2, 3, 16, 2, 3, 32)
    assert maps("r3d_18", shape, **{**TINY, "num_classes": 0})["logits"] == (2, 3, 32)


def test_the_pools_of_c3d_round_up() -> None:
    tiny = {"widths": (1, 1, 1, 1, 2), "hidden": 3, "num_classes": 5}
    assert maps("c3d", (16, 112, 112, 3), **tiny)["pool4"] == (2, 7, 7, 1)
    for shape in ((16, 112, 112, 3), (1, 97, 128, 3)):
        found = maps("c3d", shape, **tiny)
        assert (found["pool5"], found["logits"]) == ((1, 4, 4, 2), (5,))


@pytest.mark.gate
def test_a_middle_of_fewer_channels_has_the_parameters_of_a_3d_convolution() -> None:
    """Both convolutions of a block have the middle channels of the first: 230 for 64 to 128.

    Computed from its own channels, the middle of the second convolution would have 288.
    """
    x = jnp.zeros((1, 2, 8, 8, 3))
    variables = jax.eval_shape(models.create("r2plus1d_18").init, jax.random.key(0), x)
    block = variables["params"]["stage2_block0"]
    assert block["conv1_space"]["kernel"].shape == (1, 3, 3, 64, 230)
    assert block["conv2_time"]["kernel"].shape == (3, 1, 1, 230, 128)


def test_a_3d_convolution_and_its_pool_against_loops() -> None:
    """The layers of these networks with some of their strides and padding, on one tiny video."""
    x, kernel = random((3, 5, 4, 2)), random((3, 3, 3, 2, 2))
    layer = Conv(2, (3, 3, 3), (2, 2, 2), 1, use_bias=False)
    got = quick_jit(layer.apply)({"params": {"kernel": kernel.astype(np.float32)}}, x.astype(np.float32))
    padded = np.pad(x, ((1, 1), (1, 1), (1, 1), (0, 0)))
    wanted = np.zeros((2, 3, 2, 2))
    for t, h, w in np.ndindex(2, 3, 2):
        window = padded[2 * t : 2 * t + 3, 2 * h : 2 * h + 3, 2 * w : 2 * w + 3]
        wanted[t, h, w] = np.einsum("thwi,thwio->o", window, kernel)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("stages", default_rows([1, 3], keep=[1]))
def test_an_inflated_network_computes_for_a_still_video_what_the_image_network_does_for_its_frame(stages: int) -> None:
    options: dict[str, Any] = {"stage_sizes": (1,) * stages, "width": 2, "num_classes": 3}
    image = models.create("resnet18", **options)
    video = models.create("r3d_18", **options, kinds=("3d",) * stages, stem_pool=True, time_padding="edge")
    x = random((1, 12, 12, 3)).astype(np.float32)
    still = np.repeat(x[:, None], 5, axis=1)
    drawn = {"params": random, "batch_stats": lambda shape: np.abs(random(shape)) + 0.5}
    variables = {
        part: jax.tree.map(lambda leaf, draw=drawn[part]: draw(leaf.shape).astype(np.float32), tree)
        for part, tree in jax.eval_shape(image.init, jax.random.key(0), x).items()
    }
    shapes = jax.eval_shape(functools.partial(video.init, train=False), jax.random.key(0), still)
    inflated = models.inflate(variables, shapes)
    assert jax.tree.structure(inflated) == jax.tree.structure(shapes)
    wanted, found = quick_jit(lambda: (image.apply(variables, x), video.apply(inflated, still)))()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_the_images_of_both_streams_give_a_map_of_six_by_six() -> None:
    for side in (201, 232):
        assert maps("two_stream_temporal", (side, 224, 4), num_classes=2)["pool5"] == (6, 6, 512)


def test_what_cannot_be_inflated_is_listed() -> None:
    image = {"params": {"a": {"kernel": np.zeros((3, 3, 1, 2))}, "b": {"bias": np.zeros(2)}}}
    with pytest.raises(
        ValueError,
        match=r"^inflate: the image network has no params/c/bias, and the video network has no params/b/bias\. Create",
    ):
        models.inflate(image, {"params": {"a": {"kernel": np.zeros((2, 3, 3, 1, 2))}, "c": {"bias": np.zeros(2)}}})
    like = {"params": {"a": {"kernel": np.zeros((2, 3, 3, 1, 4))}, "b": {"bias": np.zeros((1, 2))}}}
    with pytest.raises(ShapeError, match=r"params/a/kernel \(2, 3, 3, 1, 4\) from \(3, 3, 1, 2\), params/b/bias"):
        models.inflate(image, like)
    for tree in ([np.zeros(2)], np.zeros(2), {"params": [np.zeros(2)]}):
        with pytest.raises(TypeError, match="variables must be the variables of a network, as its init returns them"):
            models.inflate(tree, like)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="inflate: params/a must be an array of numbers, not of type str"):
        models.inflate({"params": {"a": "x"}}, {"params": {"a": np.zeros(2)}})


def test_inflated_variables_are_copies_in_the_tree_of_the_video_network() -> None:
    image = {"params": {"a/b": {"bias": jnp.zeros(2)}}, "batch_stats": {}}
    inflated = models.inflate(image, image)
    assert jax.tree.structure(inflated) == jax.tree.structure(image)
    jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)(inflated)
    np.testing.assert_array_equal(image["params"]["a/b"]["bias"], [0, 0])  # a shared array would be deleted


def test_flows_are_stacked_as_the_paper_has_it() -> None:
    flows = random((2, 3, 4, 5, 2)).astype(np.float32)
    centred = flows - flows.mean((2, 3), keepdims=True)
    wanted = np.stack([centred[:, k, :, :, d] for k in range(3) for d in range(2)], -1)
    np.testing.assert_allclose(models.stack_flows(flows), wanted, rtol=0, atol=1e-6)
    unchanged = models.stack_flows(flows, subtract_mean=False)
    np.testing.assert_array_equal(unchanged[1, ..., 3], flows[1, 1, ..., 1])
    with pytest.raises(ShapeError, match=r"^stack_flows: expected flows \(\*batch, frames, height, width, 2\); got"):
        models.stack_flows(flows[..., :1])


def test_the_mean_of_scores() -> None:
    a, b = random((2, 4, 3)).astype(np.float32)
    shares = [np.exp(each) / np.exp(each).sum(-1, keepdims=True) for each in (a, b)]
    np.testing.assert_allclose(models.mean_of_scores([a, b]), (shares[0] + shares[1]) / 2, rtol=1e-6)
    with pytest.raises(ShapeError, match=r"^mean_of_scores: expected the logits .*; got \(4, 3\), \(3,\)\."):
        models.mean_of_scores([a, b[0]])
    with pytest.raises(ShapeError, match="got none"):
        models.mean_of_scores([])
    with pytest.raises(TypeError, match=r"logits must be a list of arrays, .*, not one array of shape \(4, 3\)\."):
        models.mean_of_scores(a)
    with pytest.raises(TypeError, match=r"logits must be a list of arrays, one for each network, not None\."):
        models.mean_of_scores(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mean_of_scores: logits must be real numbers, not bool"):
        models.mean_of_scores([a > 0])
    with pytest.raises(TypeError, match="stack_flows: flows must be real numbers, not complex64"):
        models.stack_flows(jnp.zeros((1, 2, 2, 2), jnp.complex64))


def test_dtypes_of_streams_under_strict_promotion() -> None:
    with jax.numpy_dtype_promotion("strict"):
        mean = models.mean_of_scores([jnp.zeros(2, jnp.bfloat16), jnp.zeros(2)])
        stacked = models.stack_flows(jnp.ones((1, 2, 2, 2), jnp.int32))
    assert (mean.dtype, stacked.dtype) == (jnp.float32, jnp.float32)
    np.testing.assert_array_equal(mean, [0.5, 0.5])


class Half(linen.Module):
    """A small stream in place of a network that takes minutes."""

    num_classes: int
    dtype: Any
    second_norm: bool = True
    dropout_rate: float = 0.5
    hidden: tuple[int, int] = (4096, 2048)

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """A linear layer on the means of the channels."""
        return linen.Dense(self.num_classes, name="dense")(x.mean((-3, -2)))


def test_two_streams_average_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxcnn.models._two_stream.CNNM2048", Half)
    model = models.create("two_stream", num_classes=4)
    x = random((2, 201, 201, 7)).astype(np.float32)
    variables = quick_jit(model.init)(jax.random.key(0), x)
    assert {name: each["dense"]["kernel"].shape for name, each in variables["params"].items()} == {
        "spatial": (3, 4),
        "temporal": (4, 4),
    }
    found = quick_jit(functools.partial(model.apply, method="features"))(variables, x)
    scores = models.mean_of_scores([found["spatial"], found["temporal"]])
    np.testing.assert_allclose(np.exp(found["logits"]), scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("r3d_18", (32, 32, 3), r"expected videos \(\*batch, frames, height, width, channels\); got x.shape=\(32, 32"),
        ("c3d", (17, 112, 112, 3), r"with frames of 1 to 16; got x.shape=\(17, 112, 112, 3\)"),
        ("c3d", (16, 112, 96, 3), r"with width of 97 to 128; got"),
        ("two_stream", (200, 224, 23), r"^TwoStream: .* sides from 201 to 232; got x.shape=\(200, 224, 23\)"),
        ("two_stream_spatial", (200, 224, 3), r"sides from 201 to 232; got .* The dense layers require a map of 6x6"),
        ("two_stream", (224, 224, 6), r"two channels for each flow, .*3 \+ 2 L\); got x.shape"),
        ("two_stream", (224, 224, 3), r"three channels and two channels for each flow, .*3 \+ 2 L\); got x.shape"),
    ],
)
def test_other_shapes_are_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros(shape))


def test_unknown_options_are_refused() -> None:
    x = jnp.zeros((1, 8, 8, 3))
    for options, message in (
        ({"time_padding": "zero"}, "time_padding='zero' is not known. Did you mean 'zeros'"),
        ({"kinds": ("3d", "3d", "3d", "4d")}, "kind='4d' is not known"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(models.create("r3d_18", **options).init, jax.random.key(0), x)
    with pytest.raises(ValueError, match="num_classes=0 would leave no output"):
        jax.eval_shape(models.create("two_stream", num_classes=0).init, jax.random.key(0), jnp.zeros((224, 224, 23)))
