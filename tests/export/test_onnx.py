"""ONNX files: their results in onnxruntime, their nodes, and the functions that cannot be written."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import functional as F
from jaxcnn import models
from jaxcnn.export import portable, to_onnx
from jaxcnn.export._onnx._write import open_session
from tests.export.networks import DETECTORS, FAMILIES, difference, network, prepared
from tests.export.networks import program as program_of
from tests.tiers import default_rows

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion: Flax mixes dtypes in its layer norm."""
    yield


def computed(path: Path, x: np.ndarray) -> list[np.ndarray]:
    """The outputs of onnxruntime, computed without jaxcnn."""
    return open_session(path.read_bytes()).run(None, {"x": x})


# The number of transposes besides that of the images. Results that are maps have channels last outside of the file,
# patches become a series, and the input of a second stream is transposed. Transposes of detectors are not counted.
TRANSPOSES = {"fcn8s_vgg16": 1, "two_stream": 1, "unet": 1, "vit_s_16": 1, "wavenet_stack": 1}


@pytest.mark.parametrize("name", default_rows([*FAMILIES], keep=["resnet20_cifar"]))
def test_every_family(name: str, tmp_path: Path) -> None:
    chosen = network(name)
    program = program_of(name)
    counts = to_onnx(program, tmp_path / "model.onnx")
    found = computed(tmp_path / "model.onnx", chosen.images)
    assert difference(jax.jit(chosen.function)(chosen.images), found) < 1e-4
    read = onnx.load(tmp_path / "model.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in read.dim] == [
        2 if name in DETECTORS else "batch",
        *chosen.shape,
    ]
    if name not in DETECTORS:
        moved = 0 if chosen.shape[-1] == 1 else 1
        assert counts.get("Transpose", 0) == moved + TRANSPOSES.get(name, 0)


# Groups of operations in which an earlier version transposed axes in between.
AXES: dict[str, Callable[[jax.Array], Any]] = {
    "stacked bins": lambda x: F.adaptive_avg_pool(x, (3, 4)).reshape(2, -1) @ np.ones((72, 2), np.float32),
    "product of axes": lambda x: F.conv(jnp.einsum("ah,bhwc->bawc", np.ones((5, 8), np.float32), x), _kernel(6, 3)),
    "a norm of rows": lambda x: jax.nn.standardize(x.reshape(2, 56, 6)) * jnp.arange(6.0).reshape(1, 1, 6),
    "joined channels": lambda x: F.conv(jnp.concatenate([x[..., 1:2], x[..., :1] * 2], -1), _kernel(2, 3)),
    "pixels": lambda x: F.conv(x @ _kernel(6, 4)[0, 0], _kernel(4, 3)),
}


def _kernel(inner: int, outer: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(3, 3, inner, outer)).astype(np.float32)


