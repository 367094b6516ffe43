"""The report of a compiled program, for eight CPU devices, whose programs contain real collectives."""

import dataclasses
import importlib.util
import itertools
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from jaxcnn.train import Experiment, Parallel, compile_for, largest_batch, target_mesh
from jaxcnn.train._compile import _report
from jaxcnn.train._compile._collectives import Collective, by_kind, collectives, moved
from jaxcnn.train._compile._costs import costs
from jaxcnn.train._compile._gpus import has_compiler
from jaxcnn.train._compile._report import CompileReport, largest_that_fits
from jaxcnn.train._compile._topologies import EXAMPLE
from tests.train import tiny

ROOT = Path(__file__).parent.parent.parent

# A shortened step of LeNet-5 compiled for v5e:2x2; the asynchronous collectives are written as in XLA's text.
RECORDED = """
%add.1 (a.2: f32[], b.3: f32[]) -> f32[] {
  ROOT %add.4 = f32[] add(%a.2, %b.3)
}
  %all-reduce.7 = (f32[120]{0:T(128)S(1)}, f32[5,5,1,6]{2,3,1,0:T(2,128)}) all-reduce(%a, %b), channel_id=1, \
replica_groups={{0,1,2,3}}, to_apply=%add.1, metadata={op_name="jit(step)/transpose(jvp(LeNet))/conv1/add" line=3}
  ROOT %ar-start = bf16[8,4]{1,0} all-reduce-start(%c), channel_id=2, to_apply=%add.1
  %ar-done = bf16[8,4]{1,0} all-reduce-done(%ar-start)
  %ag = (f32[2,4]{1,0}, f32[8,4]{1,0}) all-gather-start(%d), dimensions={0}, metadata={op_name="jit(step)/gather"}
  %gpu-start = ((f32[4]{0}), f32[4]{0}) all-reduce-start(%g), channel_id=3, to_apply=%add.1
  %cp = (s8[16]{0}, s8[16]{0}, u32[], u32[]) collective-permute-start(%e), source_target_pairs={{0,1}}
  %rs = f32[2]{0} reduce-scatter(%f), dimensions={0}, to_apply=%add.1
  %fusion.1 = f32[2]{0} fusion(%rs), kind=kLoop, calls=%fused_all-reduce
"""


def test_collectives_of_a_recorded_program() -> None:
    found = collectives(RECORDED)
    assert found == [
        Collective("all-reduce", (120, 150), 4 * 270, "jit(step)/transpose(jvp(LeNet))/conv1/add"),
        Collective("all-reduce", (32,), 64, ""),
        Collective("all-gather", (32,), 128, "jit(step)/gather"),
        Collective("all-reduce", (4,), 16, ""),
        Collective("collective-permute", (16,), 16, ""),
        Collective("reduce-scatter", (2,), 8, ""),
    ]
    assert by_kind(found)["all-reduce"] == {"count": 3, "bytes": 1160}
    assert [each.kind for each in moved(found)] == ["all-gather", "collective-permute"]
    assert [each.kind for each in moved(found, parameters={32})] == ["collective-permute"]


def experiment(**changes: Any) -> Experiment:
    return dataclasses.replace(tiny.build(tiny.Config()), **changes)


def over_eight(**options: Any) -> Parallel:
    return Parallel.over(8, **options)


@pytest.mark.parametrize(
    ("options", "streamed"),
    [
        ({}, False),
        pytest.param({"spelling": "shard_map"}, True, marks=pytest.mark.gate),
        pytest.param({"batch_stats": "per_device"}, False, marks=pytest.mark.gate),
        pytest.param({"accumulate": 2}, True, marks=pytest.mark.gate),
    ],
    ids=["jit", "shard_map", "per_device", "accumulate"],
)
def test_a_step_sums_and_moves_no_activations(options: dict[str, Any], streamed: bool) -> None:
    report = compile_for(experiment(), over_eight(**options), per_device_batch=4, streamed=streamed)
    assert (report.batch_size, report.devices, report.fits) == (32, 8, True)
    assert {each.kind for each in report.collectives} == {"all-reduce"} and report.moved == ()
    # The gradients of 5 x 5 x 4 + 4 + 4 + 4 + 16 x 10 + 10 parameters are summed, in float32.
    assert sum(each.bytes for each in report.collectives) >= 4 * 282
    assert report.flops > 0 and report.bytes_accessed > 0
    training_set = 100 * (28 * 28 + 4)
    assert (report.arguments > training_set) == (not streamed)


@pytest.mark.gate
def test_parameters_that_are_gathered_are_no_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxcnn.train._devices.SPLIT_FROM", 100)
    report = compile_for(experiment(), over_eight(fsdp=True))
    assert "all-gather" in {each.kind for each in report.collectives}
    assert report.moved == ()


