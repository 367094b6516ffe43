"""One trained run for the tests of the commands."""

from pathlib import Path

import pytest

from jaxcnn.cli import main
from tests.kept_programs import keep_compiled  # noqa: F401

TINY = Path(__file__).parent.parent / "train" / "tiny.py"


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None:
    """Disables strict promotion, which Optax violates: it multiplies a float by an integer step."""


@pytest.fixture(scope="package")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny experiment."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    words = ["--set", "epochs=12", "--keep-epochs", "1,4", "--run-dir", str(folder)]
    assert main(["train", str(TINY), *words]) == 0
    return folder
