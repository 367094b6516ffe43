"""Train an experiment with every combination of some settings, and select the best by a validation metric.

`jaxcnn sweep lenet5_digits --over peak_lr=1e-3,3e-3 --over batch_size=32,64 --set hold_out=5` trains four runs. The
values of a setting that is a tuple are separated by semicolons: `--over 'widths=8,16;16,32'`. A command that was
stopped continues with the same --run-dir: finished runs are kept, and the others are resumed.
"""

import argparse
import itertools
import re
import shlex
import typing
from pathlib import Path
from typing import Any

from jaxcnn.cli._in_turn import Planned, Stopped, plan, refuse_seed, train_in_turn
from jaxcnn.cli._standard_output import lasting_output

HELP = "train every combination of some settings and compare them"
EXAMPLES = (
    "jaxcnn sweep lenet5_digits --over peak_lr=1e-3,3e-3 --set hold_out=5",
    "jaxcnn sweep my_experiment.py --over 'widths=8,16;16,32'",
)
FILE = "sweep.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, or the path of its file")
    parser.add_argument(
        "--over", action="append", required=True, metavar="KEY=VALUE,VALUE", help="the values of a setting; repeatable"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable")
    parser.add_argument("--variant", metavar="NAME", help="one of the experiment's VARIANTS")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1 of each combination (1)")
    parser.add_argument(
        "--by",
        metavar="METRIC",
        help="select by this metric, such as --by val/accuracy or --by=-val/loss, where a minus means that less is "
        "better (val/accuracy, or else -val/loss)",
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="folder of the runs, new or to be continued (runs/NAME-sweep-TIME)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"results file (DIR/{FILE})")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Trains every combination in turn, writes the results, and prints the table."""
    with lasting_output():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    from jaxcnn._files import write_json
    from jaxcnn.cli._figures import results_of
    from jaxcnn.cli._output import print_json
    from jaxcnn.train import ConfigError, RunError, RunFolder, find_experiment

    file = find_experiment(options.experiment)
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds}: at least one run is needed.")
    refuse_seed(options.set)
    grid = read_grid(file.config_class, options.over, options.set)
    combinations = {
        " ".join(f"{name}={value}" for name, value in zip(grid, values, strict=True)): values
        for values in itertools.product(*grid.values())
    }

    def planned(folder: Path) -> dict[str, list[Planned]]:
        found: dict[str, list[Planned]] = {}
        for name, values in combinations.items():
            changes = [f"{key}={value}" for key, value in zip(grid, values, strict=True)]
            place = folder / _folder_name(changes, len(found))
            found[name] = [
                plan(file, place / f"seed-{seed}", [*options.set, *changes, f"seed={seed}"], options.variant)
                for seed in range(options.seeds)
            ]
        return found

    planned(Path())  # a mistake is found before anything is made
    options.run_dir = options.run_dir or RunFolder.unused_in_runs(f"{file.name}-sweep")
    groups, again = planned(options.run_dir), _command(options)
    try:
        runs = [each for runs in groups.values() for each in runs]
        seconds = train_in_turn(options.experiment, file, runs, again, keep_going=True, quiet=options.json)
    except Stopped as stopped:
        print("stopped; finished runs and the state of the stopped one are kept. Continue with:")
        print(f"  {again}")
        return stopped.status
    finished = {name: runs for name, runs in groups.items() if all(each.folder in seconds for each in runs)}
    if not finished:
        raise RunError(f"no combination could be trained. Continue with: {again}")
    results = results_of(
        file.name, {name: {each.folder: seconds[each.folder] for each in runs} for name, runs in finished.items()}
    )
    chosen = choose(results, options.by)
    results |= {"over": grid, "failed": [name for name in groups if name not in finished], "chosen": chosen}
    output = options.output or options.run_dir / FILE
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, results)
    if options.json:
        own = {name: {key: each[key] for key in each if key != "runs"} for name, each in results["variants"].items()}
        print_json({**results, "variants": own})
    else:
        _print(results, combinations)
        print(f"wrote {output}")
    return 0


