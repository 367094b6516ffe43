"""Compile an experiment's training step and evaluation for TPUs or GPUs, on any machine.

`jaxcnn compile lenet5_digits --topology v5e:2x2` shows whether the step fits in the memory of a chip, its operations
and memory traffic, the data that the chips exchange, and a lower bound of its time from the published figures of the
chip. The exit status is 1 if a program does not fit, or if activations are sent between chips.

The memory traffic is the size of the operands and results of all instructions, with padding, without arrays that stay
in the memory on the chip of a TPU. The compiler for GPUs reports no costs: for GPUs only the operations of convolutions
and matrix products are counted.
"""

import argparse
import os
from typing import Any

from jaxcnn.cli import _devices

HELP = "compile an experiment for TPUs or GPUs, on any machine"
EXAMPLES = (
    "jaxcnn compile lenet5_digits --topology v5e:4x4",
    "jaxcnn compile my_experiment.py --topology v5p:2x2x1 --json",
    "jaxcnn compile lenet5_digits --topology h100:1x1x8",
)
USUAL: dict[str, Any] = {"spelling": "jit", "batch_stats": "global", "accumulate": 1, "fsdp": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment (see `jaxcnn list`), or the path of its file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument(
        "--topology",
        required=True,
        metavar="NAME",
        help="TPU generation (v4, v5e, v5p or v6e) and chips along each axis: v5e:4x4, v4:2x2x2; v5e:16x16*4 is four "
        "slices; GPU (a100, h100 or h200), groups of hosts, hosts per group and GPUs per host: h100:1x1x8",
    )
    parser.add_argument(
        "--mesh", metavar="AXIS=N,...", help="axes of the mesh, such as data=16 or host=4,chip=4; by default one axis"
    )
    parser.add_argument("--per-device-batch", type=int, metavar="N", help="examples of a step on each chip")
    parser.add_argument(
        "--streamed", action="store_true", help="compile as for a streamed data set, not one in the memory of the chips"
    )
    parser.add_argument(
        "--largest-batch", action="store_true", help="find the largest batch that fits; compiles about ten times"
    )
    parser.add_argument("--step-only", action="store_true", help="leave out the evaluation")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _devices.add_step_arguments(parser.add_argument_group("parallelism"))


def run(options: argparse.Namespace) -> int:
    """Compiles and prints the report."""
    import jax

    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import Parallel, compile_for, find_experiment, largest_batch, target_mesh, with_settings

    _check(options)
    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")  # an installed compiler would look for its device
    mesh = target_mesh(options.topology, axes=None if options.mesh is None else read_mesh(options.mesh))
    asked = {name: getattr(options, name) for name in USUAL if getattr(options, name) is not None}
    parallel = Parallel(mesh=mesh, **(USUAL | asked))
    file = find_experiment(options.experiment)
    experiment = file.build(with_settings(file.config_class(), options.set))
    how: dict[str, Any] = {"per_device_batch": options.per_device_batch, "streamed": options.streamed}
    reports = [compile_for(experiment, parallel, **how)]
    if not options.step_only:
        reports.append(compile_for(experiment, parallel, program="evaluation", **how))
    largest = None
    if options.largest_batch:
        start = options.per_device_batch
        largest = largest_batch(experiment, parallel, start=start, streamed=options.streamed)
    problems = problems_of(reports)
    if options.json:
        programs = [report.to_dict() for report in reports]
        about = {"experiment": file.name, "topology": options.topology, "mesh": dict(mesh.shape), **(USUAL | asked)}
        print_json({**about, "programs": programs, "largest_per_device_batch": largest, "problems": problems})
        return 1 if problems else 0
    chip = mesh.devices.flat[0].device_kind
    title = f"{file.name} on {options.topology}: {mesh.size} x {chip}"
    print_table(["of each device", *(report.program for report in reports)], rows(reports), title=title)
    if largest is not None:
        say(f"the largest batch that fits: {largest} examples on each device, found to a sixteenth")
    for problem in problems:
        say(problem)
    return 1 if problems else 0


def _check(options: argparse.Namespace) -> None:
    """Refuses invalid numbers.

    Raises:
        ValueError: a batch under 1.
    """
    if options.per_device_batch is not None and options.per_device_batch < 1:
        raise ValueError(f"--per-device-batch {options.per_device_batch}: expected at least 1 example.")


def read_mesh(text: str) -> dict[str, int]:
    """The axes of a mesh from what the user wrote.

    Raises:
        ValueError: it is not written as axes.

    >>> read_mesh("host=4,chip=4")
    {'host': 4, 'chip': 4}
    """
    axes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.partition("=")
        if not (name.isidentifier() and size.isdecimal() and int(size)) or name in axes:
            raise ValueError(f"--mesh {text}: expected axes and their sizes, such as data=16 or host=4,chip=4.")
        axes[name] = int(size)
    return axes


def rows(reports: list[Any]) -> list[list[str]]:
    """The table, with a column for each program."""
    columns = [_column(report) for report in reports]
    names = list(dict.fromkeys(name for column in columns for name in column))
    return [[name, *(column.get(name, "") for column in columns)] for name in names]


def _column(report: Any) -> dict[str, str]:
    """The figures of one program, without those that do not exist if it is too large for the device."""
    first = {
        "batch of all devices": str(report.batch_size),
        "seconds to compile": f"{report.lower_seconds + report.compile_seconds:.1f}",
        "fits": "yes" if report.fits else "no",
    }
    if not report.fits:
        return first
    figures = {
        "memory": amount(report.memory, "B"),
        "  arguments": amount(report.arguments, "B"),
        "  results": amount(report.outputs, "B"),
        "  temporaries": amount(report.temporaries, "B"),
        "operations": amount(report.flops, "FLOP"),
        "memory traffic": amount(report.bytes_accessed, "B"),
        "operations for each byte": f"{report.intensity:.1f}",
    }
    totals = report.to_dict()["collectives"]
    exchanged = {kind: f"{total['count']} of {amount(total['bytes'], 'B')}" for kind, total in totals.items()}
    return (
        first
        | figures
        | {
            "exchanged": ", ".join(f"{kind} {text}" for kind, text in exchanged.items()) or "nothing",
        }
        | _bounds(report)
    )


def _bounds(report: Any) -> dict[str, str]:
    if not report.bounds:
        return {}
    return {
        "least time": f"{1e3 * report.least_seconds:.3f} ms",
        "bound by": max(report.bounds, key=report.bounds.get),
        "most examples a second, all devices": f"{report.most_examples_per_second:,.0f}",
    }


def problems_of(reports: list[Any]) -> list[str]:
    """A sentence for each program that does not fit, or that sends activations between devices."""
    found = []
    for report in reports:
        if not report.fits:
            found.append(
                f"the {report.program} with a batch of {report.batch_size} does not fit: {report.too_large}. "
                f"Try a smaller --per-device-batch, --accumulate 2, --fsdp, or more devices."
            )
        if report.moved:
            first = report.moved[0]
            found.append(
                f"the {report.program} moves activations between devices, which data parallelism does not require: "
                f"{len(report.moved)} in all, the first: {first.kind} of {amount(first.bytes, 'B')} "
                f"({first.name})."
            )
    return found


def amount(number: float, unit: str) -> str:
    """A number with a decimal prefix.

    >>> amount(45_800_000_000, "B")
    '45.8 GB'
    """
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g} {prefix}{unit}"
    return f"{number:.0f} {unit}"
