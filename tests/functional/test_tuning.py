"""Tables of measured algorithms: written, read while they are in use, and refused if they are from another machine."""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.bench import tuning_table
from jaxcnn.functional import conv, explain_conv, use_tuning
from jaxcnn.functional._engine import _tables
from jaxcnn.functional.tuning import conv_operation, this_machine

X, KERNEL = (2, 8, 8, 4), (3, 3, 4, 4)


def written(path: Path, algorithm: str = "broadcast", **changes: object) -> Path:
    content = tuning_table({conv_operation(X, KERNEL).key: {algorithm: 1.0, "xla": 2.0}}) | changes
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def chosen(**options: Any) -> str:
    return explain_conv(X, KERNEL, platform="cpu", **options).algorithm


def test_the_table_decides_only_while_it_is_in_use(tmp_path: Path) -> None:
    before = chosen()
    with use_tuning(written(tmp_path / "table.json")):
        assert chosen() == "broadcast" and chosen(operation="kernel_grad") != "broadcast"
        assert "jaxcnn bench --tune" in explain_conv(X, KERNEL, platform="cpu").reason
        assert explain_conv(X, KERNEL, platform="tpu").algorithm == "xla"
        x, kernel = jnp.ones(X), jnp.ones(KERNEL)
        text = jax.jit(lambda x, kernel: conv(x, kernel)).lower(x, kernel).as_text()
        assert "stablehlo.convolution" not in text
        np.testing.assert_allclose(conv(x, kernel), conv(x, kernel, algorithm="xla"), rtol=1e-5)
        with use_tuning(None):
            assert chosen() == before
        assert chosen() == "broadcast"
    assert chosen() == before


def test_all_batch_axes_are_one_line_of_the_table(tmp_path: Path) -> None:
    with use_tuning(written(tmp_path / "table.json")):
        assert explain_conv((2, 1, *X[1:]), KERNEL, platform="cpu").algorithm == "broadcast"
        assert explain_conv((3, *X[1:]), KERNEL, platform="cpu").algorithm != "broadcast"


def test_the_environment_asks_for_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_tables.VARIABLE, str(written(tmp_path / "table.json")))
    monkeypatch.setattr(_tables, "_table", None)
    assert chosen() == "broadcast"


@pytest.mark.parametrize("name", ["matmul", "fft", "no such algorithm"])
def test_an_algorithm_that_does_not_support_the_operation_is_ignored(name: str, tmp_path: Path) -> None:
    before = chosen()
    with use_tuning(written(tmp_path / "table.json", name)):
        assert chosen() == before


def test_a_table_of_another_machine_is_not_used(tmp_path: Path) -> None:
    path = written(tmp_path / "table.json", machine=this_machine() | {"cores": -1})
    with pytest.warns(RuntimeWarning, match="with another JAX .cores -1 is not"):
        undo = use_tuning(path)
    with undo:
        assert _tables.current() == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "machine": {}, "algorithms": []}'])
def test_no_table_at_all_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"table\.json is not a table of jaxcnn bench --tune"):
        use_tuning(path)
    path.write_text(json.dumps(tuning_table({}) | {"format": 0}), encoding="utf-8")
    with pytest.raises(ValueError, match="of this version of jaxcnn"):
        use_tuning(path)
    with pytest.raises(ValueError, match="is not a table"):
        use_tuning(tmp_path / "missing.json")


def test_operations_are_those_that_are_computed() -> None:
    up = functools.partial(conv_operation, (2, 3, 3, 4), (4, 4, 4, 2), input_dilation=2, padding=2)
    assert up(operation="kernel_grad").operand_shapes == ((2, 6, 6, 2), (2, 3, 3, 4))
    assert up(operation="input_grad").operation == "forward"
    with pytest.raises(ValueError, match="conv_operation: operation='backward' is not known"):
        up(operation="backward")
