"""kill -9 at random moments, half of them during a save.

By default other tests cover the parts: the state of the disk at every moment of a save (``test_power_cut.py``), damaged
checkpoints (``test_checkpoint.py``), and runs that are stopped and resumed (``test_loop.py``, ``test_any_loss.py``).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn.train._checkpoints._reading import restore
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._state import create_state
from tests.train.runs import TINY, assert_same, final_state, without_seconds

STREAMED = TINY.with_name("tiny_stream.py")
NETWORKS = TINY.with_name("tiny_networks.py")
DCGAN = TINY.with_name("tiny_dcgan.py")


@pytest.mark.gate
@pytest.mark.parametrize(
    ("experiment_file", "kills"),
    [
        pytest.param(TINY, 20, id="resident"),
        pytest.param(NETWORKS, 2, id="two networks"),
        pytest.param(DCGAN, 2, id="dcgan_digits"),
        pytest.param(STREAMED, 10, id="streamed"),
    ],
)
def test_killed_at_random_moments_it_ends_the_same_bit_for_bit(
    tmp_path: Path, experiment_file: Path, kills: int
) -> None:
    words = [sys.executable, "-m", "tests.train.killed", str(experiment_file), str(tmp_path), str(kills), "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120 + 20 * kills, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    print(done.stderr)  # the whole output, since pytest shortens long text in an assertion
    assert report["kills"] == kills and report["statuses"] == [0, 0], report
    assert report["in_save"] >= kills // 5
    print(report)
    whole, killed = RunFolder.open(tmp_path / "whole"), RunFolder.open(tmp_path / "killed")
    file, config = whole.load_experiment()
    experiment = file.build(config)
    assert without_seconds(killed) == without_seconds(whole)
    assert_same(final_state(killed, experiment), final_state(whole, experiment))
    assert_same(*(restore(run.checkpoints, "best", create_state(experiment)) for run in (killed, whole)))
    assert not (killed.checkpoints / "damaged").exists()