def test_axes_move_at_the_input_and_the_results_only(tmp_path: Path) -> None:
    x = np.random.default_rng(8).normal(size=(2, 8, 7, 6)).astype(np.float32)

    def together(x: jax.Array) -> list[Any]:
        return [function(x) for function in AXES.values()]

    counts = to_onnx(portable(together, x.shape), tmp_path / "model.onnx")
    assert counts["Transpose"] == 1 + 3  # three of the results are maps
    for name, one, other in zip(AXES, jax.jit(together)(x), computed(tmp_path / "model.onnx", x), strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.gate
def test_nodes_of_whole_networks(tmp_path: Path) -> None:
    expected = {
        "resnet18": {"Conv": 20, "Relu": 17, "Add": 8, "MaxPool": 1, "GlobalAveragePool": 1, "Gemm": 1, "Transpose": 1},
        "mobilenet_v2": {"Conv": 52, "Clip": 35, "Add": 10, "GlobalAveragePool": 1, "Gemm": 1, "Transpose": 1},
    }
    for name, nodes in expected.items():
        chosen = prepared(models.create(name), (224, 224, 3) if name == "resnet18" else (96, 96, 3))
        model = onnx_model_of(chosen.function, (1, *chosen.shape))
        kinds = [node.op_type for node in model.graph.node]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {**nodes, "Flatten": 1}
        if name == "mobilenet_v2":
            groups = [each.i for node in model.graph.node for each in node.attribute if each.name == "group"]
            assert sum(group > 1 for group in groups) == 17


def onnx_model_of(function: Callable[..., Any], shape: tuple[int, ...]) -> Any:
    from jaxcnn.export._onnx._write import onnx_model

    return onnx_model(portable(function, shape))


def _conv(**options: Any) -> Callable[[jax.Array], jax.Array]:
    kernel = (
        np.random.default_rng(4).normal(size=(3, 2, 6 // options.get("feature_group_count", 1), 4)).astype(np.float32)
    )
    return lambda x: F.conv(x, kernel, **options)


def _transpose(**options: Any) -> Callable[[jax.Array], jax.Array]:
    groups = options.get("feature_group_count", 1)
    kernel = np.random.default_rng(4).normal(size=(3, 2, 4 // groups, 6)).astype(np.float32)
    return lambda x: F.conv_transpose(x, kernel, **options)


WEIGHTS = np.random.default_rng(5).normal(size=(6, 5)).astype(np.float32)
FUNCTIONS: dict[str, Callable[[jax.Array], Any]] = {
    "strides and uneven padding": _conv(strides=(2, 1), padding=((2, 0), (0, 1))),
    "dilated groups": _conv(kernel_dilation=2, feature_group_count=2, padding="SAME_LOWER"),
    "padding that crops": _conv(padding=((-1, 2), (1, -2))),
    "reflected padding": _conv(padding=1, padding_mode="reflect"),
    "transposed": _transpose(strides=2),
    "transposed groups": _transpose(strides=(2, 3), padding=((1, 0), (0, 1)), feature_group_count=2, output_padding=1),
    "max pool of only padding at the end": lambda x: F.max_pool(
        x, (3, 3), strides=2, padding="SAME", window_dilation=2
    ),
    "max pool of padding as long as its window": lambda x: F.max_pool(
        x, (2, 3), strides=1, padding=((2, 2), (3, 3)), window_dilation=3
    ),
    "min pool of such padding": lambda x: F.min_pool(x, (3, 3), strides=2, padding=3, window_dilation=2),
    "min pool": lambda x: F.min_pool(x, (2, 2), strides=2),
    "sum of channels": lambda x: F.local_response_norm(x, size=5, k=1.5, alpha=0.2, beta=0.5) + x,
    "sum of few channels": lambda x: F.local_response_norm(x[..., :2], size=5),
    "sum of an even number of channels": lambda x: F.local_response_norm(x, size=4, k=1.5, alpha=0.2),
    "sum of channels of series": lambda x: F.local_response_norm(x[:, 0], size=3, alpha=0.2),
    "no reduction": lambda x: jnp.sum(x, axis=()),
    "dense on a map": lambda x: jax.nn.relu(F.max_pool(x, (2, 2), strides=2)) @ WEIGHTS,
    "product of two results": lambda x: jnp.einsum("bhwc,bhvc->bwvh", x, jnp.tanh(x)),
    "flattened map": lambda x: jax.nn.relu(F.max_pool(x, (2, 2), strides=3).reshape(x.shape[0], -1) * 2) + 1,
    "transposes": lambda x: jnp.transpose(F.avg_pool(x, (2, 2), strides=2), (0, 3, 1, 2)).mean(1),
    "reductions": lambda x: (x.max((1, 2)), x.sum(-1), x.min(2).prod(1), x.argmax(-1), jnp.argmin(x, 1)),
    "activations": lambda x: [
        each(x) for each in (jax.nn.gelu, jax.nn.silu, jax.nn.elu, jax.nn.softplus, jax.nn.hard_swish)
    ],
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "powers": lambda x: (x**2, x**3, 1 / (x + 9), jnp.abs(x) ** 0.3, jnp.exp2(x), jnp.expm1(x), jnp.log1p(jnp.abs(x))),
    "comparisons": lambda x: jnp.where((x > 0) & ~(x >= 1) | (x != 2), x, jnp.round(x)),
    "softmax": jax.nn.softmax,
    "pieces": lambda x: jnp.concatenate([x[:, 1:5:2], jnp.flip(x, 1), jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))], 1),
    "stacked": lambda x: jnp.stack(jnp.split(x, 3, -1), 1),
    "broadcast": lambda x: jnp.broadcast_to(jnp.arange(3.0), (x.shape[0], 3)) + x[:, :3, 0, 0],
}


@pytest.mark.parametrize("names", [list(FUNCTIONS)[start::4] for start in range(4)])
def test_operations(names: list[str], tmp_path: Path) -> None:
    """Small functions, one file each, compared with ``jit``."""

    def together(x: jax.Array) -> dict[str, Any]:
        return {name.replace(" ", "_"): FUNCTIONS[name](x) for name in names}

    x = np.random.default_rng(6).normal(size=(3, 8, 7, 6)).astype(np.float32)
    to_onnx(portable(together, (None, 8, 7, 6)), tmp_path / "model.onnx")
    expected = jax.tree_util.tree_leaves_with_path(jax.jit(together)(x))
    for (path, one), other in zip(expected, computed(tmp_path / "model.onnx", x), strict=True):
        assert one.dtype == other.dtype, path
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5, err_msg=str(path))


def _places(*shape: int, size: int) -> np.ndarray:
    return np.random.default_rng(7).integers(-1, size + 1, shape)  # some of these are outside of an array


# Functions of two images (8, 7, 6) with fixed sizes.
INDEXING: dict[str, Callable[[jax.Array], Any]] = {
    "one axis": lambda x: [
        x.at[:, jnp.abs(x[0, :3, 0, 0] * 9).astype(int)].get(mode=mode, fill_value=-1) for mode in ("clip", "fill")
    ],
    "two axes": lambda x: x.at[1, _places(5, 1, size=8), _places(1, 4, size=7)].get(mode="fill", fill_value=5),
    "a place for each image": lambda x: jnp.take_along_axis(x, jnp.argsort(x, 2)[:, :, 3:5], 2),
    "booleans": lambda x: (x > 0).at[:, jnp.argmax(x[:, 0, :, 0])].get(mode="fill", fill_value=False),
    "written": lambda x: x.at[:, jnp.argmax(x[0, :, 0, 0]) + _places(4, size=9) * 2].set(x[:, :4], mode="drop"),
    "added": lambda x: jax.vmap(lambda y, z: y.at[z].add(1))(x[..., 0], (x[..., 0].argmin(2) * 3)),
    "sorted": lambda x: (jnp.sort(x, 1), jnp.sort(x > 0, 2), jnp.argsort(jnp.round(x), 3), lax.top_k(x, 2)),
    "sums": lambda x: (jnp.cumsum(x, 1), lax.cumsum(x, 2, reverse=True), (x > 2).any((0, 3)), (x < 2).all(1)),
    "slices": lambda x: lax.dynamic_slice(x, (0, x[0, :, 0, 0].argmax() * 3, 1, 0), (2, 3, 4, 6)),
    "numbers": lambda x: (
        jnp.isfinite(x / jnp.round(x)),
        jnp.round(9 * x).astype(int) % 4,
        jnp.left_shift(3, jnp.round(x * x).astype(int)),
        jnp.where(x > 1, x > 0, x < 1),
    ),
    "loop": lambda x: lax.while_loop(
        lambda state: (state[0] < 40) & (state[1].max() < 9), lambda state: (state[0] + 1, state[1] * x[:1] + 1), (0, x)
    ),
    "boxes": lambda x: F.nms(
        jnp.cumsum(jnp.abs(x[:, :, 0, :4]) / 2, -1), x[:, :, 0, 4], iou_threshold=0.3, max_output=5
    ),
}


def test_computed_places(tmp_path: Path) -> None:
    """Functions of computed positions in one file, compared with ``jit``."""

    def together(x: jax.Array) -> dict[str, Any]:
        return {name.replace(" ", "_"): function(x) for name, function in INDEXING.items()}

    x = np.random.default_rng(8).normal(size=(2, 8, 7, 6)).astype(np.float32)
    counts = to_onnx(portable(together, x.shape), tmp_path / "model.onnx")
    assert counts["Loop"] == 2
    expected = jax.tree_util.tree_leaves_with_path(jax.jit(together)(x))
    for (path, one), other in zip(expected, computed(tmp_path / "model.onnx", x), strict=True):
        assert one.dtype == other.dtype, path
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5, err_msg=str(path))


def test_computed_places_that_onnx_does_not_have(tmp_path: Path) -> None:
    def parts(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda place: lax.dynamic_slice(x, (place,), (2,)))(x.argsort())

    def written(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda y: y.at[y.argmax()].set(0))(x)

    def keys(x: jax.Array) -> Any:
        return lax.sort((x, x), num_keys=2)

    for function, shape, message in (
        (parts, (5,), "'gather', .*: it reads a part of an axis, other than one entry"),
        (written, (None, 5), "'scatter', .*: its sizes depend on the batch; give the batch as a number"),
        (keys, (5,), "'sort', .*: it has several keys, or sorts a batch of any size"),
    ):
        with pytest.raises(ValueError, match=message):
            to_onnx(portable(function, shape), tmp_path / "model.onnx")


def test_pixels_and_named_results(tmp_path: Path) -> None:
    program = portable(lambda x: {"double": 2 * x, "parts": (x + 1,)}, (None, 4, 4, 3), dtype="uint8", to_unit=True)
    to_onnx(program, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert [each.name for each in model.graph.output] == ["double", "parts_0"]
    pixels = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    np.testing.assert_allclose(computed(tmp_path / "model.onnx", pixels)[0], pixels / 127.5, rtol=1e-6)


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="to_onnx: a function outside of layers uses the operation 'lgamma'"):
        to_onnx(portable(lax.lgamma, (2, 3)), file)

    class Gamma(models.create("lenet5").__class__):  # type: ignore[misc]
        def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
            with jax.named_scope("last"):
                return lax.lgamma(super().__call__(x))

    small = prepared(Gamma(), (32, 32, 1))
    with pytest.raises(
        ValueError, match="to_onnx: the layer 'last' uses the operation 'lgamma', which cannot be written"
    ):
        to_onnx(portable(small.function, (1, 32, 32, 1)), file)
    assert not file.exists()


@pytest.mark.parametrize("wrong", ["Sin", "Sqrt"])  # some entries of the second one are NaN
def test_a_file_that_differs_is_not_written(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxcnn.export._onnx import _elementwise, _write

    monkeypatch.setitem(_write.EMITTERS, "tanh", functools.partial(_elementwise.unary))
    monkeypatch.setitem(_elementwise.UNARY, "tanh", wrong)
    with pytest.raises(ValueError, match=r"to_onnx: onnxruntime differs from the program by .* of the largest result"):
        to_onnx(portable(jnp.tanh, (2, 3)), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_results_may_be_infinite_and_without_a_batch(tmp_path: Path) -> None:
    """Infinities in the same places are no difference, and the two rows of a result need not be two examples."""

    def function(x: jax.Array) -> list[jax.Array]:
        return [jnp.log(jnp.maximum(x, 0)), jnp.stack([x, 2 * x])]

    to_onnx(portable(function, (None, 5)), tmp_path / "model.onnx")
    x = np.array([[1, -1, 2, -3, 0.5]], np.float32)
    logarithms, stacked = computed(tmp_path / "model.onnx", x)
    np.testing.assert_allclose(logarithms, np.log(np.maximum(x, 1e-45)) + np.where(x > 0, 0, -np.inf), rtol=1e-6)
    np.testing.assert_array_equal(stacked, [x, 2 * x])
