"""Core ML packages: their operations are evaluated with NumPy, since only macOS runs such packages."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.export import portable, quantize, to_coreml
from tests.export.networks import difference, network
from tests.oracles.mil import evaluate

tools = pytest.importorskip("coremltools", reason="the extra coreml is not installed")
pytest.importorskip("stablehlo_coreml", reason="the extra coreml is not installed")
milproto = pytest.importorskip(
    "coremltools.converters.mil.frontend.milproto.load", reason="the extra coreml is missing"
)

# A model of coremltools leaves a temporary folder to the garbage collector, which the fixture runs.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion, with which the programs were traced."""
    yield
    gc.collect()


def loaded(path: Path) -> tuple[Any, Any]:
    """The description of a package, and its program."""
    model = tools.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    return spec, milproto.load(spec, spec.specificationVersion, model.weights_dir)


COUNTS = {
    "lenet5": {"conv": 3, "linear": 2, "max_pool": 2},
    "resnet18": {"conv": 12, "linear": 1, "max_pool": 1, "add": 4},
    "mobilenet_v2": {"linear": 1},
    "unet": {"conv_transpose": 1, "max_pool": 1},
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_network(name: str, tmp_path: Path) -> None:
    chosen, file = network(name), tmp_path / "model.mlpackage"
    program = portable(chosen.function, (1, *chosen.shape))
    counts = to_coreml(program, file, precision="float32")
    assert {kind: counts.get(kind) for kind in COUNTS[name]} == COUNTS[name]
    spec, core = loaded(file)
    assert [each.name for each in spec.description.input] == ["x"]
    assert [each.name for each in spec.description.output] == ["y"]
    (found,) = evaluate(core, {"x": chosen.images[:1]})
    assert difference(program(chosen.images[:1]), found) < 1e-5
    if name == "lenet5":
        large = size(file)
        to_coreml(program, file)
        assert size(file) < 0.7 * large


def size(package: Path) -> int:
    return sum(each.stat().st_size for each in package.rglob("*") if each.is_file())


def test_bytes_and_named_results(tmp_path: Path) -> None:
    file = tmp_path / "model.mlpackage"
    to_coreml(portable(lambda x: {"b": x * 2, "a": (x + 1,)}, (1, 4), dtype="uint8", to_unit=True), file)
    spec, _ = loaded(file)
    assert [each.name for each in spec.description.output] == ["a_0", "b"]
    (image,) = spec.description.input
    assert image.type.multiArrayType.dataType == image.type.multiArrayType.ArrayDataType.Value("INT32")


def test_refused(tmp_path: Path) -> None:
    file, program = tmp_path / "model.mlpackage", portable(lambda x: x @ np.ones((3, 2), np.float32), (1, 3))
    with pytest.raises(ValueError, match=r"to_coreml: a package of Core ML is a folder that ends in .mlpackage; got"):
        to_coreml(program, tmp_path / "model.onnx")
    (tmp_path / "mine.mlpackage").mkdir()
    with pytest.raises(ValueError, match=r"mine.mlpackage exists and is no package of Core ML. Write to another path"):
        to_coreml(program, tmp_path / "mine.mlpackage")
    with pytest.raises(
        ValueError, match="to_coreml: this program reads a batch of any size, but a file of Core ML has"
    ):
        to_coreml(portable(jnp.tanh, (None, 3)), file)
    with pytest.raises(ValueError, match="to_coreml: integers are not written to Core ML, whose tools measure the"):
        to_coreml(quantize(program, np.ones((1, 3), np.float32)), file)
    with pytest.raises(ValueError, match="to_coreml: precision='float8' is not known"):
        to_coreml(program, file, precision="float8")  # type: ignore[arg-type]

    def function(x: jax.Array) -> Any:
        y = jnp.tanh(x)
        with jax.named_scope("last"):
            return jnp.exp(y), jnp.abs(jnp.fft.fft(y))

    with pytest.raises(
        ValueError, match="to_coreml: the layer 'last' uses the operation 'convert_element_type', which cannot be wr"
    ):
        to_coreml(portable(function, (1, 3)), file)
    assert not file.exists()
