"""Train every variant of an experiment once per seed, and write mean and deviation of the metrics as one JSON file.

The variants are those of `VARIANTS` in the experiment; without any, the experiment is trained with its defaults. A
command that was stopped continues with the same --run-dir: finished runs are kept, and the others are resumed.
"""

import argparse
import shlex
from pathlib import Path

from jaxcnn.cli._in_turn import Planned, Stopped, plan, refuse_seed, train_in_turn
from jaxcnn.cli._standard_output import lasting_output

HELP = "train every variant once per seed and write a results file"
EXAMPLES = (
    "jaxcnn repeat lenet5_digits --seeds 3",
    "jaxcnn repeat my_experiment.py --seeds 5 --set epochs=10",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, or the path of its file")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME", help="only this variant; repeatable (all)"
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="folder of the runs, new or to be continued (runs/NAME-TIME)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="results file (experiments/results/NAME.json; NAME/VARIANT.json with --variant)",
    )


def run(options: argparse.Namespace) -> int:
    """Trains every seed of every variant in turn and writes the results file."""
    with lasting_output():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from jaxcnn._files import write_json
    from jaxcnn.cli._figures import results_of
    from jaxcnn.train import ConfigError, RunFolder, find_experiment, variants_of

    file = find_experiment(options.experiment)
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least one run is needed.")
    refuse_seed(options.set)
    variants: list[str | None] = [*dict.fromkeys(options.variant or variants_of(file))] or [None]
    seeds = [[*options.set, f"seed={seed}"] for seed in range(options.seeds)]

    def planned(folder: Path) -> dict[str, list[Planned]]:
        return {
            variant or "": [
                plan(file, folder / (variant or "") / f"seed-{seed}", settings, variant)
                for seed, settings in enumerate(seeds)
            ]
            for variant in variants
        }

    planned(Path())  # a misspelt setting or variant is found before anything is made
    options.run_dir = options.run_dir or RunFolder.unused_in_runs(file.name)
    groups = planned(options.run_dir)
    try:
        seconds = train_in_turn(
            options.experiment, file, [each for runs in groups.values() for each in runs], _command(options)
        )
    except Stopped as stopped:
        print(
            f"stopped; finished runs and the state of the stopped one are kept. Continue with:\n  {_command(options)}"
        )
        return stopped.status
    output = options.output or _output(file.name, options.variant)
    output.parent.mkdir(parents=True, exist_ok=True)
    times = {name: {each.folder: seconds[each.folder] for each in runs} for name, runs in groups.items()}
    write_json(output, results_of(file.name, times))
    print(f"wrote {output}")
    return 0


def _output(name: str, variants: list[str]) -> Path:
    """The results file, unless one is named; figures of some variants do not replace those of all."""
    folder = Path("experiments") / "results"
    return folder / name / f"{'+'.join(variants)}.json" if variants else folder / f"{name}.json"


def _command(options: argparse.Namespace) -> str:
    """The command that continues in the folder of this one."""
    words = ["jaxcnn", "repeat", options.experiment, "--seeds", str(options.seeds)]
    words += [word for text in options.set for word in ("--set", text)]
    words += [word for name in options.variant for word in ("--variant", name)]
    words += ["--run-dir", str(options.run_dir)]
    return shlex.join([*words, "--output", str(options.output)] if options.output else words)
