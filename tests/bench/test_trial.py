"""Trials of operations that may end the process.

A convolution of oneDNN is tried in another process first, and is selected only by a tuning table.
"""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest

from jaxcnn._geometry import conv_geometry
from jaxcnn.bench import _trial, _tune, time_algorithms, tuning_table
from jaxcnn.functional import conv, explain_conv, use_tuning
from jaxcnn.functional.tuning import ConvOperation, conv_operation
from tests.functional.engine.groups import loop_grouped_forward

X, KERNEL = (2, 7, 8, 6), (3, 2, 3, 4)
OPTIONS: dict[str, Any] = {"strides": (2, 1), "padding": [(2, 0), (1, 1)], "feature_group_count": 2}


@pytest.fixture(scope="module")
def operation() -> Iterator[ConvOperation]:
    """An operation that this jaxlib computes with oneDNN, as a trial in another process has shown."""
    found = conv_operation(X, KERNEL, **OPTIONS)
    if not _trial.passes(found, "onednn"):
        pytest.skip("this jaxlib has no oneDNN")
    yield found
    _trial.stop()


def table(path: Path, *operations: ConvOperation) -> Path:
    content = tuning_table({each.key: {"onednn": 1.0} for each in operations})
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_an_operation_that_ends_the_process_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trial, "_PROGRAM", "import os; os.abort()")
    _trial.stop()
    assert not _trial.passes(conv_operation(X, KERNEL, **OPTIONS), "onednn")
    assert not _trial.passes(conv_operation(X, KERNEL, **OPTIONS), "onednn")
    _trial.stop()


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (1.001, False)])
def test_a_wrong_result_does_not_pass(factor: float, is_right: bool) -> None:
    exact = conv_operation((1, 4, 4, 1), (3, 3, 1, 1))
    other = types.SimpleNamespace(
        operand_shapes=exact.operand_shapes,
        dtype=exact.dtype,
        reference=exact.reference,
        risky_algorithms=lambda: {"other": lambda x, kernel: factor * exact.reference()(x, kernel)},
    )
    assert _trial._is_right(cast(ConvOperation, other), "other") == is_right


def test_what_does_not_pass_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    # the result None means that the trial failed
    monkeypatch.setattr(_tune, "passes", lambda operation, name: asked.append(name))
    measured = time_algorithms(conv_operation((1, 4, 4, 1), (3, 3, 1, 1)), seconds=0.001)
    assert asked == ["onednn"] and "xla" in measured and "onednn" not in measured


@pytest.mark.gate
def test_it_is_taken_where_a_table_names_it(operation: ConvOperation, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in (X, KERNEL))
    expected = loop_grouped_forward(x, kernel, conv_geometry(X, KERNEL, **OPTIONS))

    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv(x, kernel, **OPTIONS)

    assert "__onednn" not in jax.jit(function).lower(x, kernel).as_text()
    with use_tuning(table(tmp_path / "table.json", operation)):
        assert explain_conv(X, KERNEL, platform="cpu", **OPTIONS).algorithm == "onednn"
        assert "__onednn$convolution" in jax.jit(function).lower(x, kernel).as_text()
        np.testing.assert_allclose(jax.jit(function)(x, kernel), expected, atol=1e-5)
        found = jax.jit(jax.grad(lambda *a: (function(*a) ** 2).sum(), (0, 1)))(x, kernel)
        batches = jax.jit(jax.vmap(function, (0, None)))(x[:, None], kernel)
        exported = jax.export.export(jax.jit(function))(x, kernel)
    # another number of images is not in the table, so estimates decide
    np.testing.assert_allclose(batches[:, 0], expected, atol=1e-5)
    gradients = jax.jit(jax.grad(lambda *a: (function(*a) ** 2).sum(), (0, 1)))(x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, gradients)
    assert "__onednn" not in exported.mlir_module()
    np.testing.assert_allclose(exported.call(x, kernel), expected, atol=1e-5)


@pytest.mark.gate
def test_random_operations_agree_and_keep_what_is_not_finite_to_itself(operation: ConvOperation) -> None:
    """Operations of one to three axes, with groups, strides, dilations and padding.

    Each operation is tried in another process first.
    """
    rng, counted = np.random.default_rng(1), 0
    while counted < 25:
        axes, groups = int(rng.integers(1, 4)), int(rng.choice([1, 2, 8]))
        channels = groups * int(rng.integers(1, 4))
        x_shape = (int(rng.integers(1, 4)), *rng.integers(4, 10, axes).tolist(), channels)
        kernel_shape = (*rng.integers(1, 5, axes).tolist(), channels // groups, groups * int(rng.integers(1, 4)))
        options: dict[str, Any] = {
            "strides": rng.integers(1, 4, axes).tolist(),
            "kernel_dilation": rng.integers(1, 3, axes).tolist(),
            "padding": rng.integers(2, 4, (axes, 2)).tolist(),
            "feature_group_count": groups,
        }
        geometry = conv_geometry(x_shape, kernel_shape, **options)
        each = conv_operation(x_shape, kernel_shape, **options)
        if min(geometry.out_sizes) < 1:
            continue
        assert _trial.passes(each, "onednn"), each
        x, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, kernel_shape))
        program = jax.jit(each.risky_algorithms()["onednn"])
        np.testing.assert_allclose(program(x, kernel), loop_grouped_forward(x, kernel, geometry), atol=1e-4)
        place, mark = tuple(rng.integers(x_shape)), np.zeros(x_shape)
        mark[place], x[place] = 1, np.nan
        reads = loop_grouped_forward(mark, np.ones(kernel_shape), geometry) > 0
        np.testing.assert_array_equal(np.isnan(program(x, kernel)), reads)
        counted += 1


@pytest.mark.gate
def test_bench_measures_it(operation: ConvOperation) -> None:
    assert "onednn" in time_algorithms(operation, seconds=0.01)
