"""The table: measured, written, read where it is asked for, and refused where it is of another machine."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn._geometry import conv_geometry
from jaxcnn.bench import select
from jaxcnn.bench._tune import operation_of, operations_of_model, operations_of_suite, time_algorithms, tuning_table
from jaxcnn.functional import conv, explain_conv, use_tuning
from jaxcnn.functional.lowering import tuned
from jaxcnn.functional.lowering.tuned import this_machine
from jaxcnn.models import create

X, KERNEL = (2, 8, 8, 4), (3, 3, 4, 4)
GEOMETRY = conv_geometry(X, KERNEL)


def written(path: Path, algorithm: str = "broadcast", **changes: object) -> Path:
    forward = operation_of(GEOMETRY, "float32", "forward")
    content = tuning_table({forward.key: {algorithm: 1.0, "xla": 2.0}}) | changes
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def chosen(operation: str = "forward", **options: str) -> str:
    return explain_conv(X, KERNEL, platform="cpu", operation=operation, **options).algorithm


def test_the_table_decides_and_only_while_it_is_asked_for(tmp_path: Path) -> None:
    before = chosen()
    with use_tuning(written(tmp_path / "table.json")):
        assert chosen() == "broadcast" and chosen("kernel_grad") != "broadcast"
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
    monkeypatch.setenv(tuned.VARIABLE, str(written(tmp_path / "table.json")))
    monkeypatch.setattr(tuned, "_table", None)
    assert chosen() == "broadcast"


@pytest.mark.parametrize("name", ["matmul", "fft", "no such algorithm"])
def test_a_formulation_that_does_not_serve_is_passed_over(name: str, tmp_path: Path) -> None:
    before = chosen()
    with use_tuning(written(tmp_path / "table.json", name)):
        assert chosen() == before


def test_a_table_of_another_machine_is_not_used(tmp_path: Path) -> None:
    path = written(tmp_path / "table.json", machine=this_machine() | {"cores": -1})
    with pytest.warns(RuntimeWarning, match="measured elsewhere .cores -1 is not"):
        undo = use_tuning(path)
    with undo:
        assert tuned.current() == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "machine": {}, "algorithms": []}'])
def test_no_table_at_all_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"table\.json is no table of jaxcnn bench --tune"):
        use_tuning(path)
    path.write_text(json.dumps(tuning_table({}) | {"format": 0}), encoding="utf-8")
    with pytest.raises(ValueError, match="of this version of jaxcnn"):
        use_tuning(path)
    with pytest.raises(ValueError, match="is no table"):
        use_tuning(tmp_path / "missing.json")


def test_operations_are_what_the_choice_sees() -> None:
    up = conv_geometry((2, 3, 3, 4), (4, 4, 4, 2), input_dilation=2, padding=2)
    assert operation_of(up, "float32", "kernel_grad").geometry == up.transposed()
    assert operation_of(up, "float32", "input_grad").operation == "forward"
    strided = operations_of_suite(select("dw3s2_128"))
    assert [each.operation for each in strided] == ["forward", "forward", "kernel_grad"]
    assert len({each.key for each in strided}) == 3
    same = operations_of_suite(select("dw3_128"))  # there the way back is the same convolution
    assert [each.operation for each in same] == ["forward", "kernel_grad"]


def test_every_operation_of_a_model_is_found() -> None:
    found = operations_of_model(create("lenet5"), (2, 32, 32, 1))
    kinds = [(each.operation, each.geometry.window, each.geometry.in_channels) for each in found]
    assert kinds.count(("forward", (5, 5), 1)) == 1
    assert sum(kind[0] == "kernel_grad" for kind in kinds) == 3
    assert sum(kind[0] == "forward" for kind in kinds) == 5  # three, and the way back of two: images get no gradient


def test_times_are_of_formulations_that_serve_the_fastest_first() -> None:
    times = time_algorithms(operation_of(GEOMETRY, "float32", "forward"), seconds=1e-3)
    assert "xla" in times and not {"matmul", "fft"} & set(times) and list(times.values()) == sorted(times.values())


def test_a_table_keeps_what_was_measured_before_on_the_same_machine() -> None:
    first = tuning_table({"a": {"xla": 2.0, "broadcast": 1.0}})
    assert first["algorithms"] == {"a": "broadcast"}
    second = tuning_table({"b": {"xla": 1.0}, "a": {"xla": 1.0, "broadcast": 3.0}}, earlier=first)
    assert second["algorithms"] == {"a": "xla", "b": "xla"}
    assert tuning_table({"b": {"xla": 1.0}}, earlier=first | {"machine": {}})["algorithms"] == {"b": "xla"}
