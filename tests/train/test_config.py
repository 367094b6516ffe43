import dataclasses
import enum
import json
from pathlib import Path
from typing import Annotated, Literal, Optional

import pytest

from jaxcnn.train._errors import ConfigError
from jaxcnn.train._runs._config import config_from_json, settings_of, settings_to_json, with_settings
from jaxcnn.train._runs._discover import load_experiment


class Mode(enum.Enum):
    SLOW = 1
    FAST = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    epochs: Annotated[int, "passes over the data"] = 40
    peak_lr: float = 0.1
    dataset: str = "digits"
    flip: bool = False
    data_dir: Annotated[str | None, "where it lies"] = None
    limit: int | None = None
    kind: Literal["sgd", "adam"] = "sgd"
    level: Optional[Literal[1, 2]] = None  # noqa: UP045
    widths: tuple[int, ...] = (8, 16)
    size: tuple[int, float] = (3, 0.5)
    mode: Mode = Mode.SLOW
    place: Path | None = None


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
        ("epochs", r"expected --set key=value, got 'epochs'"),
        ("kind=adm", r"setting kind: expected sgd or adam, got 'adm'\. Did you mean 'adam'\?"),
        ("mode=FSAT", r"setting mode: expected SLOW or FAST, got 'FSAT'\. Did you mean 'FAST'\?"),
        ("widths=8,x", r"setting widths: expected int,int,\.\.\., got '8,x'.*--set widths=8,16"),
        ("size=8", r"setting size: expected int,float, got '8'"),
        ("level=3", r"setting level: expected 1 or 2 or none, got '3'"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_settings(Config(), [text])


def test_sets_tuples_enums_and_paths_are_read_from_text_and_back() -> None:
    """The values in ``config.json``, written before the first step, give the same config again."""
    texts = ["kind=adam", "level=2", "widths=1, 2,3", "size=7,1e-3", "mode=FAST", "place=runs/a b"]
    config = with_settings(Config(), texts)
    assert (config.kind, config.level, config.widths, config.size) == ("adam", 2, (1, 2, 3), (7, 1e-3))
    assert (config.mode, config.place) == (Mode.FAST, Path("runs/a b"))
    for each in (config, Config(), with_settings(config, ["level=none", "widths=", "place=none"])):
        assert config_from_json(Config, json.loads(json.dumps(settings_to_json(each)))) == each
    names = {setting.name: setting.type_name for setting in settings_of(Config)}
    assert names["level"] == "1 or 2 or none" and names["place"] == "path or none" and names["mode"] == "SLOW or FAST"


def test_a_setting_that_could_not_be_read_back_is_refused_before_the_run() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Odd:
        table: dict[str, int] = dataclasses.field(default_factory=dict)

    with pytest.raises(ConfigError, match=r"setting table: expected dict, got \{\} \(dict\)\. Types that a setting"):
        settings_to_json(Odd())
    with pytest.raises(ConfigError, match=r"setting kind: expected sgd or adam, got 'rmsprop'"):
        settings_to_json(Config(kind="rmsprop"))  # type: ignore[arg-type]


def test_settings_carry_type_and_meaning() -> None:
    by_name = {setting.name: setting for setting in settings_of(Config)}
    assert (by_name["epochs"].type_name, by_name["epochs"].meaning) == ("int", "passes over the data")
    assert by_name["data_dir"].type_name == "str or none"


def test_json_round_trip_and_its_mistakes() -> None:
    config = Config(epochs=2, data_dir="x")
    assert config_from_json(Config, settings_to_json(config)) == config
    assert config_from_json(Config, {"peak_lr": 1}).peak_lr == 1.0
    with pytest.raises(ConfigError, match=r"setting epochs: expected int, got '2' \(str\)"):
        config_from_json(Config, {"epochs": "2"})
    with pytest.raises(ConfigError, match=r"no setting 'epoch'"):
        config_from_json(Config, {"epoch": 2})


def test_a_default_may_be_made_by_a_function_and_each_setting_has_one(tmp_path: Path) -> None:
    text = """
import dataclasses
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    widths: tuple[int, ...] = dataclasses.field(default_factory=lambda: (8, 16))
    seed: int
def build(config): ...
"""
    file = tmp_path / "own.py"
    file.write_text(text.replace("seed: int", "seed: int = 0"), encoding="utf-8")
    settings = settings_of(load_experiment(file).config_class)
    assert [setting.to_json()["default"] for setting in settings] == [[8, 16], 0]
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own\.py: the setting seed of Config has no default, and `jaxcnn train`"):
        load_experiment(file)
