"""``jaxcnn bench``."""

import json
from pathlib import Path
from unittest import mock

import pytest

from jaxcnn import bench
from jaxcnn.cli import main
from jaxcnn.vis import draw_bench
from tests.bench.conftest import made

QUICK = ["bench", "dw3_960_mb", "--operation", "forward", "--no-torch", "--seconds-per-entry", "0.001"]


def test_a_layer_is_measured_listed_and_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, picture = tmp_path / "new" / "bench.json", tmp_path / "bench.png"
    assert main([*QUICK, "--json", str(file), "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "dw3_960_mb        forward" in out and "depthwise forward" in out
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["results"][0]["milliseconds"]["stock"]["runs"] >= 1
    assert found["summary"]["min"]["kinds"]["conv"]["entries"] == 1
    draw_bench(found["results"], tmp_path / "again.png")
    assert picture.read_bytes() == (tmp_path / "again.png").read_bytes()
    # A new entry is added; an entry that exists is replaced.
    assert main([*QUICK, "--operation", "input_grad", "--json", str(file), "--append"]) == 0
    assert [each["operation"] for each in json.loads(file.read_text(encoding="utf-8"))["results"]] == [
        "forward",
        "input_grad",
    ]
    earlier_in_the_suite = ["bench", "dw3_96_N1", *QUICK[2:]]
    assert main([*earlier_in_the_suite, "--json", str(file), "--append"]) == 0
    names = [each["name"] for each in json.loads(file.read_text(encoding="utf-8"))["results"]]
    assert names == ["dw3_96_N1", "dw3_960_mb", "dw3_960_mb"]
    file.write_text(json.dumps(found | {"machine": found["machine"] | {"cores": -1}}), encoding="utf-8")
    assert main([*QUICK, "--json", str(file), "--append"]) == 2
    assert "measured on another machine or with other versions" in capsys.readouterr().err


def test_a_wrong_result_ends_in_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = made("dw3_960_mb", "forward", ours=1.0, stock=1.0, error=1e-3)
    with mock.patch.object(bench, "run_entry", return_value=wrong):
        assert main(QUICK) == 1
    assert "WRONG, not within rounding of stock: dw3_960_mb forward" in capsys.readouterr().out


def test_ctrl_c_prints_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    first = made("dw3_960_mb", "forward", ours=1.0, stock=4.0)
    with mock.patch.object(bench, "run_entry", side_effect=[first, KeyboardInterrupt]):
        assert main(["bench", "dw3_960_mb", "--no-torch"]) == 130
    assert "geometric means over" in capsys.readouterr().out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list", "--only", "step"]) == 0
    assert "MobileNetV2 at 96 px, batch 16" in capsys.readouterr().out


def test_tune_writes_a_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main([*QUICK, "--tune"]) == 0
    file = tmp_path / "jaxcnn" / "tuning.json"
    assert f"JAXCNN_TUNED={file}" in capsys.readouterr().out
    assert len(json.loads(file.read_text(encoding="utf-8"))["algorithms"]) == 1
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.gate
def test_tune_measures_the_layers_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "jaxcnn" / "tuning.json"
    assert main(["bench", "--tune", "--model", "lenet5", "--batch", "1", "--seconds-per-entry", "0.001"]) == 0
    assert len(json.loads(file.read_text(encoding="utf-8"))["algorithms"]) > 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench", "dw3_129"], "no layer's name matches 'dw3_129'. Did you mean 'dw3_128'?"),
        (["bench", "--append"], "--append adds to the file of --json; name it."),
        (["bench", "--seconds-per-entry", "0"], "--seconds-per-entry 0.0: time runs forwards."),
        (["bench", "--model", "lenet5"], "--model and --table require --tune."),
        (["bench", "--tune", "--model", "lenet"], "there is no model 'lenet'. Did you mean 'lenet5'?"),
        (["bench", "--tune", "--model", "lenet5", "--batch", "0"], "--batch 0: a batch has at least one image."),
    ],
)
def test_mistakes_end_in_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
