"""Every mistake of a user at the command line gives one sentence with a remedy, and exit status 2."""

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcnn.cli import main
from tests.cli.conftest import TINY


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The error message of a refused command: always one line, without a traceback."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "lenet5_digit"], "Did you mean 'lenet5_digits'?"),
        (["train", "nowhere/mine.py"], "there is no experiment file nowhere/mine.py"),
        (["train", "lenet5_digits", "--set", "epoch=3"], "train: there is no setting 'epoch'. Did you mean 'epochs'?"),
        (["train", "lenet5_digits", "--set", "epochs=many"], "setting epochs: expected int, got 'many'"),
        (["train", "lenet5_digits", "--set", "batch_size=5000"], "a batch of 5000 does not fit 1437 images"),
        (
            ["train", "lenet5_digits", "--checkpoint-minutes", "-1"],
            "--checkpoint-minutes -1.0: expected a number greater",
        ),
        (["train"], "name an experiment, such as lenet5_digits, or a run to continue with --resume RUN"),
        (["train", "--resume", "runs/none"], "there is no folder runs/none"),
        (["train", "lenet5_mnist", "--set", "dataset=minst"], "Did you mean 'mnist'?"),
        (["evaluate", "runs/none"], "there is no folder runs/none"),
        (["show", "resnet"], "there is no experiment 'resnet'"),
        (["repeat", "lenet5_digits", "--seeds", "0"], "--seeds 0: at least one run is needed"),
        (
            ["train", "lenet5_digits", "--epochs", "3"],
            "there is no option --epochs. Settings of an experiment are changed by --set: --set epochs=3\n",
        ),
        (["train", "--epochs", "3", "lenet5_digits"], "are changed by --set: --set epochs=3\n"),
        (["train", "lenet5_digits", "--batch-size=64"], "are changed by --set: --set batch_size=64\n"),
        (["repeat", "lenet5_digits", "epochs=3"], "are changed by --set: --set epochs=3\n"),
        (["train", "lenet5_digits", "--rundir", "x"], "there is no option --rundir. Did you mean '--run-dir'?"),
        (["train", "lenet5_digits", "--resme=x"], "there is no option --resme. Did you mean '--resume'?"),
        (["train", "lenet5_digits", "--form=x"], "there is no option --form. Did you mean '--from'?"),
        (["list", "runs"], "unexpected argument 'runs'. `jaxcnn list --help` shows what the verb takes."),
        (
            ["summary", "lenet6"],
            "'lenet6' is not a model, an experiment, an experiment file (.py) or a run folder. Did",
        ),
        (["summary", "lenet5_digits", "--classes", "3"], "--classes is for a named model"),
        (
            ["summary", "lenet5", "--picture", "nowhere/fields.png"],
            "nowhere/fields.png cannot be written: No such file or directory\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misspelt_requests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(capsys, *words)
    assert not list(tmp_path.iterdir()), "a refused request leaves nothing behind"


def test_a_number_of_devices_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "lenet5_digits", "--devices", "-1"])
    assert "argument --devices: '-1': expected a number of devices, or all." in capsys.readouterr().err


def test_a_data_set_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sets"
    words = ["train", "lenet5_mnist", "--set", f"data_dir={folder}", "--run-dir", str(tmp_path / "run")]
    error = refusal(capsys, *words)
    assert str(folder) in error and "mnist" in error
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, "train", "lenet5_mnist", "--set", f"dataset=folder:{tmp_path}")
    assert str(tmp_path) in error and "sub-folder" in error


def test_a_file_that_is_no_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n", encoding="utf-8")
    error = refusal(capsys, "train", str(tmp_path / "mine.py"))
    assert "mine.py is not an experiment: it needs a dataclass Config and a function build(config)" in error


