"""Compare the speed of layers and training steps with stock JAX and, if it is installed, PyTorch.

The implementations run alternately in one process. Every result is compared with that of stock JAX; if one is wrong,
the exit status is 1. Ctrl-C stops and prints the results so far.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxcnn.cli._compile_times import run as run_compile_times
from jaxcnn.cli._tune import run as run_tune

HELP = "compare the speed of layers and training steps with stock JAX and PyTorch"
EXAMPLES = (
    "jaxcnn bench 'dw*'",
    "jaxcnn bench --tune",
    "jaxcnn bench --compile 'resnet*'",
)
ROUGHLY = "the whole suite takes about ten minutes on two cores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    kinds = ("conv", "pool", "norm", "step")
    operations = ("forward", "input_grad", "kernel_grad", "forward_backward", "step")
    parser.add_argument(
        "pattern", nargs="?", default="*", help=f"shell pattern of names, such as 'dw*' (all; {ROUGHLY})"
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=kinds, help="only this kind of entry; repeatable"
    )
    parser.add_argument(
        "--operation", action="append", default=[], choices=operations, help="only this operation; repeatable"
    )
    parser.add_argument("--no-torch", action="store_true", help="do not measure PyTorch")
    parser.add_argument(
        "--seconds-per-entry",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds of measurement for each entry (1)",
    )
    parser.add_argument("--list", action="store_true", help="list the entries and measure nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--append", action="store_true", help="keep the other entries of the JSON file")
    parser.add_argument("--tune", action="store_true", help="measure all algorithms; write a table for 'auto'")
    parser.add_argument("--compile", action="store_true", help="compile times of models' training steps, by name")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="the table of --tune (in the cache folder of the user)"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="with --tune: the operations of a training step of this model, not those of the suite",
    )
    parser.add_argument("--input", metavar="SIZE", help="with --model: 224, 224x160 or 224x160x3 (that of its paper)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="with --model: images in a batch (8)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the ratios as .png, .pdf or .svg")


def run(options: argparse.Namespace) -> int:
    """Measures, printing each line at once, then the summary."""
    from jaxcnn.bench import select
    from jaxcnn.cli._output import print_table

    if options.seconds_per_entry <= 0:
        raise ValueError(f"--seconds-per-entry {options.seconds_per_entry}: time runs forwards.")
    if options.tune and options.compile:
        raise ValueError("--tune and --compile measure different things: use one of them.")
    if options.tune:
        return run_tune(options)
    if options.model is not None or options.table is not None:
        raise ValueError("--model and --table require --tune. Whole training steps are measured by --only step.")
    if options.compile:
        return run_compile_times(options)
    entries = select(options.pattern, kinds=options.only, operations=options.operation)
    if options.list:
        rows = [[entry.layer.name, entry.operation, entry.layer.family, entry.layer.about] for entry in entries]
        print_table(["layer", "operation", "family", "where from"], rows)
        return 0
    if options.append and options.json is None:
        raise ValueError("--append adds to the file of --json; name it.")
    return _measure(options, entries)


def _measure(options: argparse.Namespace, entries: Sequence[Any]) -> int:
    from jaxcnn.bench import machine, torch_is_installed

    torch = not options.no_torch and torch_is_installed()
    about = machine(torch=torch)
    earlier = _earlier(options, about)
    results: list[dict[str, Any]] = []
    stopped = False
    try:
        for result in _run_all(entries, options.seconds_per_entry, torch):
            results.append(result)
    except KeyboardInterrupt:
        stopped = True
    results = _in_order([*earlier, *results])
    wrong = _finish(options, results, about) if results else []
    return 130 if stopped else int(bool(wrong))


def _earlier(options: argparse.Namespace, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the file to append to, if they are of this machine."""
    import json

    if not options.append or not options.json.exists():
        return []
    found = json.loads(options.json.read_text(encoding="utf-8"))
    ours, theirs = ({key: value for key, value in each.items() if key != "date"} for each in (about, found["machine"]))
    if ours != theirs:
        raise ValueError(f"{options.json} was measured on another machine or with other versions: start a new file.")
    return found["results"]


def _in_order(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last result of each entry, in the order of the suite."""
    from jaxcnn.bench import select

    found = {(each["name"], each["operation"]): each for each in results}
    places = {(entry.layer.name, entry.operation): number for number, entry in enumerate(select())}
    return [found[name] for name in sorted(found, key=lambda name: places.get(name, len(places)))]


def _run_all(entries: Sequence[Any], seconds: float, torch: bool) -> Iterator[dict[str, Any]]:
    """Each entry's result, with a bar at the bottom of a terminal and a line for each above it."""
    import jax
    from rich.progress import Progress

    from jaxcnn.bench import run_entry
    from jaxcnn.cli._bench_tables import COLUMNS, row
    from jaxcnn.cli._output import console

    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    widths = (16, 16, 12, 8, 8, 8, 10, 10, 0)
    screen = console()
    screen.print(_line(COLUMNS, widths), highlight=False, soft_wrap=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=len(entries))
        for entry in entries:
            progress.update(task, description=str(entry))
            result = run_entry(entry, seconds=seconds, torch=torch)
            screen.print(_line(row(result), widths), highlight=False, soft_wrap=True)
            progress.advance(task)
            yield result


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _finish(options: argparse.Namespace, results: list[dict[str, Any]], about: dict[str, Any]) -> list[str]:
    """Prints the summary, writes the files; the names of wrong results."""
    from jaxcnn._files import write_json
    from jaxcnn.bench import report
    from jaxcnn.cli._bench_tables import STEP_COLUMNS, SUMMARY_COLUMNS, step_rows, summary_rows
    from jaxcnn.cli._output import console, print_table
    from jaxcnn.vis import draw_bench

    found = report(results, machine=about)
    summary = found["summary"]["median"]
    print()
    print_table(SUMMARY_COLUMNS, summary_rows(summary))
    if summary["steps"]:
        print()
        print_table(STEP_COLUMNS, step_rows(summary))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.json, found)
    if options.picture is not None:
        draw_bench(found["results"], options.picture)
    if summary["wrong"]:
        console().print(f"WRONG, not within rounding of stock: {', '.join(summary['wrong'])}", style="bold red")
    return summary["wrong"]
