"""One trained run for the tests of the verbs."""

from pathlib import Path

import pytest

from jaxcnn.cli import main
from tests.kept_programs import keep_compiled  # noqa: F401

TINY = Path(__file__).parent.parent / "train" / "tiny.py"


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None:
    """Optax raises a float to an integer step, which strict promotion refuses."""


@pytest.fixture(scope="package")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny experiment."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", str(TINY), "--set", "epochs=12", "--run-dir", str(folder)]) == 0
    return folder
