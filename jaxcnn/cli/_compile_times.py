"""``jaxcnn bench --compile``: how long each model waits before its first training step."""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

PHASES = ("trace", "lower", "compile", "first_step", "second_step")
COLUMNS = ("model", "input", "trace s", "lower s", "compile s", "first step s", "second step s")


def run(options: argparse.Namespace) -> int:
    """Measures every model whose name matches, printing each line at once, and writes the JSON."""
    import jax

    from jaxcnn._files import write_json
    from jaxcnn._hints import did_you_mean
    from jaxcnn.bench import compile_times, machine
    from jaxcnn.cli._output import print_table
    from jaxcnn.models import info, list_models

    names = [name for name in list_models(options.pattern) if info(name).task == "logits"]
    if not names:
        hint = did_you_mean(options.pattern.strip("*?"), list_models())
        raise ValueError(f"no model's name matches {options.pattern!r}. {hint}")
    if options.list:
        print_table(["model"], [[name] for name in names])
        return 0
    about = machine(torch=False)
    known = _earlier(options, about)
    jax.config.update("jax_enable_compilation_cache", False)  # or a second start would find what the first compiled
    try:
        for place, name in enumerate(names, 1):
            known[name] = compile_times(name)
            print(f"{place}/{len(names)}  {name}  compiled in {known[name]['seconds']['compile']:.1f} s", flush=True)
            if options.json is not None:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                write_json(options.json, {"machine": about, "results": [known[each] for each in sorted(known)]})
    except KeyboardInterrupt:
        print("stopped; what was measured is kept")
    if not known:
        return 130
    results = [known[each] for each in sorted(known)]
    print_table(COLUMNS, [*(row(result) for result in results), medians(results)])
    return 0 if set(names) <= set(known) else 130


def _earlier(options: argparse.Namespace, about: dict[str, Any]) -> dict[str, Any]:
    """The results of the file to append to, if they are of this machine, by model."""
    if options.append and options.json is None:
        raise ValueError("--append adds to the file of --json; name it.")
    if not options.append or not options.json.exists():
        return {}
    found = json.loads(options.json.read_text(encoding="utf-8"))
    ours, theirs = ({key: value for key, value in each.items() if key != "date"} for each in (about, found["machine"]))
    if ours != theirs:
        raise ValueError(f"{options.json} was measured on another machine or with other versions: start a new file.")
    return {each["name"]: each for each in found["results"]}


def row(result: Mapping[str, Any]) -> list[str]:
    """One result as a line of the table."""
    seconds = [f"{result['seconds'][phase]:.2f}" for phase in PHASES]
    return [result["name"], "x".join(map(str, result["input"])), *seconds]


def medians(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The last line of the table."""
    return ["median", "", *(f"{statistics.median(each['seconds'][phase] for each in results):.2f}" for phase in PHASES)]
