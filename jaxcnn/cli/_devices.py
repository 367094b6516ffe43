"""The options of ``jaxcnn train`` that say on which devices, and in how many processes."""

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.train._devices import Parallel

FILE = "parallel.json"
USUAL = {"devices": 1, "spelling": "jit", "batch_stats": "global", "accumulate": 1, "fsdp": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, in two groups."""
    group = parser.add_argument_group("devices", "a resumed run keeps what it had, unless told otherwise")
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


def join_processes(options: argparse.Namespace) -> None:
    """Joins the other processes, where there are some; before anything touches a device."""
    given = (options.coordinator, options.num_processes, options.process_id)
    if options.distributed or any(value is not None for value in given):
        from jaxcnn.train._distributed import join

        join(
            options.coordinator,
            num_processes=options.num_processes,
            process_id=options.process_id,
            heartbeat_seconds=options.heartbeat,
        )


def choose_devices(options: argparse.Namespace, folder: Path | None = None) -> "Parallel":
    """The devices that are asked for, else those of the run in the folder, else one."""
    import jax

    from jaxcnn.train._devices import Parallel

    chosen: dict[str, Any] = dict(USUAL)
    if folder is not None and (folder / FILE).exists():
        chosen |= _recorded(folder / FILE)
    if jax.process_count() > 1:
        chosen["devices"] = "all"
    asked = {name: getattr(options, name) for name in USUAL}
    chosen |= {name: value for name, value in asked.items() if value is not None}
    devices = chosen.pop("devices")
    return Parallel.over(None if devices == "all" else devices, **chosen)


def _recorded(file: Path) -> dict[str, Any]:
    """The content of ``parallel.json``.

    Raises:
        RunError: it cannot be read, or an entry is unknown or of another type.
    """
    from jaxcnn.train._errors import RunError

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected a JSON object, got {type(content).__name__}")
        for name, value in content.items():
            if name not in USUAL or type(value) is not type(USUAL[name]):
                raise ValueError(f"unexpected entry {name!r}: {str(value)[:50]!r}")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{file} is damaged ({error}). It records --devices, --spelling, --batch-stats, --accumulate and --fsdp: "
            f"delete it, and give those that the run was started with."
        ) from error
    return content


def one_writer(folder: Any) -> contextlib.AbstractContextManager[None]:
    """The lock of a run folder, in the process that writes."""
    from jaxcnn.train._distributed import is_first

    return folder.locked() if is_first() else contextlib.nullcontext()