def test_a_build_that_returns_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        TINY.read_text(encoding="utf-8") + "\n\ndef build(config):\n    pass\n", encoding="utf-8"
    )
    expected = "mine.py: build(config) returns None, expected an Experiment. Does it lack a return statement?"
    for verb, *options in (["train"], ["summary"], ["show", "--augment"]):
        assert expected in refusal(capsys, verb, str(tmp_path / "mine.py"), *options)
    (tmp_path / "mine.py").write_text(
        TINY.read_text(encoding="utf-8") + "\n\ndef build(config):\n    return 3\n", encoding="utf-8"
    )
    assert "build(config) returns int, expected an Experiment.\n" in refusal(capsys, "train", str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("lambda key, x: augment.random_crop(key, x, padding=4)", "random_crop: size is missing. The call is random_"),
        ("lambda key, x: augment.random_flip(x, key)", "random_flip: key must be a JAX random key"),
        (
            "lambda key, x: augment.RandomCrop",
            "module 'jaxcnn.augment' has no attribute 'RandomCrop'. Use random_crop.",
        ),
    ],
)
def test_a_wrong_call_in_an_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], augment: str, message: str
) -> None:
    """The error is one sentence with the line of the experiment file, also under ``jit``."""
    text = TINY.read_text(encoding="utf-8") + (
        "\n\ndef build(config, build=build):\n    from jaxcnn import augment\n\n"
        f"    return dataclasses.replace(build(config), augment={augment})\n"
    )
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    error = refusal(capsys, "train", str(tmp_path / "mine.py"), "--run-dir", str(tmp_path / "run"))
    assert message in error and error.endswith(f"({tmp_path / 'mine.py'}, line {text.count(chr(10))})\n")
    assert len(error.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_pictures_that_are_none(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("not a picture", encoding="utf-8")
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for path in (text, cut, tmp_path / "absent.png"):
        assert path.name in refusal(capsys, "predict", str(tiny_run), str(path))
    assert "--top 0: show at least one class" in refusal(capsys, "predict", str(tiny_run), str(text), "--top", "0")


def test_images_of_a_size_the_model_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(10):
            pixels = np.random.default_rng(index).integers(0, 255, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{index}.png")
    words = ["train", "lenet5_mnist", "--set", f"dataset=folder:{tmp_path / 'images'}", "--set", "batch_size=8"]
    error = refusal(capsys, *words, "--set", "image_size=48", "--run-dir", str(tmp_path / "run"))
    assert "LeNet5: expected images of 32x32" in error
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_checkpoint(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The proposed command can be copied and run, whatever the name of the folder."""
    run = shutil.copytree(tiny_run, tmp_path / "a run")
    shutil.rmtree(run / "checkpoints")
    error = refusal(capsys, "evaluate", str(run))
    assert f"there is no last checkpoint in {run / 'checkpoints'}" in error
    assert shlex.split(error.partition("Start it again with: ")[2]) == ["jaxcnn", "train", "--resume", str(run)]
    error = refusal(capsys, "train", str(TINY), "--run-dir", str(run))
    assert shlex.split(error.partition("Continue it with: ")[2]) == ["jaxcnn", "train", "--resume", str(run)]


def test_a_damaged_record(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "config.json").write_text("{", encoding="utf-8")
    assert "config.json is damaged" in refusal(capsys, "evaluate", str(run))
    recorded = json.loads((tiny_run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps(recorded | {"epochz": 3}), encoding="utf-8")
    assert "no setting 'epochz'. Did you mean 'epochs'?" in refusal(capsys, "evaluate", str(run))


def test_a_run_of_other_versions(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "experiment.py").write_text("from jaxcnn.train import something_since_removed\n", encoding="utf-8")
    error = refusal(capsys, "evaluate", str(run), "--trust")
    assert "was recorded with other versions and does not load with these" in error and "versions.json" in error


def test_resume_takes_no_settings(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, "train", "--resume", str(tiny_run), "--set", "epochs=3")
    assert "--resume continues a run as it was recorded" in error


def test_a_read_only_run_folder(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Root may write anywhere, so the test drops its privileges for the call."""
    place = tmp_path / "closed"
    place.mkdir()
    place.chmod(0o555)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        error = refusal(capsys, "train", str(TINY), "--run-dir", str(place / "run"))
    finally:
        if root:
            os.seteuid(0)
    assert f"cannot write the run folder {place / 'run'}: Permission denied. Name another with --run-dir" in error


def test_another_process_in_the_folder(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jaxcnn.train import RunFolder

    with RunFolder.open(tiny_run).locked():
        error = refusal(capsys, "train", "--resume", str(tiny_run))
    assert f"another process (pid {os.getpid()}) is training into {tiny_run}" in error


def test_an_error_of_a_library_keeps_its_traceback(tmp_path: Path) -> None:
    broken = TINY.read_text(encoding="utf-8") + "\n\ndef build(config):\n    import json\n\n    return json.loads('')\n"
    (tmp_path / "broken.py").write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError, match="Expecting value"):
        main(["train", str(tmp_path / "broken.py")])
    (tmp_path / "broken.py").write_text(
        TINY.read_text(encoding="utf-8") + "\n\ndef build(config):\n    return None + 1\n", encoding="utf-8"
    )
    with pytest.raises(TypeError, match="unsupported operand"):
        main(["train", str(tmp_path / "broken.py")])
