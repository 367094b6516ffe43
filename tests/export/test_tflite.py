"""LiteRT files: the results of its interpreter, with floats and with integers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import functional as F
from jaxcnn.export import portable, quantize, to_tflite
from tests.export.networks import DETECTORS, FAMILIES, difference, network

pytest.importorskip("litert_converter", reason="the extra tflite is not installed")
pytest.importorskip("litert_quantizer", reason="the extra tflite is not installed")
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra tflite is not installed")


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion: Flax mixes dtypes in its layer norm."""
    yield


def computed(path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of LiteRT, computed without jaxcnn."""
    return litert.Interpreter(model_path=str(path), num_threads=1).get_signature_runner()(x=x)


COUNTS = {
    "lenet5": {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 2, "MAX_POOL_2D": 2},
    "resnet18": {"CONV_2D": 12, "ADD": 4, "MAX_POOL_2D": 1, "FULLY_CONNECTED": 1},
    "mobilenet_v2": {"FULLY_CONNECTED": 1},
    "unet": {"TRANSPOSE_CONV": 1, "MAX_POOL_2D": 1, "CONCATENATION": 1},
}


@pytest.mark.parametrize("name", COUNTS)
def test_floats_and_integers(name: str, tmp_path: Path) -> None:
    chosen = network(name)
    program = portable(chosen.function, (1, *chosen.shape))
    counts = to_tflite(program, tmp_path / "float.tflite")
    x = chosen.images[:1]
    assert difference(program(x), computed(tmp_path / "float.tflite", x)["y"]) < 1e-5
    assert {kind: counts.get(kind) for kind in COUNTS[name]} == COUNTS[name] and "TRANSPOSE" not in counts
    images = np.random.default_rng(4).normal(size=(8, *chosen.shape)).astype(np.float32)
    small = quantize(program, np.concatenate([images, x]))
    with_integers = to_tflite(small, tmp_path / "small.tflite")
    assert with_integers["QUANTIZE"] >= 1 and with_integers["DEQUANTIZE"] == 1
    found = computed(tmp_path / "small.tflite", x)["y"]
    assert found.dtype == np.float32 and 0 < difference(program(x), found) < 0.15
    assert difference(small(x), found) < 0.1
    if name == "lenet5":
        sizes = [(tmp_path / f"{kind}.tflite").stat().st_size for kind in ("small", "float")]
        assert sizes[0] < sizes[1] / 3


# Networks that were not tried, except the detectors, which are refused.
NOT_TRIED = (
    *DETECTORS,
    "farabet_multiscale",
    "fcn_resnet50",
    "mc3_18",
    "r2plus1d_18",
    "two_stream",
    "two_stream_spatial",
)


@pytest.mark.gate
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in (*COUNTS, *NOT_TRIED)])
def test_every_family(name: str, tmp_path: Path) -> None:
    chosen = network(name)
    program = portable(chosen.function, (1, *chosen.shape))
    to_tflite(program, tmp_path / "model.tflite")
    assert difference(program(chosen.images[:1]), computed(tmp_path / "model.tflite", chosen.images[:1])["y"]) < 1e-4


FUNCTIONS: dict[str, Callable[[jax.Array], Any]] = {
    "crops": lambda x: F.max_pool(x, (3, 3), strides=2, padding="SAME")[:, 1:],
    "groups": lambda x: F.conv(x, KERNEL[:, :, :2], feature_group_count=3, strides=2, kernel_dilation=2),
    "average": lambda x: F.avg_pool(x, (2, 3), strides=2, padding=1),
    "response_norm": lambda x: F.local_response_norm(x, size=4, k=1.5, alpha=0.2),
    "series": lambda x: (
        F.max_pool(x[:, :, 0], (3,), strides=2, padding=1) + F.avg_pool(x[:, :, 1], (3,), strides=2, padding=1)
    ),
    "video": lambda x: F.max_pool(x[:, :, :, None], (3, 2, 1), strides=(2, 2, 1), padding="SAME"),
    "sum": lambda x: F.lp_pool(x, (2, 2), strides=2, p=1),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "softmax": jax.nn.softmax,
}
KERNEL = np.random.default_rng(3).normal(size=(3, 3, 6, 6)).astype(np.float32)


def test_operations_and_named_results(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(2, 8, 9, 6)).astype(np.float32)

    def together(x: jax.Array) -> dict[str, Any]:
        return {name: function(x) for name, function in FUNCTIONS.items()} | {"first": (x + 1, x * 2)}

    to_tflite(portable(together, x.shape), tmp_path / "model.tflite")
    found = computed(tmp_path / "model.tflite", x)
    assert sorted(found) == sorted([*FUNCTIONS, "first_0", "first_1"])
    for name, function in FUNCTIONS.items():
        np.testing.assert_allclose(found[name], jax.jit(function)(x), rtol=2e-5, atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(found["first_1"], 2 * x)


def test_pixels(tmp_path: Path) -> None:
    program = portable(lambda x: x, (1, 4, 4, 3), dtype="uint8", to_unit=True, mean=[0.5] * 3, std=[0.25] * 3)
    to_tflite(program, tmp_path / "model.tflite")
    pixels = np.random.default_rng(6).integers(0, 256, (1, 4, 4, 3)).astype(np.uint8)
    found = computed(tmp_path / "model.tflite", pixels)["y"]
    np.testing.assert_allclose(found, (pixels / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)


def test_ranges_and_layers_that_stay_float(tmp_path: Path) -> None:
    """One image contains a large outlier: percentiles exclude it, so that other values have finer steps."""
    chosen = network("lenet5")
    program = portable(chosen.function, (1, *chosen.shape))
    images = np.random.default_rng(7).uniform(size=(16, *chosen.shape)).astype(np.float32)
    images[0, 0, 0] = 100
    steps = {}
    for method in ("minmax", "percentile"):
        to_tflite(quantize(program, images, method=method, percentile=99.9), tmp_path / "model.tflite")
        (image,) = [each for each in tensors(tmp_path / "model.tflite") if list(each["shape"]) == [1, 32, 32, 1]][1:]
        steps[method] = image["quantization"][0]
    np.testing.assert_allclose(steps["minmax"], 100 / 255, rtol=1e-5)
    assert steps["percentile"] < 1.1 / 255
    for keep, dtype in (([], np.int8), (["c1"], np.float32)):
        to_tflite(quantize(program, images, keep=keep), tmp_path / "model.tflite")
        (kernel,) = [each for each in tensors(tmp_path / "model.tflite") if sorted(each["shape"]) == [1, 5, 5, 6]]
        assert kernel["dtype"] == dtype


def tensors(path: Path) -> list[dict[str, Any]]:
    return litert.Interpreter(model_path=str(path)).get_tensor_details()


def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="to_tflite: this program reads a batch of any size, but a file of LiteRT has"):
        to_tflite(portable(jnp.tanh, (None, 3)), file)

    def function(x: jax.Array) -> Any:
        y = jnp.tanh(x)
        with jax.named_scope("last"):
            return jnp.exp(y), lax.sort(y) + 1

    with pytest.raises(
        ValueError, match="to_tflite: the layer 'last' uses the operation 'sort', which cannot be written to LiteRT"
    ):
        to_tflite(portable(function, (1, 3)), file)

    from jaxcnn.export import _tflite

    real = _tflite._convert
    monkeypatch.setattr(_tflite, "_convert", lambda converter, program: real(converter, portable(jnp.sin, (2, 3))))
    with pytest.raises(ValueError, match=r"to_tflite: LiteRT differs from the program by .* of the largest result"):
        to_tflite(portable(jnp.cos, (2, 3)), file)
    assert not file.exists()
