"""The options of ``jaxcnn train`` that say on which devices, and in how many processes."""

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, in two groups."""
    group = parser.add_argument_group("devices", "a resumed run keeps what it had, unless given")
    group.add_argument("--devices", type=_count, metavar="N", help="how many devices share each batch, or all; 1")
    add_step_arguments(group)
    group = parser.add_argument_group(
        "processes", "run the same command in each; all devices of all of them are used, and the first one writes"
    )
    group.add_argument("--distributed", action="store_true", help="ask Slurm, Open MPI, Kubernetes or the Cloud TPU")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0; with the two that follow")
    group.add_argument("--num-processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process-id", type=int, metavar="I", help="which this one is, from 0")
    group.add_argument(
        "--heartbeat",
        type=int,
        default=100,
        metavar="S",
        help="end the others S seconds after one was last heard (100)",
    )


def add_step_arguments(group: "argparse._ArgumentGroup") -> None:
    """The options that say how a step is spread over the devices."""
    group.add_argument("--spelling", metavar="NAME", help="of the step on several devices: jit, shard_map or pmap")
    group.add_argument(
        "--batch-stats", metavar="SCOPE", help="what batch norms normalise over: global (the batch), or per_device"
    )
    group.add_argument("--accumulate", type=int, metavar="N", help="compute each batch in N parts, to save memory")
    group.add_argument(
        "--fsdp", action=argparse.BooleanOptionalAction, help="split large parameters over the devices, too"
    )


def _count(text: str) -> int | str:
    """A number of devices, or all."""
    return text if text == "all" else int(text)


def join(options: argparse.Namespace) -> None:
    """Makes this process one of several, if the user asks for it; before anything uses a device."""
    given = (options.coordinator, options.num_processes, options.process_id)
    if options.distributed or any(value is not None for value in given):
        from jaxcnn.train import join_processes

        join_processes(
            options.coordinator,
            num_processes=options.num_processes,
            process_id=options.process_id,
            heartbeat_seconds=options.heartbeat,
        )


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """The options of ``Parallel.of_run`` that the user gave."""
    given = {name: getattr(options, name) for name in ("devices", "spelling", "batch_stats", "accumulate", "fsdp")}
    return {name: None if value == "all" else value for name, value in given.items() if value is not None}
