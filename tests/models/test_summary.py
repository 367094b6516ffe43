"""The summary against closed forms, against gradients, and against sums computed by hand."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from hypothesis import given
from hypothesis import strategies as st

import jaxcnn
from jaxcnn import functional as F
from jaxcnn import nn
from jaxcnn.models._summary._summary import Summary, summary
from jaxcnn.shapes import ShapeError, SlidingWindow, conv_counts, receptive_field
from tests.examples import examples


class Stack(linen.Module):
    """A chain of layers, each given as (kind, window)."""

    layers: tuple[Any, ...]

    @linen.compact
    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        maps = {}
        for index, (kind, window) in enumerate(self.layers):
            size, options = window.window_shape, {"strides": window.strides, "padding": window.padding}
            if kind in ("conv", "flax"):
                layer = {"conv": nn.Conv, "flax": linen.Conv}[kind]
                x = layer(2, size, kernel_dilation=window.window_dilation, **options, name=f"l{index}")(x)
            elif kind == "max":
                x = F.max_pool(x, size, window_dilation=window.window_dilation, **options)
            else:
                x = F.avg_pool(x, size, window_dilation=window.window_dilation, **options)
            maps[f"l{index}"] = x
        return maps

    def __call__(self, x: jax.Array) -> jax.Array:
        return list(self.features(x).values())[-1]


windows = st.builds(
    lambda window, stride, dilation, padding: SlidingWindow(
        (window,), strides=stride, window_dilation=dilation, padding=padding
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["VALID", "SAME", ((1, 0),), ((0, 2),)]),
)


@examples(25)
@given(st.lists(st.tuples(st.sampled_from(["conv", "flax", "max", "avg"]), windows), min_size=1, max_size=4))
def test_stacks_see_what_the_closed_form_says(layers: list[tuple[str, SlidingWindow]]) -> None:
    size = 200
    found = summary(Stack(layers=tuple(layers)), (1, size, 1))
    for index, each in enumerate(found.maps):
        wanted = receptive_field([window for _, window in layers[: index + 1]], input_shape=(size,))
        assert each.receptive_field == wanted


class Branches(linen.Module):
    """A residual sum of unequal branches, a concatenation, a grouped convolution, dilation, an even window."""

    @linen.compact
    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        x = linen.Conv(4, (3, 2), strides=(2, 1), padding="VALID")(x)
        x = x + nn.Conv(4, (3, 3), feature_group_count=2)(nn.Conv(4, (1, 3))(x))
        x = jnp.concatenate([x, nn.Conv(2, (3, 1), kernel_dilation=2)(x)], -1)
        return {"out": F.avg_pool(x, (2, 2), strides=2)}

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.features(x)["out"]


class UpAndDown(linen.Module):
    """A U-net in small: down by two, up by two, concatenated with the first map."""

    @linen.compact
    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        skip = nn.Conv(2, (3, 3))(x)
        x = nn.Conv(2, (3, 3))(F.avg_pool(skip, (2, 2), strides=2))
        x = nn.ConvTranspose(2, (2, 2), strides=(2, 2), padding="VALID")(x)
        return {"out": nn.Conv(1, (3, 3), padding="VALID")(jnp.concatenate([x, skip], -1))}

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.features(x)["out"]


class Turned(linen.Module):
    """Operations between layers: transposes, flips, splits, reshapes, squeezes, masks."""

    @linen.compact
    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        x = nn.Conv(4, (3, 3), padding="VALID")(x)
        x = jnp.swapaxes(x, 1, 2)[:, ::-1, 1:-1]
        x = x.reshape(1, x.shape[1], x.shape[2] // 2, 2, 4).sum(3, keepdims=True)[:, :, :, 0]
        x = jnp.where(x > -1e9, jnp.stack([x, x], 0)[1], 0.0)
        one, two = jnp.split(x, 2, axis=-1)
        x = jax.nn.relu(jnp.pad(one * two, ((0, 0), (1, 0), (0, 0), (0, 0))))
        return {"out": jax.lax.dynamic_slice_in_dim(jnp.einsum("bijc,cd->bjid", x, jnp.ones((2, 3))), 0, 1, axis=3)}

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.features(x)["out"]


def widest_footprint(model: linen.Module, shape: tuple[int, ...], key: jax.Array) -> tuple[int, int]:
    """The largest number of input rows and columns that an output position depends on, found by gradients."""
    # With positive numbers nothing cancels.
    variables = jax.tree.map(lambda a: np.abs(a) + np.float32(0.1), jax.jit(model.init)(key, jnp.ones(shape)))
    x = np.random.default_rng(0).uniform(0.5, 1, shape).astype(np.float32)
    gradients = jax.jit(jax.jacrev(lambda x: model.apply(variables, x)[0].sum(-1)))(x)
    touched = np.abs(np.asarray(gradients)[:, :, 0]).sum(-1) > 0
    touched = touched.reshape(-1, *touched.shape[2:])
    spans = [(np.ptp(one.any(1).nonzero()[0]) + 1, np.ptp(one.any(0).nonzero()[0]) + 1) for one in touched if one.any()]
    return max(span[0] for span in spans), max(span[1] for span in spans)


@pytest.mark.parametrize("model", [Branches(), UpAndDown(), Turned()], ids=lambda model: type(model).__name__)
def test_gradients_reach_as_far_as_the_summary_says(model: linen.Module, key: jax.Array) -> None:
    shape = (1, 20, 20, 1)
    field = summary(model, shape).maps[0].receptive_field
    assert field is not None and field.size == widest_footprint(model, shape, key)


class Published(linen.Module):
    """Window, stride and padding of the layers of a published network."""

    layers: tuple[tuple[int, int, int], ...]

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for size, stride, pad in self.layers:
            x = nn.Conv(1, (size, size), strides=stride, padding=pad)(x)
        return x


ALEXNET = ((11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1))
VGG16 = tuple((size, stride, size // 3) for n in (2, 2, 3, 3, 3) for size, stride in (*[(3, 1)] * n, (2, 2)))
STAGES = tuple((stage, block) for stage, blocks in enumerate((3, 4, 6, 3)) for block in range(blocks))
STEM = ((7, 2, 3), (3, 2, 1))
STEPS = {place: 2 if place[0] and not place[1] else 1 for place in STAGES}
RESNET50 = (*STEM, *(layer for place in STAGES for layer in ((1, STEPS[place], 0), (3, 1, 1))))
RESNET50_V15 = (*STEM, *((3, STEPS[place], 1) for place in STAGES))


@pytest.mark.parametrize(
    ("layers", "size", "jump"),
    [(ALEXNET, 163, 16), (VGG16, 212, 32), (RESNET50, 483, 32), (RESNET50_V15, 427, 32)],
    ids=["alexnet", "vgg16", "resnet50", "resnet50 v1.5"],
)
def test_published_receptive_fields(layers: Any, size: int, jump: int) -> None:
    """Araujo, Norris and Sim (2019), table of receptive fields, and AlexNet's conv5.

    ResNet-50 has its strides in 1x1 convolutions as in its paper; with the strides in 3x3 convolutions, as in
    torchvision, its receptive field is smaller.
    """
    field = summary(Published(layers=layers), (1, 227, 227, 1)).layers[-1].receptive_field
    assert field is not None and (field.size, field.jump) == ((size,) * 2, (jump,) * 2)


class Attention(linen.Module):
    """A patch embedding, attention, and parameters outside of layers."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.Conv(6, (4, 4), strides=4, padding="VALID", name="patches")(x)
        x = x.reshape(x.shape[0], -1, 6) + self.param("places", linen.initializers.zeros, (1, 4, 6))
        x = linen.MultiHeadDotProductAttention(num_heads=2, dropout_rate=0.5, deterministic=not train, name="att")(x)
        return linen.Dense(3, name="head")(x.mean(1))