def reversed_batch(variables: Any, batch: Any, key: jax.Array) -> Any:
    images = batch["image"]
    return tiny.build(tiny.Config()).objective(variables, {**batch, "image": images + images[::-1]}, key)


def test_an_objective_that_moves_activations_is_found() -> None:
    report = compile_for(experiment(objective=reversed_batch), over_eight())
    assert report.moved and report.to_dict()["moved_activations"][0]["kind"] == report.moved[0].kind


def test_the_bounds_of_a_chip() -> None:
    """By hand, with 197 TFLOP/s and 819 GB/s."""
    report = CompileReport(
        program="training step",
        batch_size=100,
        devices=4,
        device_kind="TPU v5 lite",
        lower_seconds=1.0,
        compile_seconds=1.0,
        flops=197e9,
        bytes_accessed=1638e6,
        arguments=3,
        outputs=4,
        temporaries=5,
    )
    assert report.bounds == pytest.approx({"arithmetic": 1e-3, "memory": 2e-3})
    assert report.least_seconds == pytest.approx(2e-3) and report.most_examples_per_second == pytest.approx(50_000)
    assert report.intensity == pytest.approx(197e9 / 1638e6) and report.memory == 12
    assert dataclasses.replace(report, device_kind="cpu").least_seconds is None


class TooLarge:
    """A program whose compilation fails."""

    def __init__(self, message: str) -> None:
        self.message = message

    def compile(self) -> None:
        raise jax.errors.JaxRuntimeError(self.message)


