"""A run folder from another source: its code runs only with ``trust``, and the recorded model does not require it."""

import base64
import dataclasses
import json
import py_compile
import re
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxcnn.cli import main
from jaxcnn.data import Split
from jaxcnn.train import load_trained
from jaxcnn.train._checkpoints._checksums import check_seal, seal
from jaxcnn.train._errors import RunError
from jaxcnn.train._evaluate import Evaluator
from jaxcnn.train._recorded import RecordedModel, read_model, record_model
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._runs._trust import register_folder
from tests.train.runs import TINY, train

NEW = r"experiment\.py is a program that you have not run before on this machine, .* --trust"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two epochs with its recorded model; the experiment imports a module next to its file."""
    place = tmp_path_factory.mktemp("own")
    (place / "sibling.py").write_text("SHIFT = 0.3\n", encoding="utf-8")
    source = TINY.read_text(encoding="utf-8").replace("standardize([0.3]", "standardize([sibling.SHIFT]")
    (place / "mine.py").write_text(
        source.replace("import dataclasses", "import dataclasses\nimport sibling"), encoding="utf-8"
    )
    file = load_experiment(place / "mine.py")
    config = file.config_class(epochs=2)
    run = RunFolder.create(place / "run", file, dataclasses.asdict(config))
    experiment = file.build(config)
    train(run, experiment)
    record_model(experiment, run)
    return run


@pytest.fixture
def foreign(own: RunFolder, tmp_path: Path) -> RunFolder:
    """The run with code of another user, which leaves a trace when it runs."""
    path = tmp_path / "foreign"
    shutil.copytree(own.path, path)
    with (path / "experiment.py").open("a", encoding="utf-8") as file:
        file.write(f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return RunFolder.open(path)


def test_a_copy_on_this_machine_is_no_stranger(own: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(own.path, tmp_path / "copy"))
    file, config = copy.load_experiment()
    assert config.epochs == 2 and file.siblings == own.path.parent


def test_code_from_elsewhere_runs_only_when_trusted(foreign: RunFolder, tmp_path: Path) -> None:
    for load in (foreign.load_experiment, lambda: load_trained(foreign, "last")):
        with pytest.raises(RunError, match=NEW):
            load()
    assert not (tmp_path / "ran").exists()
    sys.modules.pop("sibling", None)
    with pytest.raises(RunError, match="No module named 'sibling'"):  # the import path must not change either
        foreign.load_experiment(trust=True)
    source = (foreign.path / "experiment.py").read_text(encoding="utf-8")
    (foreign.path / "experiment.py").write_text(
        source.replace("import sibling", "").replace("sibling.SHIFT", "0.3"), encoding="utf-8"
    )
    foreign.load_experiment(trust=True)
    assert (tmp_path / "ran").exists()


def test_the_run_does_not_choose_the_import_path(own: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(own.path, tmp_path / "copy"))
    for place in (tmp_path, copy.path):
        (place / "sibling.py").write_text("raise SystemExit('imported from the run')", encoding="utf-8")
    config = json.loads((copy.path / "config.json").read_text(encoding="utf-8"))
    config["experiment_file"] = str(tmp_path / "mine.py")
    (copy.path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sys.modules.pop("sibling", None)
    copy.load_experiment()
    assert sys.modules["sibling"].__file__ == str(own.path.parent / "sibling.py")


def test_compiled_code_next_to_the_text_is_not_run(own: RunFolder, tmp_path: Path) -> None:
    """Python's import trusts a file in ``__pycache__`` with a flag against comparing it with the source."""
    copy = RunFolder(shutil.copytree(own.path, tmp_path / "copy"))
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('compiled code was run')", encoding="utf-8")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    cached = copy.path / "__pycache__" / f"experiment.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(evil), cfile=str(cached), invalidation_mode=mode)
    assert copy.load_experiment()[1].epochs == 2


def test_a_register_that_others_can_write_is_not_believed(own: RunFolder) -> None:
    register_folder().chmod(0o777)
    try:
        with pytest.raises(RunError, match=NEW):
            own.load_experiment()
    finally:
        register_folder().chmod(0o700)


