"""Writes the checkpoint that `test_faults.py` reads, in the current format: `python -m tests.train.golden`."""

from pathlib import Path

from jaxcnn.train._checkpoints._reading import FORMAT
from jaxcnn.train._checkpoints._saving import open_checkpoints
from tests.train.states import state_at

GOLDEN = Path(__file__).parent / "golden"

if __name__ == "__main__":
    origin = {"dataset": "0" * 64, "batch_size": 16, "seed": 0}
    with open_checkpoints(GOLDEN / f"format_{FORMAT}", {"origin": origin}) as checkpoints:
        checkpoints.save("last", state_at(7, rows=8))