def test_attention_by_hand() -> None:
    found = summary(Attention(), (5, 8, 8, 3))
    tokens, width = 4, 6
    projections, products = 4 * tokens * width * width, 2 * tokens * tokens * width
    assert found.macs == 5 * (tokens * 48 * width + projections + products + width * 3)
    assert found.parameters == (48 * 6 + 6) + 4 * 6 + 4 * (36 + 6) + (6 * 3 + 3)
    rows = {layer.path: layer for layer in found.layers}
    assert rows["att"].macs == 5 * products and rows["att/query"].macs == 5 * tokens * width * width
    assert rows[""].parameters == 24
    assert rows["patches"].receptive_field.size == (4, 4) and rows["head"].receptive_field.size == (8, 8)  # type: ignore[union-attr]
    assert summary(Attention(), (5, 8, 8, 3), train=True).macs == found.macs


class Mixed(linen.Module):
    """Transposed and separable convolutions, a module called twice, a module that is not called, a remat, a scan."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.ConvTranspose(4, (3, 3), strides=(2, 2), padding="VALID", name="up")(x)
        x = nn.DepthwiseConv((3, 3), name="depth")(x)
        twice = nn.Conv(4, (1, 1), name="twice")
        x = twice(twice(x))
        if self.is_initializing():
            linen.Dense(7, name="left_out")(x)
        x = linen.remat(linen.Conv)(4, (3, 3), name="again")(x)
        turn = linen.scan(_Turn, variable_broadcast="params", split_rngs={"params": False}, length=3)
        return turn(name="turn")(x, None)[0]


class _Turn(linen.Module):
    @linen.compact
    def __call__(self, carry: jax.Array, _: None) -> tuple[jax.Array, None]:
        return nn.Conv(4, (1, 1), use_bias=False, name="conv")(carry), None


def test_counts_by_hand() -> None:
    found = summary(Mixed(), (1, 5, 5, 2))
    rows: dict[str, list[int]] = {}
    for layer in found.layers:
        rows.setdefault(layer.path, []).extend((layer.parameters, layer.macs))
    places = 11 * 11
    assert rows["up"] == [9 * 2 * 4 + 4, 25 * 9 * 2 * 4]
    assert rows["depth"] == [9 * 4 + 4, places * 9 * 4]
    assert rows["twice"] == [16 + 4, places * 16, 0, places * 16]
    assert rows["again"] == [9 * 16 + 4, places * 9 * 16]
    assert rows["turn/conv"] == [16, 3 * places * 16]
    assert rows["left_out"] == [5 * 7, 0]
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    assert sum(layer.macs for layer in found.layers) == found.macs


def test_lax_convolutions_count_as_ours(key: jax.Array) -> None:
    options: dict[str, Any] = {"strides": (2, 1), "kernel_dilation": (1, 2), "feature_group_count": 2}
    wanted = conv_counts((2, 9, 8, 4), 6, (3, 3), **options)
    for layer in (linen.Conv(6, (3, 3), **options), nn.Conv(6, (3, 3), **options)):
        found = summary(layer, (2, 9, 8, 4))
        assert (found.parameters, found.macs) == (wanted.parameters, wanted.macs)
        assert found.layers[0].output_shape == wanted.output_shape


class Doubts(linen.Module):
    """A conditional between two convolutions."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        small, large = jnp.ones((1, 1, 2, 2)), jnp.ones((3, 3, 2, 2))
        return jax.lax.cond(x[0, 0, 0, 0] > 0, lambda x: F.conv(x, small), lambda x: F.conv(x, large), x)


