"""``jaxcnn bench --tune``: measures which algorithm is the fastest on this machine, and writes a table."""

import argparse
import json
from typing import Any


def run(options: argparse.Namespace) -> int:
    """Measures the algorithms of each selected operation, and writes the table."""
    import jax

    from jaxcnn._files import cache_folder, write_json
    from jaxcnn.bench import time_algorithms, tuning_table
    from jaxcnn.functional.tuning import read_table

    if jax.default_backend() != "cpu":
        raise ValueError("--tune is for CPUs; GPUs and TPUs use XLA's own convolution.")
    path = options.table or cache_folder() / "tuning.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() and read_table(path) else None
    operations = _operations(options)
    measured: dict[str, dict[str, float]] = {}
    try:
        for place, operation in enumerate(operations, 1):
            times = measured[operation.key] = time_algorithms(operation, seconds=options.seconds_per_entry)
            print(f"{place}/{len(operations)}  {operation.key}\n    {_in_words(times)}", flush=True)
    except KeyboardInterrupt:
        print("stopped; what was measured is kept")
    if not measured:
        return 130
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, tuning_table(measured, earlier=earlier))
    print(f"wrote {path}. To use it: JAXCNN_TUNED={path}, or jaxcnn.functional.use_tuning({str(path)!r})")
    return 0 if len(measured) == len(operations) else 130


def _operations(options: argparse.Namespace) -> list[Any]:
    from jaxcnn.bench import operations_of_model, operations_of_suite, select
    from jaxcnn.cli._summary import read_input_shape
    from jaxcnn.models import create, info

    if options.model is None:
        return operations_of_suite(select(options.pattern, kinds=["conv"], operations=options.operation))
    if options.batch < 1:
        raise ValueError(f"--batch {options.batch}: a batch has at least one image.")
    shape = read_input_shape(options.input, info(options.model).input_shape)
    return operations_of_model(create(options.model), (options.batch, *shape))


def _in_words(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {milliseconds:.3g} ms" for name, milliseconds in times.items())
