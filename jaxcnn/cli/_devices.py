"""The options of ``jaxcnn train`` for the devices and the processes."""

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, in two groups."""
    group = parser.add_argument_group("devices", "a resumed run keeps its previous values unless an option is given")
    group.add_argument(
        "--devices", type=_count, metavar="N", help="number of devices over which each batch is split, or all (1)"
    )
    add_step_arguments(group)
    group = parser.add_argument_group(
        "processes",
        "run the same command in each process; all their devices are used, and the first process writes the run",
    )
    group.add_argument(
        "--distributed", action="store_true", help="get the addresses from Slurm, Open MPI, Kubernetes or Cloud TPU"
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address of process 0; requires --num-processes and --process-id"
    )
    group.add_argument("--num-processes", type=int, metavar="N", help="number of processes")
    group.add_argument("--process-id", type=int, metavar="I", help="index of this process, from 0")
    group.add_argument(
        "--heartbeat",
        type=int,
        default=100,
        metavar="S",
        help="seconds without a signal from one process after which the others end (100)",
    )


def add_step_arguments(group: "argparse._ArgumentGroup") -> None:
    """The options for the split of a step over the devices."""
    group.add_argument(
        "--spelling", metavar="NAME", help="how the step runs on several devices: jit, shard_map or pmap"
    )
    group.add_argument(
        "--batch-stats", metavar="SCOPE", help="scope of batch norm statistics: global (the whole batch) or per_device"
    )
    group.add_argument("--accumulate", type=int, metavar="N", help="compute each batch in N parts, to save memory")
    group.add_argument(
        "--fsdp", action=argparse.BooleanOptionalAction, help="also split large parameters over the devices"
    )


def _count(text: str) -> int | str:
    """A number of devices, or all."""
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of devices, or all.")
    return text if text == "all" else int(text)


def join(options: argparse.Namespace) -> None:
    """Connects this process with the others, if the options request it. Must run before a device is used."""
    given = (options.coordinator, options.num_processes, options.process_id)
    if options.distributed or any(value is not None for value in given):
        from jaxcnn.train import join_processes

        join_processes(
            options.coordinator,
            num_processes=options.num_processes,
            process_id=options.process_id,
            heartbeat_seconds=options.heartbeat,
        )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The options of ``Parallel.of_run`` that the user gave."""
    given = {name: getattr(options, name) for name in ("devices", "spelling", "batch_stats", "accumulate", "fsdp")}
    return {name: None if value == "all" else value for name, value in given.items() if value is not None}
