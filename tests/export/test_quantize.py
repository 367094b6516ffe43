"""Networks of eight-bit integers: equal to NumPy integers, close to the float network, equal in onnxruntime."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxcnn import ShapeError
from jaxcnn import functional as F
from jaxcnn.export import portable, prune_filters, quantize, separate, to_onnx
from jaxcnn.export._calibrate import entropy_threshold
from jaxcnn.export._onnx._write import open_session
from jaxcnn.export._quantize import IntegerLayer
from tests.export.networks import difference, network
from tests.oracles.conv import conv as conv_by_loops


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion, with which the programs were traced."""
    yield


def images(seed: int = 0, *, shape: tuple[int, ...] = (4, 7, 6, 8)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


PLAIN: dict[str, Any] = {"pads": [(0, 0)] * 2, "strides": (1, 1), "input_dilation": (1, 1), "kernel_dilation": (1, 1)}
GEOMETRIES = {
    "strides": PLAIN | {"strides": (2, 2), "pads": [(1, 2), (0, 1)]},
    "groups of few channels": PLAIN | {"kernel_dilation": (2, 1), "groups": 4},
    "dilated input": PLAIN | {"input_dilation": (2, 2), "pads": [(1, 1), (1, 1)]},
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_integers_are_those_of_numpy(name: str) -> None:
    generator, geometry = np.random.default_rng(1), GEOMETRIES[name]
    groups = geometry.get("groups", 1)
    kernel = generator.normal(size=(3, 2, 8 // groups, 12)).astype(np.float32)
    bias = generator.normal(size=12).astype(np.float32)
    x = images(shape=(2, 5, 4, 8))
    options = {
        key: value for key, value in geometry.items() if key in ("strides", "input_dilation", "kernel_dilation")
    } | {"padding": geometry["pads"], "feature_group_count": groups}
    small = quantize(portable(lambda x: F.conv(x, kernel, bias=bias, **options), (None, *x.shape[1:])), x)
    (operation,) = small.operations
    layer = operation.apply.__closure__[0].cell_contents  # type: ignore[attr-defined]
    assert isinstance(layer, IntegerLayer) and layer.kind == ("float" if groups > 1 else "bytes")

    scale = np.float32((float(x.max()) - float(x.min())) / 255)
    zero = int(np.round(-x.min() / scale))
    q = np.clip(np.round(x / scale) + zero, 0, 255)
    scales = (np.abs(kernel).max((0, 1, 2)) / np.float32(127)).astype(np.float32)
    weights = np.round(kernel / scales)
    assert np.abs(weights).max() == 127
    sums = conv_by_loops(q - zero, weights, **geometry) + np.round(bias / (scale * scales).astype(np.float64))
    np.testing.assert_array_equal(np.asarray(jax.jit(layer.quantized)(x)), q)
    np.testing.assert_array_equal(np.asarray(jax.jit(lambda x: layer.sums(layer.quantized(x)))(x)), sums)
    np.testing.assert_allclose(small(x), sums * (scale * scales), rtol=1e-6)


def test_a_product_is_that_of_numpy_and_of_onnxruntime(tmp_path: Path) -> None:
    kernel, x = images(2, shape=(8, 5)), images(3, shape=(6, 8))
    small = quantize(portable(lambda x: x @ kernel + 1, (None, 8)), x)
    scale, zero = small.scales[id(small.input)]
    q = np.clip(np.round(x / scale) + zero, 0, 255) - zero
    scales = (np.abs(kernel).max(0) / np.float32(127)).astype(np.float32)
    expected = (q @ np.round(kernel / scales) + np.round(1 / (scale * scales).astype(np.float64))) * (scale * scales)
    np.testing.assert_allclose(small(x), expected, rtol=1e-6)
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    counts = to_onnx(small, tmp_path / "small.onnx")
    assert counts == {"DequantizeLinear": 3, "Gemm": 1, "QuantizeLinear": 1}
    (found,) = open_session((tmp_path / "small.onnx").read_bytes()).run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_channel_without_weights_keeps_its_bias(tmp_path: Path) -> None:
    """The case occurs after a norm with a scale close to 0 is folded.

    In units of the products of the channel, the bias would exceed 32 bits.
    """
    kernel, bias, x = images(2, shape=(8, 4)), np.array([0.1, 0.3, 0.04, 0], np.float32), 9 * images(3, shape=(20, 8))
    kernel[:, 1:] *= np.array([1e-9, 0, 0], np.float32)
    small = quantize(portable(lambda x: x @ kernel + bias[None], (None, 8)), x)
    found, expected = np.asarray(small(x)), x @ kernel + bias
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=1e-6)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=1)
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    to_onnx(small, tmp_path / "small.onnx")
    session = open_session((tmp_path / "small.onnx").read_bytes())
    np.testing.assert_allclose(session.run(None, {"x": x})[0][:, 1:], found[:, 1:], rtol=1e-5, atol=1e-6)


@pytest.mark.gate
@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_a_network(name: str, tmp_path: Path) -> None:
    chosen = network(name)
    program = portable(chosen.function, (None, *chosen.shape))
    x = images(4, shape=(16, *chosen.shape))
    small = quantize(program, x)
    assert 0 < difference(program(x), small(x)) < 0.1
    text = str(jax.make_jaxpr(small._run)(x))
    assert "preferred_element_type=int32" in text
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    big, file = tmp_path / "big.onnx", tmp_path / "small.onnx"
    counts = to_onnx(small, file)
    to_onnx(program, big)
    layers = sum(program.counts[kind] for kind in ("conv_general_dilated", "dot_general"))
    assert counts["Conv"] + counts["Gemm"] == layers and counts["QuantizeLinear"] >= layers
    assert file.stat().st_size < big.stat().st_size / (3 if name == "lenet5" else 1.2)
    (found,) = open_session(file.read_bytes()).run(None, {"x": x})
    assert difference(small(x), found) < 0.05


@pytest.mark.gate
def test_layers_that_stay_float() -> None:
    chosen = network("lenet5")
    program, x = portable(chosen.function, (None, *chosen.shape)), images(5, shape=(8, *chosen.shape))
    names = sorted({operation.layer for operation in program.operations if len(operation.inputs) == 3})
    assert names == ["c1", "c3", "c5", "f6", "output"]
    np.testing.assert_array_equal(quantize(program, x, keep=names)(x), program(x))
    assert 0 < difference(program(x), quantize(program, x, keep=names[1:])(x)) < 0.05


@pytest.mark.gate
def test_percentiles_and_entropy_leave_out_rare_values() -> None:
    x = np.append(np.random.default_rng(6).normal(size=20000).astype(np.float32), np.float32(100))[:, None]
    program = portable(lambda x: x @ np.ones((1, 1), np.float32), (None, 1))
    (whole,), (most,), (best,) = (
        quantize(program, x, method=method).scales.values() for method in ("minmax", "percentile", "entropy")
    )
    np.testing.assert_allclose(whole[0], (x.max() - x.min()) / 255, rtol=1e-6)
    assert 5 / 255 < most[0] < 9 / 255 and best[0] < whole[0] / 4
    ((all_of_them, _),) = quantize(program, x, method="percentile", percentile=100).scales.values()
    assert all_of_them > 0.9 * whole[0]


def test_the_threshold_has_the_least_divergence() -> None:
    counts = np.histogram(np.abs(np.random.default_rng(7).standard_t(3, 50000)), bins=2048)[0].astype(float)
    counts[0] = 0

    def divergence(size: int) -> float:
        p, level = counts[:size].copy(), np.arange(size) * 128 // size
        q = np.zeros(size)
        for each in range(128):
            filled = (level == each) & (p > 0)
            if filled.any():
                q[filled] = p[filled].mean()
        p[-1] += counts[size:].sum()
        return float(scipy.stats.entropy(p, np.maximum(q / q.sum(), 1e-12)))

    chosen = entropy_threshold(counts)
    others = [divergence(size) for size in range(128, 2049, 160) if counts[size:].sum() <= 0.01 * counts.sum()]
    assert 128 <= chosen < 2048 and divergence(chosen) <= min(others) * 1.05


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_frequent_value_does_not_clip_the_others(value: float) -> None:
    rare = np.random.default_rng(8).uniform(0, 1, 30000)
    counts = np.histogram(np.append(rare, np.full(70000, value)), bins=2048, range=(0, 1))[0]
    threshold = entropy_threshold(counts)
    assert counts[threshold:].sum() <= 0.01 * counts.sum()
    assert entropy_threshold(np.where(np.arange(2048) == round(2047 * value), 100, 0)) >= 2047 * value


def test_a_program_without_layers_stays() -> None:
    x = images(shape=(2, 3))
    np.testing.assert_array_equal(quantize(portable(lambda x: 2 * x, (None, 3)), x)(x), 2 * x)


def test_refused() -> None:
    program, x = portable(lambda x: x @ np.ones((3, 2), np.float32), (None, 3)), np.ones((2, 3), np.float32)
    for wrong in (x[:, :2], x[:0]):
        with pytest.raises(ShapeError, match=r"quantize: expected images of the shape \(n, 3\), at least one"):
            quantize(program, wrong)
    with pytest.raises(ValueError, match="quantize: percentile=20 must be above 50 and at most 100"):
        quantize(program, x, percentile=20)
    with pytest.raises(ValueError, match="quantize: there is no layer 'head' to keep"):
        quantize(program, x, keep=["head"])
    with pytest.raises(ValueError, match="method"):
        quantize(program, x, method="mse")  # type: ignore[arg-type]
    small = quantize(program, x)
    with pytest.raises(TypeError, match=r"quantize: expected a program of floats, .* the result of quantize"):
        quantize(small, x)
    with pytest.raises(TypeError, match="separate: expected a program of floats"):
        separate(small, x, budget=0.5)
    with pytest.raises(TypeError, match="prune_filters: expected a program of floats"):
        prune_filters(small, budget=0.5)
    with pytest.raises(ValueError, match="quantize: a layer gives infinities or NaN for the calibration images"):
        quantize(program, jnp.full((2, 3), jnp.inf))


def test_images_of_another_range() -> None:
    """Each message contains the actual range, the expected range and a remedy."""

    def head(x: jax.Array) -> jax.Array:
        return x.reshape(-1, 12) @ np.ones((12, 2), np.float32)

    unit = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 2, 2, 3)
    pixels = np.round(255 * unit)
    floats = portable(head, (None, 2, 2, 3), mean=[0.5] * 3, std=[0.2] * 3)
    assert floats.input_range == (0, 1) and quantize(floats, unit).input_range == (0, 1)
    of_pixels = portable(head, (None, 2, 2, 3), to_unit=True)
    read_bytes = portable(head, (None, 2, 2, 3), to_unit=True, dtype="uint8")
    signed = portable(head, (None, 2, 2, 3), input_range=(-1, 1))
    for program, images, message in (
        (floats, pixels, "are from 0 to 255, but the program reads images from 0 to 1: try images / 255"),
        (of_pixels, unit, r"are from 0 to 1, but the program reads images from 0 to 255: try 255 \* images"),
        (read_bytes, unit.astype(np.uint8), r"are from 0 to 1, .* from 0 to 255: try 255 \* images"),
        (floats, unit / 255, "are from 0 to 0.00392157, but the program reads images from 0 to 1: preprocess them"),
        (signed, pixels, "are from 0 to 255, but the program reads images from -1 to 1: preprocess them as the images"),
    ):
        with pytest.raises(ValueError, match=f"quantize: images {message}"):
            quantize(program, images)
    for program, images, message in (
        (floats, pixels.astype(np.uint8), r"float32, but images are uint8, from 0 to 255\. .* divided by 255 if"),
        (
            read_bytes,
            unit,
            r"uint8, but images are float32, from 0 to 1\. .* \(255 \* images\)\.round\(\)\.astype\(uint8",
        ),
    ):
        with pytest.raises(TypeError, match=f"quantize: the program reads {message}"):
            quantize(program, images)
    for wrong in ((1, 0), (0, np.inf), (0, 1, 2)):
        with pytest.raises(ValueError, match="portable: input_range must be the least and the greatest entry of the"):
            portable(head, (None, 2, 2, 3), input_range=wrong)


def test_layers_do_not_share_the_zero_points_of_their_weights(tmp_path: Path) -> None:
    """onnxruntime's exact sums on processors without VNNI fail if weights share a zero point."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    kernels, x = images(4, shape=(2, 6, 6)), images(5, shape=(8, 6))
    to_onnx(quantize(portable(lambda x: jax.nn.relu(x @ kernels[0]) @ kernels[1], (None, 6)), x), tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx").graph
    zeros = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8 and len(each.dims) == 1}
    assert len(zeros) == 2
