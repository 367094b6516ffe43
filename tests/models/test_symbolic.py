"""Models exported with symbolic sizes: loaded in another process and run at two sizes, in one program each."""

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

from jaxcnn import ShapeError, models, nn

ONE_BLOCK = {"stage_sizes": (1, 1, 1, 1), "width": 4}
ONE_OF_EACH_STAGE = tuple((name, (64, 96, 128, 16, 32, 32)) for name in ("3a", "4a", "5a"))
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
    "googlenet": (models.create("googlenet", num_classes=3, width=0.05, blocks=ONE_OF_EACH_STAGE), (31, 31, 3)),
    "convnext": (
        models.create("convnext_tiny", num_classes=3, stage_sizes=(1, 1, 1, 1), widths=(4, 4, 4, 4)),
        (32, 32, 3),
    ),
    "efficientnet": (
        models.create("efficientnet_b0", num_classes=3, width=0.1, depth=0.2),
        (32, 32, 3),
    ),
    "fcn": (models.create("fcn8s_vgg16", num_classes=3, widths=(4,) * 5, hidden=4), (32, 40, 3)),
    "unet": (models.create("unet", num_classes=2, widths=(4, 4, 4), padding="SAME"), (16, 24, 3)),
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
# For the networks that support images of any size: the symbolic height and width, their constraints, and the increase
# of the sides above from one image to the next.
ANY = ("h, w", ("h >= 32", "w >= 32"), (17, 5))
SIDES: dict[str, tuple[str, tuple[str, ...], tuple[int, int]]] = {
    "resnet18": ("h, w", (), (17, 5)),
    "mobilenet_v2": ("h, w", (), (17, 5)),
    "vgg11": ANY,
    "googlenet": ("h, w", ("h >= 31", "w >= 31"), (17, 5)),
    "convnext": ANY,
    "efficientnet": ("h, w", (), (17, 5)),
    "fcn": ("h, w", (), (17, 5)),
    "unet": ("4*h, 4*w", (), (4, 12)),
}
RELOAD = """
import sys
import jax, numpy as np
for path in sys.argv[1:]:
    call = jax.export.deserialize(bytearray(open(path, "rb").read())).call
    np.savez(path + ".results.npz", *(call(images) for images in np.load(path + ".npz").values()))
"""


# The default tier exports functions with symbolic sizes (tests/functional/test_symbolic.py).
@pytest.mark.gate
@pytest.mark.parametrize(
    "names", [["modules"], [name for name in NETWORKS if name != "modules"]], ids=["modules", "others"]
)
def test_exported_networks_run_at_any_size(names: Sequence[str], tmp_path: Path) -> None:
    expected = {}
    for name in names:
        model, shape = NETWORKS[name]
        sides, constraints, steps = SIDES.get(name, ("", (), (0, 0)))
        sizes = [
            (batch, *(side + n * step for side, step in zip(shape, steps, strict=False)), shape[-1])
            for n, batch in enumerate((1, 3))
        ]
        images = [np.random.default_rng(size).standard_normal(size).astype(np.float32) for size in sizes]
        variables = jax.jit(model.init)(jax.random.key(0), images[0])
        apply = jax.jit(lambda x, model=model, variables=variables: model.apply(variables, x))
        scope = jax.export.SymbolicScope(constraints)
        spec = f"b, {sides}, {shape[-1]}" if sides else f"b, {', '.join(map(str, shape))}"
        specs = jax.ShapeDtypeStruct(jax.export.symbolic_shape(spec, scope=scope), jnp.float32)
        (tmp_path / name).write_bytes(jax.export.export(apply)(specs).serialize())
        np.savez(tmp_path / f"{name}.npz", *images)
        expected[name] = [apply(x) for x in images]
    command = [sys.executable, "-c", RELOAD, *(str(tmp_path / name) for name in names)]
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, values in expected.items():
        with np.load(tmp_path / f"{name}.results.npz") as results:
            for found, value in zip(results.values(), values, strict=True):
                np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4, err_msg=name)


REFUSED = {
    "lenet5": ("b, h, w, 1", r"expected images of 32x32 \(up to 35x35\)"),
    "convnetjs_cifar10": ("b, h, w, 3", "must be known numbers, because the last layer has weights for each position"),
    "neocognitron": ("b, h, w, 1", "must be known numbers, because the last layer has weights for each position"),
    "vit_s_16": ("b, 16*h, 16*w, 3", "must be known numbers, because each patch has a place of its own"),
    "vgg11": ("b, h, w, 3", r"sides of at least 32.* Pass constraints .* \"h >= 32\", \"w >= 32\""),
    "cifar_speedrun": ("b, h, w, 3", r"from 25 to 48.* \"h >= 25\", \"w >= 25\", \"h <= 48\", \"w <= 48\""),
    "unet": ("b, h, w, 3", r"a side of h may not be halved evenly by each of 4 pools.* \"16\*h \+ 172\""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sizes_that_a_network_does_not_read_are_refused(name: str) -> None:
    spec, message = REFUSED[name]
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(spec), jnp.float32)
    with pytest.raises(ShapeError, match=message):
        jax.eval_shape(lambda x: models.create(name).init(jax.random.key(0), x), x)
