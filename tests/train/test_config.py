import dataclasses
from typing import Annotated

import pytest

from jaxcnn.train._errors import ConfigError
from jaxcnn.train._runs.config import config_from_json, settings_of, with_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    epochs: Annotated[int, "passes over the data"] = 40
    peak_lr: float = 0.1
    dataset: str = "digits"
    flip: bool = False
    data_dir: Annotated[str | None, "where it lies"] = None
    limit: int | None = None


def test_every_type_is_read_from_text() -> None:
    texts = ["epochs=3", "peak_lr=1e-3", "dataset=mnist", "flip=yes", "data_dir=here", "limit=none"]
    expected = Config(epochs=3, peak_lr=1e-3, dataset="mnist", flip=True, data_dir="here", limit=None)
    assert with_settings(Config(limit=5), texts) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch=3", r"there is no setting 'epoch'\. Did you mean 'epochs'\?"),
        ("zzz=3", r"there is no setting 'zzz'\. Known: 'epochs', 'peak_lr'"),
        ("epochs=three", r"setting epochs: expected int, got 'three'\. Its default is 40; .*--set epochs=40"),
        ("epochs=3.5", r"setting epochs: expected int, got '3\.5'"),
        ("peak_lr=fast", r"setting peak_lr: expected float, got 'fast'"),
        ("flip=perhaps", r"setting flip: expected bool, got 'perhaps'"),
        ("limit=few", r"setting limit: expected int or none, got 'few'"),
        ("epochs", r"--set wants key=value, got 'epochs'"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_settings(Config(), [text])


def test_settings_carry_type_and_meaning() -> None:
    by_name = {setting.name: setting for setting in settings_of(Config)}
    assert (by_name["epochs"].type_name, by_name["epochs"].meaning) == ("int", "passes over the data")
    assert by_name["data_dir"].type_name == "str or none"


def test_json_round_trip_and_its_mistakes() -> None:
    config = Config(epochs=2, data_dir="x")
    assert config_from_json(Config, dataclasses.asdict(config)) == config
    assert config_from_json(Config, {"peak_lr": 1}).peak_lr == 1.0
    with pytest.raises(ConfigError, match=r"setting epochs: expected int, got '2' \(str\)"):
        config_from_json(Config, {"epochs": "2"})
    with pytest.raises(ConfigError, match=r"no setting 'epoch'"):
        config_from_json(Config, {"epoch": 2})
