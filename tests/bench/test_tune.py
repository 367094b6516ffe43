"""The tuning table: measured, written, read on request, and refused if it is from another machine."""

from jaxcnn.bench import select
from jaxcnn.bench._tune import operations_of_model, operations_of_suite, time_algorithms, tuning_table
from jaxcnn.functional.tuning import conv_operation
from jaxcnn.models import create

X, KERNEL = (2, 8, 8, 4), (3, 3, 4, 4)


def test_operations_are_what_the_choice_sees() -> None:
    strided = operations_of_suite(select("dw3s2_128"))
    assert [each.operation for each in strided] == ["forward", "forward", "kernel_grad"]
    assert len({each.key for each in strided}) == 3
    same = operations_of_suite(select("dw3_128"))  # its input gradient is the same convolution
    assert [each.operation for each in same] == ["forward", "kernel_grad"]


def test_every_operation_of_a_model_is_found() -> None:
    found = operations_of_model(create("lenet5"), (2, 32, 32, 1))
    kinds = [(each.operation, each.operand_shapes[1][:3]) for each in found]
    assert kinds.count(("forward", (5, 5, 1))) == 1
    assert sum(kind[0] == "kernel_grad" for kind in kinds) == 3
    assert sum(kind[0] == "forward" for kind in kinds) == 5  # three, and two input gradients: images get no gradient


def test_times_are_of_supported_algorithms_the_fastest_first() -> None:
    times = time_algorithms(conv_operation(X, KERNEL), seconds=1e-3)
    assert "xla" in times and not {"matmul", "fft"} & set(times) and list(times.values()) == sorted(times.values())


def test_a_table_keeps_what_was_measured_before_on_the_same_machine() -> None:
    first = tuning_table({"a": {"xla": 2.0, "broadcast": 1.0}})
    assert first["algorithms"] == {"a": "broadcast"}
    second = tuning_table({"b": {"xla": 1.0}, "a": {"xla": 1.0, "broadcast": 3.0}}, earlier=first)
    assert second["algorithms"] == {"a": "xla", "b": "xla"}
    assert tuning_table({"b": {"xla": 1.0}}, earlier=first | {"machine": {}})["algorithms"] == {"b": "xla"}
