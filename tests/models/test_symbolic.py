"""Models exported for any batch: read back in another process and run at three batch sizes, in one program each."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import models, nn

ONE_BLOCK = {"stage_sizes": (1, 1, 1, 1), "width": 4}
NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet5": (models.create("lenet5"), (32, 32, 1)),
    "resnet18": (models.create("resnet18", num_classes=3, **ONE_BLOCK), (32, 32, 3)),
    "mobilenet_v2": (
        models.create("mobilenet_v2", num_classes=3, width=0.1, stages=((1, 16, 1, 1), (6, 24, 1, 2))),
        (16, 16, 3),
    ),
    "vgg11": (
        models.create("vgg11", num_classes=3, stage_sizes=(1,) * 5, widths=(4,) * 5, hidden=4),
        (32, 32, 3),
    ),
    "googlenet": (models.create("googlenet", num_classes=3, width=0.05), (31, 31, 3)),
    "convnext": (
        models.create("convnext_tiny", num_classes=3, stage_sizes=(1, 1, 1, 1), widths=(4, 4, 4, 4)),
        (32, 32, 3),
    ),
    "modules": (
        linen.Sequential(
            [
                nn.Conv(4, (3, 3), strides=2),
                nn.BatchNorm(use_running_average=True),
                nn.DepthwiseConv((3, 3)),
                nn.SeparableConv(4, (3, 3)),
                nn.ConvTranspose(4, (3, 3), strides=(2, 2)),
                nn.TiledConv(3, (3, 3), tiles=2),
                nn.LocalConv(2, (3, 3)),
                nn.LocalResponseNorm(),
            ]
        ),
        (6, 6, 2),
    ),
}
RELOAD = """
import sys
import jax, numpy as np
for path in sys.argv[1:]:
    call = jax.export.deserialize(bytearray(open(path, "rb").read())).call
    np.savez(path + ".results.npz", *(call(images) for images in np.load(path + ".npz").values()))
"""


BY_DEFAULT = ("lenet5", "modules", "resnet18")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(BY_DEFAULT, id="by default"),
        pytest.param([name for name in NETWORKS if name not in BY_DEFAULT], id="others", marks=pytest.mark.gate),
    ],
)
def test_exported_networks_run_at_any_batch_size(names: Sequence[str], tmp_path: Path) -> None:
    expected = {}
    for name in names:
        model, shape = NETWORKS[name]
        images = [np.random.default_rng(size).standard_normal((size, *shape)).astype(np.float32) for size in (1, 2, 5)]
        variables = jax.jit(model.init)(jax.random.key(0), images[0])
        apply = jax.jit(lambda x, model=model, variables=variables: model.apply(variables, x))
        specs = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("b"), *shape), jnp.float32)
        (tmp_path / name).write_bytes(jax.export.export(apply)(specs).serialize())
        np.savez(tmp_path / f"{name}.npz", *images)
        expected[name] = [apply(x) for x in images]
    command = [sys.executable, "-c", RELOAD, *(str(tmp_path / name) for name in names)]
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, values in expected.items():
        for found, value in zip(np.load(tmp_path / f"{name}.results.npz").values(), values, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4, err_msg=name)
