"""State dicts as saved by training scripts, and files that PyTorch cannot read."""

import logging
import pickle
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.models._weights._state_dict import read_state_dict

STATE = {
    name: np.full(2, place, np.float32)
    for place, name in enumerate(
        ("conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.bias", "fc.weight")
    )
}
OPTIMIZER = {"state": {0: {"exp_avg": np.ones(2)}}, "param_groups": [{"lr": 0.1}]}
AVERAGES = {name: value + 100 for name, value in STATE.items()}


def prefixed(prefix: str, state: dict[str, np.ndarray] = STATE) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    ("state", "removed"),
    [
        (STATE, ""),
        (
            {"epoch": 3, "model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER},
            "Took 'model_state_dict' and left out 'epoch', 'optimizer_state_dict'.",
        ),
        ({"net": STATE, "acc": 93.1}, "Took 'net' and left out 'acc'."),
        ({"state_dict": STATE}, "Took 'state_dict'."),
        (prefixed("_orig_mod."), "Removed '_orig_mod.'."),
        (prefixed("module._orig_mod."), "Removed '_orig_mod.'. Removed the prefix 'module.'."),
        ({name.replace("1.0", "1._orig_mod.0"): value for name, value in STATE.items()}, "Removed '_orig_mod.'."),
        (
            {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 0.1}},
            "Took 'state_dict' and left out 'hyper_parameters'. Removed the prefix 'model.'.",
        ),
        (
            {"state_dict": prefixed("model.") | {"criterion.weight": np.ones(3)}},
            "Took 'state_dict'. Removed the prefix 'model.' and left out 'criterion.weight'.",
        ),
        (
            prefixed("module.") | {"n_averaged": np.array(7)},
            "Removed the prefix 'module.' and left out 'n_averaged'.",
        ),
        (
            {"model_ema": prefixed("module.", AVERAGES) | {"n_averaged": np.array(7)}, "model": STATE},
            "Took 'model' and left out 'model_ema'.",
        ),
        (
            prefixed("ema.", AVERAGES) | prefixed("model."),
            "Removed the prefix 'model.' and left out 'ema.conv1.weight', 'ema.bn1.bias', 'ema.layer1.0.conv1.weight', "
            "'ema.layer1.0.bn1.bias', 'ema.fc.weight'.",
        ),
        (
            {"state_dict_ema": prefixed("module."), "epoch": 3},
            "Took 'state_dict_ema' and left out 'epoch'. Removed the",
        ),
        ({"a": {"b": {"model": prefixed("module.model.")}}}, "Took 'a'. Took 'b'. Took 'model'. Removed the prefix"),
    ],
)
def test_what_is_around_a_state_dict_is_removed_and_said(state: dict[str, Any], removed: str) -> None:
    found = read_state_dict(state, STATE.keys())
    assert found.removed.startswith(removed) and bool(found.removed) == bool(removed)
    assert found.tensors.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(found.tensors[name], value)


def test_names_that_are_not_known_stay_and_are_refused_by_the_caller() -> None:
    assert read_state_dict(STATE | {"extra": np.ones(1)}, STATE.keys()).tensors.keys() == {*STATE, "extra"}
    assert read_state_dict({"state_dict": {"foo": np.ones(1)}, "epoch": 1}, STATE.keys()).tensors.keys() == {"foo"}


class FakeTensor:
    """A tensor of PyTorch, reduced to the attributes that the code uses."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def detach(self) -> "FakeTensor":
        return self

    def cpu(self) -> "FakeTensor":
        return self

    def is_floating_point(self) -> bool:
        return True

    def float(self) -> "FakeTensor":
        return FakeTensor(self.values.astype(np.float32))

    def numpy(self) -> np.ndarray:
        if self.values.dtype == ml_dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_tensors_of_half_precision(kind: str) -> None:
    numpy_values = STATE["fc.weight"].astype(kind)
    for value in (numpy_values, jnp.asarray(numpy_values), FakeTensor(numpy_values)):
        found = read_state_dict({**STATE, "fc.weight": value}, STATE.keys()).tensors["fc.weight"]
        np.testing.assert_array_equal(found.astype(np.float32), STATE["fc.weight"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {**STATE, "epoch": 3},
            "expected tensors by name, but 'epoch' is of type int. Pass a state dict, as model",
        ),
        ({**STATE, "note": np.array("x"), 5: np.ones(1)}, "but 'note' is of type ndarray, 5 is of type ndarray."),
        ({"state_dict": {"a": {}}, "b": None}, "but 'state_dict' is of type dict, 'b' is of type NoneType."),
        (
            SimpleNamespace(state_dict=None),
            "expected a file or tensors by name, but got a model of PyTorch; pass model.",
        ),
    ],
)
def test_what_is_not_a_tensor_is_refused(state: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_state_dict(state, STATE.keys())


def test_load_torch_says_what_it_removed(caplog: pytest.LogCaptureFixture) -> None:
    from tests.models.test_torch_weights import tiny

    state = tiny()
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        wrapped = models.load_torch("resnet18_cifar", {"epoch": 1, "net": prefixed("module.", state)})[1]
    assert [record.getMessage() for record in caplog.records] == [
        "load_torch: the state dict: Took 'net' and left out 'epoch'. Removed the prefix 'module.'."
    ]
    caplog.clear()
    plain = models.load_torch("resnet18_cifar", state)[1]
    np.testing.assert_array_equal(wrapped["params"]["head"]["kernel"], plain["params"]["head"]["kernel"])
    assert not caplog.records


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({}))
    return tmp_path / "weights.pth"


def test_a_pickle_requires_pytorch(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"weights.pth is a pickle of PyTorch, which is not installed"):
        read_state_dict(pickled, STATE.keys())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            struct.error("unpack requires a buffer of 8 bytes"),
            "is damaged or cut off .unpack requires a buffer of 8 byt",
        ),
        (RuntimeError("PytorchStreamReader failed\nframe #0"), r"is damaged or cut off \(PytorchStreamReader failed\)"),
        (EOFError(), r"is damaged or cut off \(EOFError\)"),
        (pickle.UnpicklingError("Weights only load failed"), r"holds more than tensors, such as a whole pickled model"),
    ],
)
def test_errors_of_pytorch_become_sentences(
    pickled: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def load(path: Path, *, map_location: str, weights_only: bool) -> Any:
        assert weights_only, "anything else runs code from the file"
        raise error

    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(load=load))
    with pytest.raises(ValueError, match=message):
        read_state_dict(pickled, STATE.keys())


def test_files_of_pytorch_where_it_is_installed(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(value).bfloat16() for name, value in STATE.items()}
    path = tmp_path / "weights.ckpt"
    torch.save({"state_dict": {f"model.{name}": value for name, value in tensors.items()}, "epoch": 3}, path)
    found = read_state_dict(path, STATE.keys()).tensors
    for name, value in STATE.items():
        np.testing.assert_array_equal(found[name], value)
    for legacy in (True, False):
        torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
        whole = path.read_bytes()
        for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"weights.ckpt is damaged"):
                read_state_dict(path, STATE.keys())
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match="holds more than tensors, such as a whole pickled model"):
        read_state_dict(path, STATE.keys())
    layer = torch.nn.Linear(2, 2)
    assert read_state_dict(dict(layer.named_parameters()), ["weight", "bias"]).tensors.keys() == {"weight", "bias"}
    with pytest.raises(TypeError, match="got a model of PyTorch"):
        read_state_dict(layer, ["weight", "bias"])
