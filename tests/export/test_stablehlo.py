"""StableHLO files, loaded in another process without jaxcnn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcnn.export import portable, to_stablehlo
from tests.export.networks import network

PROGRAM = r"""
import re, sys
import jax, numpy as np
with open(sys.argv[1], "rb") as file:
    exported = jax.export.deserialize(bytearray(file.read()))
np.save(sys.argv[3], exported.call(np.load(sys.argv[2])))
assert not any(name.split(".")[0] in ("jaxcnn", "flax") for name in sys.modules)
tpu = jax.export.export(jax.jit(exported.call), platforms=("tpu",))(jax.ShapeDtypeStruct((2, 16, 16, 3), "float32"))
print(tpu.platforms, sorted(set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))))
"""


@pytest.mark.gate  # the example of to_stablehlo reads a file back in one process
def test_another_process_without_jaxcnn(tmp_path: Path) -> None:
    chosen = network("resnet20_cifar")
    program = portable(chosen.function, (None, *chosen.shape))
    counts = to_stablehlo(program, tmp_path / "model.stablehlo")
    assert counts["convolution"] == program.counts["conv_general_dilated"] and counts["dot_general"] == 1
    np.save(tmp_path / "x.npy", chosen.images)
    paths = [str(tmp_path / name) for name in ("model.stablehlo", "x.npy", "y.npy")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('tpu',) ['shape_assertion']"
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), program(chosen.images), rtol=1e-5, atol=1e-5)