def test_the_recorded_model_is_the_model(own: RunFolder, foreign: RunFolder, tmp_path: Path) -> None:
    theirs, ours = read_model(foreign, "last"), RecordedModel.of(load_trained(own, "last"))
    assert theirs is not None and not (tmp_path / "ran").exists()
    split = own_split(own)
    images = split["image"]
    seen, expected = (model.predict(image=images)["probabilities"] for model in (theirs, ours))
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    record = own.metrics.read()[-1]
    found = Evaluator(theirs.inference, split)(theirs.variables)
    assert found["accuracy"] == record["test/accuracy"]
    assert found["loss"] == pytest.approx(record["test/loss"], rel=1e-5)
    assert theirs.inputs == ("image",)
    assert (theirs.step, theirs.class_names, theirs.image_shape) == (12, ours.class_names, ours.image_shape)
    assert theirs.test_split() is None  # some of the digits, a data set without a name


def own_split(run: RunFolder) -> Split:
    file, config = run.load_experiment()
    return file.build(config).data.test


def test_test_images_are_recognised_by_their_fingerprint(foreign: RunFolder) -> None:
    from jaxcnn.data import load

    model, digits = read_model(foreign, "last"), load("digits")
    assert model is not None
    whole = dataclasses.replace(model, dataset="digits", fingerprint=digits.fingerprint)
    found = whole.test_split()
    assert found is not None and len(found) == len(digits.test)
    assert dataclasses.replace(whole, fingerprint="another").test_split() is None


def test_verbs_need_no_code_and_say_where_they_run_it(
    foreign: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    picture = tmp_path / "digit.png"
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(picture)
    assert main(["predict", str(foreign.path), str(picture)]) == 0
    assert main(["evaluate", str(foreign.path)]) == 2
    assert main(["train", "--resume", str(foreign.path)]) == 2
    said = capsys.readouterr().err
    assert "the data set 'digits100' is made by the experiment.py of the run" in said
    assert said.count("--trust") == 2 and not (tmp_path / "ran").exists()
    (foreign.path / "experiment.py").write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["evaluate", str(foreign.path), "--trust"]) == 0
    assert f"jaxcnn evaluate: ran {foreign.path / 'experiment.py'}" in capsys.readouterr().err


def test_a_program_that_calls_out_of_itself_is_neither_recorded_nor_read(
    foreign: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """LAPACK's functions are registered in every process, and so is a function that calls Python objects by address."""

    def predict(variables: object, batch: dict[str, jax.Array]) -> jax.Array:
        square = batch["image"][0, :4, :4, 0].astype(jnp.float32)
        return jnp.linalg.eigh(square)[0][None, :].repeat(len(batch["image"]), 0)

    file = foreign.path / "model.json"
    content = check_seal(json.loads(file.read_text(encoding="utf-8")))
    arguments = {"image": jax.ShapeDtypeStruct((2, 32, 32, 1), jnp.uint8)}
    calls_out = export.export(jax.jit(predict))({"params": {}, "batch_stats": {}}, arguments).serialize()
    content["programs"]["predict"] = base64.b64encode(calls_out).decode()
    file.write_text(json.dumps(seal(content)), encoding="utf-8")
    with pytest.raises(RunError, match=r"its program calls lapack\w+, which is not a StableHLO operation.*Delete"):
        read_model(foreign, "last")
    file.unlink()
    tiny = load_experiment(TINY)
    experiment = dataclasses.replace(tiny.build(tiny.config_class()), predict=predict)
    record_model(experiment, foreign)
    assert read_model(foreign, "last") is None
    assert re.search(r"the model is not recorded, so predict and evaluate will run .*calls lapack", caplog.text)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 100_000, b'{"program": 3}'])
def test_a_damaged_recording_is_named(foreign: RunFolder, damage: bytes) -> None:
    (foreign.path / "model.json").write_bytes(damage)
    message = r"model\.json is damaged or of another version .*Delete .*model\.json to use the run's own code"
    with pytest.raises(RunError, match=message):
        read_model(foreign, "last")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(foreign: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(foreign.checkpoints / "last" / "12" / "state" / "d")
    shutil.rmtree(foreign.checkpoints / "best" / "12", ignore_errors=True)
    model = read_model(foreign, "last")
    assert model is not None and model.step == 6
    assert "the last checkpoint of step 12 is damaged" in caplog.text
    shutil.rmtree(foreign.checkpoints)
    with pytest.raises(RunError, match="there is no last checkpoint in"):
        read_model(foreign, "last")
