"""The operations and the memory traffic of a compiled program, counted from its text where a compiler reports none."""

import collections
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxcnn.train._compile._arrays import array_bytes, arrays

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([\w\-]+)\((.*)$")
_DILATION = re.compile(r"lhs_dilate=([\dx]+)")
_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_BODY = re.compile(r"(?:body|to_apply)=%?([\w.\-]+)")
# What moves no data.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id")


class Instruction(NamedTuple):
    """A line of a program as text: the type of its result, the operation, the names of its operands, and the rest."""

    result: str
    operation: str
    operands: list[str]
    text: str


def costs(lowered: Any, compiled: Any, devices: int) -> tuple[float, float]:
    """Operations and bytes accessed, of one device.

    Those that the compiler reports if it does. The compiler for GPUs does not; then the operations are those of
    convolutions and matrix products, and the bytes are the operands and results of all instructions. Those in loops
    are counted once.
    """
    reported = compiled.cost_analysis()
    if reported:
        return reported.get("flops", 0.0), reported.get("bytes accessed", 0.0)
    return products(lowered.as_text("hlo")) / devices, traffic(compiled.as_text())


def products(program: str) -> float:
    """The operations of all convolutions and matrix products of a program before its compilation, as text.

    >>> text = '''ENTRY %main {
    ...   %x = f32[8,3]{1,0} parameter(0)
    ...   %k = f32[3,5]{1,0} parameter(1)
    ...   ROOT %y = f32[8,5]{1,0} dot(%x, %k), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    ... }'''
    >>> products(text)
    240.0
    """
    total = 0.0
    for instructions in _computations(program)[0].values():
        for each in instructions.values():
            if each.operation == "dot" and (contracted := _CONTRACTED.search(each.text)):
                shape = _shape(instructions[each.operands[0]].result)
                total += (
                    2 * arrays(each.result)[0].size * math.prod(shape[int(axis)] for axis in _digits(contracted[1]))
                )
            elif each.operation == "convolution" and (labels := _LABELS.search(each.text)):
                kernel = dict(zip(labels[2], _shape(instructions[each.operands[1]].result), strict=True))
                taps = math.prod(size for label, size in kernel.items() if label != "o")
                zeros = _DILATION.search(each.text)  # entries that are dilated with zeros
                dilation = math.prod(_digits(zeros[1])) if zeros else 1
                total += 2 * arrays(each.result)[0].size * taps / dilation
    return total


def traffic(program: str) -> float:
    """The bytes of the operands and results of all instructions of a compiled program, as text.

    >>> text = '''ENTRY %main {
    ...   %x = f32[8,3]{1,0} parameter(0)
    ...   ROOT %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%sum
    ... }'''
    >>> traffic(text)
    128.0
    """
    computations, entry = _computations(program)
    return _traffic(computations, entry)


def _traffic(computations: dict[str, dict[str, Instruction]], name: str) -> float:
    instructions = computations[name]
    total = 0.0
    for each in instructions.values():
        if each.operation in FREE or each.operation.endswith("-done"):
            continue
        body = _BODY.search(each.text)
        if each.operation in ("while", "call") and body:
            total += _traffic(computations, body[1])
            continue
        read = sum(array_bytes(instructions[operand].result) for operand in each.operands)
        # The result of an asynchronous operation begins with its operands.
        written = array_bytes(each.result) - (read if each.operation.endswith("-start") else 0)
        total += read + written
    return total


def _computations(program: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    """The instructions of each computation, by name, and the name of the first one that runs."""
    found: dict[str, dict[str, Instruction]] = collections.defaultdict(dict)
    name = entry = ""
    for line in program.splitlines():
        if head := _COMPUTATION.match(line):
            name = head[2]
            entry = name if head[1] else entry
        elif parts := _INSTRUCTION.match(line):
            words = re.findall(r"[\w.\-]+", parts[4].split("), ")[0])
            operands = [word for word in words if word in found[name]]
            found[name][parts[1]] = Instruction(parts[2], parts[3], operands, parts[4])
    return found, entry


def _shape(result: str) -> list[int]:
    return list(_digits(result[result.index("[") : result.index("]")]))


def _digits(text: str) -> Iterator[int]:
    return map(int, re.findall(r"\d+", text))
