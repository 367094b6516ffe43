"""Configurations for which XLA:CPU aborts the process, run in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from jaxcnn._geometry import conv_geometry
from jaxcnn.functional._engine._algorithms._xla_abort import aborts_xla

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import jax, numpy as np
from jaxcnn.functional._conv import conv
from tests.oracles import conv as oracle
jax.config.update("jax_platforms", "cpu")
for name, (x_shape, kernel_shape, options) in {calls}.items():
    generator = np.random.default_rng(0)
    x, kernel = generator.standard_normal(x_shape), generator.standard_normal(kernel_shape)
    options = {{"strides": (1, 1), "input_dilation": (1, 1), "kernel_dilation": (1, 1), **options}}

    def loss(x, kernel):
        y = conv(x, kernel, **options)
        return (y**3).sum(), y

    (_, y), _ = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, kernel)
    jax.jit(jax.hessian(lambda x, k: loss(x, k)[0], (0, 1)))(x, kernel)[0][0].block_until_ready()
    pads = options.pop("padding")
    np.testing.assert_allclose(y, oracle.conv(x, kernel, pads=pads, **options), rtol=1e-4, atol=1e-4)
    print(name, flush=True)
"""

CALLS = {
    "forward": ((1, 5, 1), (3, 2, 1, 2), {"padding": ((3, 3), (0, 0)), "input_dilation": (1, 2)}),
    "forward, window of 3": (
        (2, 5, 1),
        (3, 3, 1, 2),
        {"padding": ((3, 3), (0, 0)), "input_dilation": (1, 3), "strides": (1, 2)},
    ),
    "gradient of the input": ((2, 8, 1), (3, 2, 1, 2), {"padding": ((1, 1), (1, 1)), "strides": (2, 2)}),
    "gradient of the kernel": ((2, 3, 1), (1, 4, 1, 2), {"padding": ((2, 2), (0, 0)), "input_dilation": (1, 2)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_is_one_that_aborts(name: str) -> None:
    x_shape, kernel_shape, options = CALLS[name]
    assert aborts_xla(conv_geometry(x_shape, kernel_shape, **options))


@pytest.mark.gate
def test_the_process_does_not_abort() -> None:
    program = PROGRAM.format(calls=repr(CALLS))
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == list(CALLS), done.stderr[-2000:]
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "options"),
    [
        ((32, 32, 3), (2, 2, 3, 8), {"strides": 2, "padding": 1}),
        ((32, 32, 3), (3, 3, 3, 8), {"strides": 2}),
        ((5, 1), (2, 1, 1), {"input_dilation": 2, "padding": 0}),
        ((1, 5, 2), (3, 2, 1, 2), {"padding": ((3, 3), (0, 0)), "input_dilation": (1, 2), "feature_group_count": 2}),
    ],
)
def test_others_are_left_as_they_are(x_shape: tuple, kernel_shape: tuple, options: dict) -> None:
    assert not aborts_xla(conv_geometry(x_shape, kernel_shape, **options))