def read_grid(config_class: type, over: list[str], fixed: list[str]) -> dict[str, list[str]]:
    """The values of each setting of the grid, as ``--set`` takes them.

    Raises:
        ConfigError: a setting does not exist, is given twice, or has a value of another type.
    """
    from jaxcnn.train import ConfigError, find_setting

    grid: dict[str, list[str]] = {}
    for text in over:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise ConfigError(f"--over {text}: expected KEY=VALUE,VALUE, such as --over peak_lr=1e-3,3e-3.")
        setting = find_setting(config_class, name)
        if name == "seed":
            raise ConfigError(f"--over {text}: every combination is trained with the same seeds; give --seeds N.")
        if name in grid or name in (each.partition("=")[0].strip() for each in fixed):
            raise ConfigError(f"--over {text}: the setting {name} is given twice.")
        kinds = (setting.type, *typing.get_args(setting.type))  # a tuple, or a tuple or none
        separator = ";" if any(typing.get_origin(kind) is tuple for kind in kinds) else ","
        found = [setting.text(setting.parse(value.strip())) for value in values.split(separator) if value.strip()]
        if not found:
            raise ConfigError(f"--over {text}: there is no value. Write KEY=VALUE,VALUE, such as peak_lr=1e-3,3e-3.")
        grid[name] = list(dict.fromkeys(found))
    return grid


def _folder_name(changes: list[str], number: int) -> str:
    """The name of a combination's folder, with a number where a character had to be replaced."""
    name = ",".join(changes)
    plain = re.sub(r"[^\w.+=,-]", "_", name)
    return name if plain == name else f"{plain}-{number}"


def choose(results: dict[str, Any], by: str | None) -> dict[str, Any] | None:
    """The combination whose mean of a metric is best, and that metric; None where there is no validation split.

    Raises:
        ConfigError: the runs have no such metric.
    """
    import math
    import statistics

    from jaxcnn.train import ConfigError

    runs = {name: each["runs"] for name, each in results["variants"].items()}
    measures = [name for name in next(iter(runs.values()))[0] if name.startswith(("test/", "val/"))]
    if by is None:
        known = [each for each in ("val/accuracy", "-val/loss") if each.removeprefix("-") in measures]
        if not known:
            return None
        by = known[0]
    measure, sign = by.removeprefix("-"), -1 if by.startswith("-") else 1
    if measure not in measures:
        raise ConfigError(f"--by {by}: the runs have the metrics {', '.join(measures)}.")
    means = {name: statistics.fmean(run[measure] for run in each) for name, each in runs.items()}
    best = max(means, key=lambda name: -math.inf if math.isnan(means[name]) else sign * means[name])
    return {"by": by, "variant": best, "mean": means[best]}


def _print(results: dict[str, Any], combinations: dict[str, tuple[str, ...]]) -> None:
    from jaxcnn.cli._output import print_table, say
    from jaxcnn.cli._results import in_words

    variants, chosen = results["variants"], results["chosen"]
    metrics = [name for name in next(iter(variants.values())) if name.startswith(("val/", "test/"))]
    metrics = [name for name in metrics if name != "test/error"]
    rows = [
        [*values, *(in_words(variants[name], metric) if name in variants else "failed" for metric in metrics)]
        for name, values in combinations.items()
    ]
    print_table([*results["over"], *metrics], rows)
    if chosen is None:
        say(
            "nothing is chosen: there is no validation split, and a choice by the test split would make its figures "
            "too good. Hold out a part of the training examples, such as --set hold_out=5, or name a metric with --by."
        )
    else:
        say(f"best by {chosen['by']}: {chosen['variant']} ({chosen['mean']:.4f})")


def _command(options: argparse.Namespace) -> str:
    """The command that continues in the folder of this one."""
    words = ["jaxcnn", "sweep", options.experiment]
    words += [word for text in options.over for word in ("--over", text)]
    words += [word for text in options.set for word in ("--set", text)]
    words += ["--variant", options.variant] if options.variant else []
    words += ["--seeds", str(options.seeds), *([f"--by={options.by}"] if options.by else [])]
    words += ["--run-dir", str(options.run_dir)]
    return shlex.join([*words, "--output", str(options.output)] if options.output else words)
