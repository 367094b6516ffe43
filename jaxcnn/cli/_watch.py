"""Show a run in the browser, from its records and checkpoints: its curves, and the values of its layers for images.

Another process may train the run meanwhile, or the run may have ended. `jaxcnn train EXPERIMENT --live` shows a run
while it trains, and can pause it.
"""

import argparse
from pathlib import Path

from jaxcnn.cli import _port, _trust
from jaxcnn.cli._signals import stop_on_signals

HELP = "show a run in the browser"
EXAMPLES = (
    "jaxcnn watch runs/mine",
    "jaxcnn watch runs/mine --checkpoint best --port 8000",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="which checkpoint (last)")
    _port.add_argument(parser)
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Shows the run on its page until Ctrl-C, which is the usual end."""
    from jaxcnn.live import watch_run
    from jaxcnn.train import RunFolder

    _port.check(options.port)
    folder = RunFolder.open(options.run_folder)
    file, config = _trust.load_experiment(folder, options)
    experiment = file.build(config)
    with stop_on_signals() as stop:
        watch_run(
            folder,
            experiment=experiment,
            checkpoint=options.checkpoint,
            port=options.port,
            opened=lambda url: print(f"live view   {url}\nCtrl-C ends it.", flush=True),
            should_stop=lambda: stop.signal is not None,
        )
    return 0