def test_an_error_about_memory_becomes_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (29.80G) exceeds available HBM (15.75G). HLO module: jit__lambda."
    )
    monkeypatch.setattr(_report, "lower_step", lambda *_: TooLarge(message))
    report = compile_for(experiment(), over_eight())
    assert not report.fits and report.least_seconds is None
    assert report.too_large == "the program requires 29.80G of memory, a device has 15.75G"
    monkeypatch.setattr(_report, "lower_step", lambda *_: TooLarge("INTERNAL: a bug"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        compile_for(experiment(), over_eight())


def test_largest_that_fits() -> None:
    for limit, start, most in itertools.product([0, 1, 2, 7, 8, 9, 100], [1, 8, 64], [None, 1, 20]):
        tried: list[int] = []

        def fits(number: int, limit: int = limit, tried: list[int] = tried) -> bool:
            tried.append(number)
            return number <= limit

        found = largest_that_fits(fits, start, most)
        expected = limit if most is None else min(limit, most)
        assert expected - expected // 16 <= found <= expected, (limit, start, most)
        assert len(tried) == len(set(tried)) <= 12 and max(tried) <= (most or max(tried)), (limit, start, most)


def test_the_largest_batch_stays_within_a_training_split_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler: every batch of up to 100 examples on a device fits."""
    tried = []

    def compiled(experiment: Experiment, parallel: Parallel, *, per_device_batch: int, streamed: bool) -> Any:
        tried.append(per_device_batch)
        return dataclasses.make_dataclass("Report", ["fits"])(per_device_batch <= 100)

    monkeypatch.setattr(_report, "compile_for", compiled)
    assert largest_batch(experiment(), over_eight()) == 12  # 100 examples over 8 devices
    assert 94 <= largest_batch(experiment(), over_eight(accumulate=2), streamed=True) <= 100
    assert all(number % 2 == 0 for number in tried[-8:])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compile_for(experiment(), over_eight(spelling="pmap")), "a pmap cannot be compiled for devices"),
        (lambda: compile_for(experiment(), over_eight(), per_device_batch=13), "104 examples does not fit the 100 ex"),
        (lambda: compile_for(experiment(batch_size=12), over_eight()), "12 examples cannot be split evenly over 8"),
        (lambda: compile_for(experiment(), over_eight(), program="eval"), "program='eval'"),
        (lambda: target_mesh("v5e"), re.escape(f"expected a topology, got 'v5e'. {EXAMPLE}")),
        (lambda: target_mesh("h100:2x2"), re.escape(f"expected three numbers for GPUs, got 'h100:2x2'. {EXAMPLE}")),
        (lambda: target_mesh("v5x:2x2"), "there is no generation 'v5x' in the topology 'v5x:2x2'"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"requires the package libtpu.*pip install 'jaxcnn\[tpu-compile\]'"):
        target_mesh("v5e:2x2")
    with pytest.raises(ValueError, match=r"the package jax-cuda13-plugin.*pip install 'jaxcnn\[cuda-compile\]'"):
        target_mesh("h100:1x1x8")


# The gradients of a convolution with groups, strides and a dilated input, a matrix product, and a loop.
def products_of_everything(x: jax.Array, kernel: jax.Array, matrix: jax.Array) -> Any:
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 2),
        [(1, 1), (0, 1)],
        lhs_dilation=(2, 1),
        feature_group_count=2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.lax.fori_loop(0, 3, lambda _, y: jax.numpy.tanh(y @ matrix), y)


def test_operations_and_traffic_of_a_program_without_costs() -> None:
    shapes = ((2, 4, 6, 4), (3, 3, 2, 8), (8, 8))
    lowered = jax.jit(products_of_everything).lower(*(jax.ShapeDtypeStruct(shape, "float32") for shape in shapes))
    compiled = types.SimpleNamespace(cost_analysis=lambda: None, as_text=lambda: COMPILED)
    flops, bytes_accessed = costs(lowered, compiled, devices=2)
    outputs = 2 * 7 * 3 * 8
    # Half of the rows that a window reads are zeros of the dilation; the body of the loop is counted once.
    assert flops == (2 * outputs * 9 * 2 / 2 + 2 * outputs * 8) / 2
    # Two slices of the operand of the last fusion, and a whole operand.
    assert bytes_accessed == (64 + 32) + (32 + 64) + (32 + 32) + (32 + 64 + 32) + (8 + 4) + 32 + 8


# A program as the compiler for GPUs writes it: a reduction, a loop, a collective whose result begins with its operands,
# a library call with its workspace as a result, and a sum of slices.
COMPILED = """
%sampled (rows: f32[16], all: f32[8]) -> f32[2] {
  %all = f32[8]{0} parameter(1), metadata={op_name="all"}
  %rows = f32[16]{0} parameter(0), metadata={op_name="rows"}
  %wide = f64[16]{0} convert(%rows)
  %two = f64[2]{0} slice(%wide), slice={[0:16:8]}
  %one = f32[1]{0} dynamic-slice(%rows, %all), dynamic_slice_sizes={1}
  ROOT %sum = f32[2]{0} custom-call(%two, %one, %all)
}

%body (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %element = f32[8]{0} get-tuple-element(%state), index=1
  ROOT %half = f32[16]{0} fusion(%element), kind=kLoop, calls=%fused
}

ENTRY %main.1 (x: f32[16]) -> f32[8] {
  %x = f32[16]{0} parameter(0), metadata={op_name="x"}
  %sum = f32[8]{0} fusion(%x, %x), kind=kInput, calls=%fused, metadata={op_name="f(x), sum"}
  %start = (s32[], f32[8]{0}) tuple(%sum, %sum)
  %loop = (s32[], f32[8]{0}) while(%start), condition=%less, body=%body
  %out = f32[8]{0} get-tuple-element(%loop), index=1
  %all-start = ((f32[8]{0}), f32[8]{0}) all-reduce-start(%out), to_apply=%add
  %all-done = f32[8]{0} all-reduce-done(%all-start)
  %sample = f32[2]{0} fusion(%x, %all-done), kind=kInput, calls=%sampled
  ROOT %call = (f32[16]{0}, u8[32]{0}) custom-call(%all-done), custom_call_target="__cublas$gemm"
}
"""


# A program as the compiler for TPUs writes it: tiled arrays, some of them in the memory on the chip.
FOR_TPU = """
%small (x: f32[300]) -> f32[300] {
  ROOT %x = f32[300]{0:T(512)} parameter(0)
}

%large (x: f32[300]) -> f32[300] {
  %x = f32[300]{0:T(512)} parameter(0)
  ROOT %y = f32[300]{0:T(512)} fusion(%x), kind=kLoop, calls=%fused
}

ENTRY %main.1 (x: bf16[8,20,30,3]) -> f32[] {
  %x = bf16[8,20,30,3]{0,3,2,1:T(4,128)(2,1)} parameter(0)
  %copied = (bf16[8,20,30,3]{0,3,2,1:T(4,128)(2,1)S(1)}, bf16[8,20,30,3]{0,3,2,1:T(4,128)(2,1)}, u32[]{:S(2)}) copy-start(%x)
  %near = bf16[8,20,30,3]{0,3,2,1:T(4,128)(2,1)S(1)} copy-done(%copied)
  %sliced = ((bf16[8,20,30,3]{0,3,2,1:T(4,128)(2,1)}), bf16[8,5,30,3]{0,3,2,1:T(4,128)(2,1)S(1)}, s32[]{:S(2)}) slice-start(%x), slice={}
  %part = bf16[8,5,30,3]{0,3,2,1:T(4,128)(2,1)S(1)} slice-done(%sliced)
  %here = f32[300]{0:T(512)S(1)} fusion(%near, %part), kind=kLoop, calls=%fused
  %there = f32[300]{0:T(512)} fusion(%here), kind=kLoop, calls=%fused
  %either = f32[300]{0:T(512)} conditional(%n, %there, %there), branch_computations={%small, %large}
  %other = f32[300]{0:T(512)} conditional(%n, %there, %there), true_computation=%large, false_computation=%small
  ROOT %sum = f32[]{:T(128)} fusion(%either), kind=kLoop, calls=%fused
}
"""  # noqa: E501


def test_traffic_of_a_program_for_tpus() -> None:
    compiled = types.SimpleNamespace(
        cost_analysis=lambda: {"flops": 3.0, "bytes accessed": 1e9}, as_text=lambda: FOR_TPU
    )
    whole, row = 128 * 4 * 30 * 20 * 2, 512 * 4
    # One copy and one slice to the chip, a result, each conditional with its larger branch, and the sum.
    assert costs(None, compiled, devices=1) == (3, whole + whole // 4 + row + 2 * (2 * row) + row + 4)


COMPILE = """
import jax
jax.config.update("jax_platforms", "cpu")
from jax.sharding import NamedSharding, PartitionSpec
from jaxcnn.train import Parallel, compile_for, target_mesh
from jaxcnn.train._compile._report import memory_reason
from tests.train import tiny

experiment = tiny.build(tiny.Config())
mesh = target_mesh("v5e:2x2", axes={"host": 2, "chip": 2})
assert mesh.shape == {"host": 2, "chip": 2}, mesh
report = compile_for(experiment, Parallel(mesh=mesh), per_device_batch=4)
assert report.fits and report.moved == () and report.flops > 0 and report.least_seconds > 0, report
assert {each.kind for each in report.collectives} == {"all-reduce"}, report
whole = NamedSharding(target_mesh("v5e:1x1"), PartitionSpec())
x = jax.ShapeDtypeStruct((3, 10**9), "float32", sharding=whole)
try:
    jax.jit(lambda x: x + 1, out_shardings=whole).lower(x).compile()
except jax.errors.JaxRuntimeError as error:
    print(memory_reason(str(error)))
for wrong in (lambda: target_mesh("v5e:3x3"), lambda: target_mesh("v5e:2x2", axes={"data": 3})):
    try:
        wrong()
    except ValueError as error:
        print(error)
    else:
        raise AssertionError
"""


@pytest.mark.gate
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="pip install 'jaxcnn[tpu-compile]'")
def test_compiles_for_tpus() -> None:
    """Runs in a process of its own, since the compiler writes to standard error, and its settings are global."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "false"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    memory, first, second = done.stdout.splitlines()
    assert re.fullmatch(r"the program requires \d.+ of memory, a device has 15.75G", memory)
    assert "the compiler does not know the topology 'v5e:3x3'" in first and first.endswith(EXAMPLE)
    assert second == "target_mesh: the mesh data=3 has 3 devices, but v5e:2x2 has 4."


COMPILE_FOR_GPUS = """
import jax
jax.config.update("jax_platforms", "cpu")
from jaxcnn.train import Parallel, compile_for, target_mesh
from tests.train import tiny

report = compile_for(tiny.build(tiny.Config()), Parallel(mesh=target_mesh("h100:1x1x2")), per_device_batch=4)
assert report.fits and report.moved == () and report.flops > 0 and report.least_seconds > 0, report
assert {each.kind for each in report.collectives} == {"all-reduce"}, report
"""


@pytest.mark.gate
@pytest.mark.skipif(not has_compiler(), reason="pip install 'jaxcnn[cuda-compile]'")
def test_compiles_for_gpus() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "false"}
    command = [sys.executable, "-c", COMPILE_FOR_GPUS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_program_too_large_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler for GPUs does not compare the memory of a program with that of the device."""
    sizes = types.SimpleNamespace(
        argument_size_in_bytes=2**30, output_size_in_bytes=2**30, alias_size_in_bytes=2**29, temp_size_in_bytes=2**30
    )
    compiled = types.SimpleNamespace(
        memory_analysis=lambda: sizes, cost_analysis=lambda: {"flops": 1.0}, as_text=lambda: ""
    )
    monkeypatch.setattr(_report, "lower_step", lambda *_: types.SimpleNamespace(compile=lambda: compiled))
    monkeypatch.setattr(_report, "memory_of", lambda kind: 5 * 2**29)
    report = compile_for(experiment(), over_eight())
    assert report.fits and report.memory == 5 * 2**29 and report.flops == 1
    monkeypatch.setattr(_report, "memory_of", lambda kind: 2**31)
    report = compile_for(experiment(), over_eight())
    assert report.too_large == "the program requires 2.50G of memory, a device has 2.00G" and report.flops == 0