def test_of_a_choice_the_costlier_counts() -> None:
    found = summary(Doubts(), (1, 6, 6, 2))
    assert found.macs == 36 * 9 * 4
    assert found.layers[0].receptive_field.size == (3, 3)  # type: ignore[union-attr]


class Turns(linen.Module):
    """The same convolution several times, in a loop or one after the other, and a loop over the rows of a map."""

    loop: bool
    length: int = 10
    reverse: bool = False

    @linen.compact
    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        kernel, small = jnp.ones((3, 3, 1, 1)), F.max_pool(x, (2, 2), strides=2)
        turn = lambda x, row: (F.conv(x, kernel), F.conv(row, kernel))  # noqa: E731
        if self.loop:
            x, rows = jax.lax.scan(turn, x, small[:, :1], length=self.length, reverse=self.reverse)
            return {"out": x, "rows": rows}
        rows = [None] * self.length
        for place in reversed(range(self.length)) if self.reverse else range(self.length):
            x, rows[place] = turn(x, small[place, :1])
        return {"out": x, "rows": jnp.stack(rows)}

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.features(x)["out"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_sees_what_its_turns_see(reverse: bool) -> None:
    """Ten iterations with a 3x3 window read 21 positions, more than the image has."""
    shape = (10, 6, 6, 1)
    looped, unrolled = (summary(Turns(loop=loop, reverse=reverse), shape) for loop in (True, False))
    assert [each.receptive_field for each in looped.maps] == [each.receptive_field for each in unrolled.maps]
    assert looped.maps[0].receptive_field.size == (21, 21)  # type: ignore[union-attr]
    assert looped.macs == unrolled.macs == 10 * (10 * 36 + 3) * 9


def test_a_long_loop_counts_every_turn_and_sees_the_whole_image() -> None:
    found = summary(Turns(loop=True, length=65), (65, 6, 6, 1))
    assert found.macs == 65 * (65 * 36 + 3) * 9
    assert found.maps[0].receptive_field.size == (6, 6)  # type: ignore[union-attr]


class Endless(linen.Module):
    """A loop with an unknown number of iterations."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: F.conv(x, jnp.ones((1, 1, 2, 2))), x)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"inside a while loop.*jax\.lax\.scan"):
        summary(Endless(), (1, 6, 6, 2))
    with pytest.raises(ShapeError, match=r"input_shape must be \(\*batch, \*spatial, channels\)"):
        summary(Branches(), (3,))
    with pytest.raises(ShapeError, match="spatial_ndim=5 does not fit"):
        summary(Branches(), (1, 6, 6, 1), spatial_ndim=5)
    with pytest.raises(ShapeError, match="LeNet5: expected images of 32x32"):
        jaxcnn.summary(jaxcnn.models.create("lenet5"), (1, 224, 224, 1))


def test_spatial_axes_can_be_said() -> None:
    one, many = summary(Branches(), (1, 20, 20, 1)), summary(Branches(), (2, 3, 20, 20, 1), spatial_ndim=2)
    assert one.maps[0].receptive_field == many.maps[0].receptive_field and many.macs == 6 * one.macs


@pytest.fixture(scope="module")
def lenet() -> Summary:
    return jaxcnn.summary(jaxcnn.models.create("lenet5"), (1, 32, 32, 1))


def test_json_holds_everything(lenet: Summary) -> None:
    read = json.loads(lenet.to_json())
    assert read["parameters"] == 61_706 and read["macs"] == 416_520
    assert read["layers"][1] == {
        "path": "c3",
        "kind": "Conv",
        "output_shape": [1, 10, 10, 16],
        "dtype": "float32",
        "parameters": 2416,
        "macs": 240_000,
        "activation_bytes": 6400,
        "receptive_field": {"size": [14, 14], "jump": [2, 2], "offset": [0, 0]},
    }


def test_the_table_is_read_by_people(lenet: Summary) -> None:
    lines = str(lenet).splitlines()
    assert lines[0].split() == [
        "layer",
        "kind",
        "output",
        "parameters",
        "multiply-adds",
        "receptive",
        "field",
        "jump",
        "memory",
    ]
    assert lines[2].replace("\N{MULTIPLICATION SIGN}", "x").split() == [
        *("c3", "Conv", "1x10x10x16", "2,416", "240,000", "14", "2", "6.2", "KiB")
    ]
    assert [line.split()[0] for line in lines[6:-1]] == ["c1", "s2", "c3", "s4", "c5", "f6", "logits"]
    assert lines[-1].split() == ["total", "LeNet5", "61,706", "416,520", "25.5", "KiB"]


def test_half_precision_halves_the_memory(lenet: Summary) -> None:
    half = jaxcnn.summary(jaxcnn.models.create("lenet5", dtype=jnp.bfloat16), (1, 32, 32, 1))
    assert 2 * half.activation_bytes == lenet.activation_bytes
    assert half.layers[0].dtype == "bfloat16" and half.parameters == lenet.parameters


class _Unusual(linen.Module):
    """Parameters made in ``setup``, in a box, from an array, and by an initializer with a product and a loop."""

    def setup(self) -> None:
        self.early = self.param("early", linen.initializers.ones, (1, 1, 3))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.inner(x * self.early)

    @linen.compact
    def inner(self, x: jax.Array) -> jax.Array:
        boxed = self.param("boxed", linen.with_partitioning(linen.initializers.lecun_normal(), (None, "model")), (3, 4))
        start = self.param("start", lambda key, start: start, jnp.arange(4.0).reshape(1, 1, 4))
        mixed = self.param("mixed", _drawn_by_multiplying, (4, 5), dtype=jnp.float32)
        return (x @ boxed + start) @ mixed


def _drawn_by_multiplying(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
    values = jax.random.normal(key, shape, dtype)
    return jax.lax.while_loop(lambda values: values.sum() > 9, lambda values: values @ (values.T @ values), values)


def test_parameters_are_counted_however_they_are_made() -> None:
    model = _Unusual()
    found = summary(model, (2, 8, 3), spatial_ndim=1)
    made = model.init(jax.random.key(0), jnp.ones((2, 8, 3)))
    assert found.parameters == sum(leaf.size for leaf in jax.tree.leaves(made)) == 3 + 12 + 4 + 20
    assert found.macs == 2 * 8 * (3 * 4 + 4 * 5)  # and no operations of the initializers
