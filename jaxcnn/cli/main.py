"""Reads the command line and calls a verb; a mistake of the user ends in one sentence."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from jaxcnn._extras import TRAIN, with_hint
from jaxcnn.cli._encoding import show_any_text
from jaxcnn.shapes.errors import printable

# Each verb is a module with HELP, add_arguments(parser) and run(options) -> exit status.
VERBS = ("train", "evaluate", "predict", "list", "show", "repeat", "results", "models", "summary", "bench", "profile")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="jaxcnn", description="Train, inspect and use convolutional networks in JAX.")
    parser.add_argument("--traceback", action="store_true", help="show the full traceback of an error")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        module = importlib.import_module(f"jaxcnn.cli.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and gives the exit status: 0 done, 2 a mistake in what was asked, 130 stopped."""
    show_any_text()
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("jaxcnn: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; Python would complain at exit
        return 141
    except ModuleNotFoundError as error:
        if options.traceback or (error.name or "").split(".")[0] not in TRAIN:
            raise
        print(f"jaxcnn {options.verb}: {with_hint(error).msg}", file=sys.stderr)
        return 2
    except (ValueError, OSError, RuntimeError) as error:
        if options.traceback or not _is_for_users(error):
            raise
        message = printable(str(error), keep="\n")
        print(f"jaxcnn {options.verb}: {message}", file=sys.stderr)
        return 2


def _is_for_users(error: BaseException) -> bool:
    """Whether an error was worded for the user: raised in jaxcnn, not in a library below it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.split(".")[0] == "jaxcnn" or module.startswith("jaxcnn_experiment_")
