"""Train a few more steps of a run under the profiler; write a trace and print the time of the step by layer.

The run does not change. XProf and Perfetto read the trace.
"""

import argparse
from pathlib import Path

from jaxcnn.cli import _devices, _trust

HELP = "show the time of a run's training step by layer"
EXAMPLES = ("jaxcnn profile runs/mine --steps 20",)
MOST_ROWS = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="number of traced steps (10)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the trace (RUN/profile)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every layer")
    _trust.add_argument(parser)
    _devices.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the table."""
    from jaxcnn.cli._output import console, print_json, print_table
    from jaxcnn.train import Parallel, RunFolder, profile_run

    folder = RunFolder.open(options.run_folder)
    file, config = _trust.load_experiment(folder, options)
    experiment = file.build(config)
    parallel = Parallel.of_run(folder, **_devices.given(options))
    profile = profile_run(folder, experiment, folder=options.output, parallel=parallel, steps=options.steps)
    busy = sum(row.total for row in profile.rows)
    if options.json:
        print_json(
            {
                "run": str(options.run_folder),
                "steps": profile.steps,
                "step_milliseconds": profile.step_milliseconds,
                "input_wait": profile.input_wait,
                "rows": [
                    {"where": row.where, "forward_milliseconds": row.forward, "backward_milliseconds": row.backward}
                    for row in profile.rows
                ],
                "files": [str(path) for path in profile.files],
            }
        )
        return 0
    shown = profile.rows[:MOST_ROWS]
    rows = [[row.where, f"{row.forward:.3f}", f"{row.backward:.3f}", f"{row.total / busy:.1%}"] for row in shown]
    if len(profile.rows) > len(shown):
        rest = profile.rows[len(shown) :]
        forward, backward = (sum(getattr(row, way) for row in rest) for way in ("forward", "backward"))
        share = f"{(forward + backward) / busy:.1%}"
        rows.append([f"{len(rest)} more", f"{forward:.3f}", f"{backward:.3f}", share])
    print_table(["where", "forward ms", "backward ms", "share"], rows)
    screen = console()
    screen.print(
        f"a step takes {profile.step_milliseconds:.3f} ms (mean of {profile.steps}, traced); its operations, over all "
        f"threads and devices, {busy:.3f} ms; {profile.input_wait:.1%} of it is spent waiting for examples",
        highlight=False,
        soft_wrap=True,
    )
    for path in profile.files:
        screen.print(f"trace  {path}", highlight=False, soft_wrap=True)
    return 0
