"""Training steps of whole experiments compiled for TPUs and GPUs that need not be present.

    pip install '.[train,tpu-compile,cuda-compile]'
    python -m docs.bench.compiled_experiments --json docs/bench/compiled_experiments.json

runs ``jaxcnn compile`` for each row that failed or whose memory traffic the file does not have. It writes the tables of
docs/many_devices.md from this file, ``compiled_for_chips.json``, ``compiled_steps.json`` and ``fewer_bytes.json``; with
``--page`` it writes the tables alone.
``tests/bench/test_compiled.py`` compares the page with the files.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.bench.compiled_for_chips import sentence, versions
from docs.reports.report import markdown, with_tables
from jaxcnn.cli._compile import amount

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "many_devices.md"
FILES = {
    name: ROOT / "docs" / "bench" / f"{name}.json"
    for name in ("compiled_experiments", "compiled_for_chips", "compiled_steps", "fewer_bytes")
}

STEP_COLUMNS = (
    *("network", "chip", "ours, MB", "Flax, MB", "ours / Flax", "without loops / Flax"),
    *("accesses, ours / Flax", "without loops / Flax", "operations, ours / Flax"),
    *("temporaries, MB", "of Flax, MB", "copies and transposes", "of Flax"),
)
CHANGE_COLUMNS = (
    *("program", "memory traffic, MB", "accesses, MB", "operations, GFLOP"),
    *("temporaries, MB", "estimated cycles, millions"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """An experiment on a topology, and the options of the verb."""

    experiment: str
    topology: str
    options: tuple[str, ...]

    @property
    def command(self) -> str:
        """As a user types it."""
        return " ".join(["jaxcnn compile", self.experiment, "--topology", self.topology, *self.options, "--step-only"])


TOPOLOGIES = ("v5e:2x2", "v5e:16x16", "v4:2x2x1", "v6e:16x16")
# On every topology. Deep networks are left out: the compiler for TPUs does not finish the step of ResNet-50 in 280
# seconds of processor time.
EXPERIMENTS = {
    "lenet5_digits": ("--per-device-batch", "64", "--streamed"),
    "dcgan_digits": ("--per-device-batch", "64", "--streamed"),
    "autoencoder_digits": ("--per-device-batch", "64", "--streamed"),
}
RESNET = ("--set", "dataset=synthetic", "--set", "batch_size=8", "--per-device-batch", "64", "--streamed")
ROWS = (
    *(Row(name, topology, EXPERIMENTS[name]) for name in EXPERIMENTS for topology in TOPOLOGIES),
    Row("lenet5_digits", "v5e:2x2", (*EXPERIMENTS["lenet5_digits"], "--fsdp")),
    Row("lenet5_digits", "h100:1x1x8", EXPERIMENTS["lenet5_digits"]),
    Row("resnet50_imagenet", "h100:1x1x1", RESNET),
)


def report(row: Row) -> dict[str, Any]:
    """The report of the verb, or its error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", *row.command.split(), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": sentence((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])}
    (step,) = found["programs"]
    step["moved_activations"] = len(step["moved_activations"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor_seconds": round(seconds, 1), "mesh": found["mesh"], **step}


def tables(
    compiled_experiments: Mapping[str, Any],
    compiled_for_chips: Mapping[str, Any],
    compiled_steps: Mapping[str, Any],
    fewer_bytes: Mapping[str, Any],
) -> dict[str, str]:
    """The tables of the page, from the contents of the files."""
    heads = ["experiment", "devices", "batch", "memory of each", "operations", "memory traffic", "exchanged"]
    rows = [[*_row(each)] for each in compiled_experiments["programs"].values()]
    chips = [
        [
            topology,
            " ".join(f"{name} {version}" for name, version in found["versions"].items() if name != "jaxlib"),
            *(_counted(found["counts"].get(dtype)) for dtype in ("float32", "bfloat16", "int8")),
        ]
        for topology, found in compiled_for_chips.items()
    ]
    return {
        "experiments": markdown([*heads, "least time", "processor time"], rows),
        "functions": markdown(["topology", "compiler", "float32", "bfloat16", "int8"], chips),
        "steps": markdown(STEP_COLUMNS, [_step(*each) for each in compiled_steps["programs"].items()]),
        "ways": markdown(
            CHANGE_COLUMNS, [_change(*each) for each in next(iter(fewer_bytes["programs"].values())).items()]
        ),
    }


def _step(name: str, programs: Mapping[str, Any]) -> list[str]:
    """Figures of the same step with our layers, with those of Flax, and with ours without the loops of batch norm."""
    network, topology, _ = name.rsplit(", ", 2)
    stock = programs["stock"]
    ours = programs.get("ours", {})

    def share(name: str, peer: str = "ours") -> str:
        one, other = programs.get(peer, {}).get(name), stock.get(name)
        return f"{one / other:.3f}" if one and other else "-"

    both = ("ours", "ours without loops")
    shares = [share(figure, peer) for figure in ("megabytes", "accessed_megabytes") for peer in both]

    def both_of(name: str) -> list[str]:
        return [f"{each[name]:,.0f}" if name in each else "-" for each in (ours, stock)]

    counts = [each.get("instructions") for each in (ours, stock)]
    moved = [str(count["copy"] + count["transpose"]) if count else "-" for count in counts]
    megabytes, temporaries = both_of("megabytes"), both_of("temporary_megabytes")
    return [network, topology, *megabytes, *shares, share("megaflops"), *temporaries, *moved]


def _change(name: str, found: Mapping[str, Any]) -> list[str]:
    return [
        name,
        f"{found['megabytes']:,.0f}",
        f"{found['accessed_megabytes']:,.0f}",
        f"{found['megaflops'] / 1e3:.2f}",
        f"{found['temporary_megabytes']:,.0f}",
        f"{found['estimated_megacycles']:.2f}",
    ]


def _row(each: Mapping[str, Any]) -> list[str]:
    name = f"`{each['experiment']}`" + (", FSDP" if "--fsdp" in each["options"] else "")
    where = each["topology"]
    if "error" in each:
        return [name, where, *["-"] * 6, each["error"]]
    seconds = f"{each['processor_seconds']:.0f} s" if "processor_seconds" in each else "-"
    if not each["fits"]:
        return [name, where, f"{each['batch_size']:,}", each["too_large"], *["-"] * 4, seconds]
    exchanged = ", ".join(
        f"{kind} {total['count']}, {amount(total['bytes'], 'B')}" for kind, total in each["collectives"].items()
    )
    return [
        name,
        where,
        f"{each['batch_size']:,}",
        amount(each["memory"], "B"),
        amount(each["flops"], "FLOP"),
        amount(each["bytes_accessed"], "B") if "bytes_accessed" in each else "-",
        exchanged,
        f"{1e3 * each['least_seconds']:.3g} ms" if "least_seconds" in each else "-",
        seconds,
    ]


def _counted(count: Mapping[str, int] | None) -> str:
    if count is None:
        return "-"
    failed = f", {count['failed']} not" if count["failed"] else ""
    return f"{count['compiled']:,} compiled{failed}"


def page() -> str:
    """The page with the tables of the files."""
    contents = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in FILES.items()}
    return with_tables(PAGE.read_text(encoding="utf-8"), tables(**contents))


def main() -> None:
    """Compiles what the file does not have, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--json", type=Path, default=FILES["compiled_experiments"], help="the file to write, or to add to"
    )
    parser.add_argument("--only", default="", help="rows whose command has this text")
    parser.add_argument("--page", action="store_true", help="compile nothing")
    options = parser.parse_args()
    content = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {"programs": {}}
    found = content["programs"]
    for row in () if options.page else ROWS:
        done = "bytes_accessed" in found.get(row.command, {})
        if not done and options.only in row.command:
            about = {**dataclasses.asdict(row), "versions": versions(row.topology)}
            found[row.command] = about | report(row)
            print(row.command, found[row.command], flush=True)
            content["programs"] = {each.command: found[each.command] for each in ROWS if each.command in found}
            options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.json == FILES["compiled_experiments"]:
        PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
