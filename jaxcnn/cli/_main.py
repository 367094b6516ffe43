"""Reads the command line and calls a verb; a mistake of the user ends in one sentence."""

import argparse
import dis
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

import shtab

from jaxcnn._error_context import message_of
from jaxcnn._errors import printable
from jaxcnn._extras import is_optional, with_hint
from jaxcnn.cli._encoding import show_any_text
from jaxcnn.cli._standard_output import checked_output

EXPERIMENT = "jaxcnn_experiment_"  # begins the names of the modules of experiment files
# Each verb is a module with HELP, EXAMPLES, add_arguments(parser) and run(options) -> exit status.
VERBS = (
    "train",
    "evaluate",
    "predict",
    "export",
    "index",
    "search",
    "explain",
    "units",
    "watch",
    "list",
    "compare",
    "show",
    "repeat",
    "sweep",
    "results",
    "models",
    "summary",
    "bench",
    "profile",
    "compile",
)

# These verbs need the training loop, which takes longer to import.
WITH_TRAIN = ("train", "evaluate", "explain", "export", "index", "predict", "profile", "search", "units", "watch")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="jaxcnn", description="Train, inspect and use convolutional networks in JAX.")
    parser.add_argument("--traceback", action="store_true", help="show the full traceback of an error")
    shtab.add_argument_to(parser, "--print-completion", help="print completions for a shell, such as bash or zsh")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        module = importlib.import_module(f"jaxcnn.cli._{name}")
        examples = "\n".join(["examples:", *(f"  {example}" for example in module.EXAMPLES)])
        verb = verbs.add_parser(
            name, help=module.HELP, description=module.__doc__, epilog=examples, formatter_class=_HelpOfVerb
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


class _HelpOfVerb(argparse.HelpFormatter):
    """Wraps each paragraph to the width of the terminal; lines of examples keep their places."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts = text.strip().split("\n\n")
        return "\n\n".join(part if "\n  " in part else fill(part, width, indent) for part in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        arguments: the words after ``jaxcnn``; by default those of this process.

    Returns:
        the exit status: 0 for success, 2 for a mistake of the user, 130 if it was stopped.

    Raises:
        SystemExit: the arguments cannot be parsed, or request help.

    >>> main(["show", "lenet5_digit"])  # standard error has the nearest name
    2
    """
    show_any_text()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        print(f"jaxcnn {options.verb}: {printable(unknown_options(options, unknown, arguments))}", file=sys.stderr)
        return 2
    try:
        with checked_output():
            _import_slow_modules(options.verb)
            return options.run(options)
    except KeyboardInterrupt:
        print("jaxcnn: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output has ended; Python would complain at exit
        return 141
    except MemoryError as error:
        if options.traceback:
            raise
        print(f"jaxcnn {options.verb}: there is too little memory {error}".rstrip() + ".", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if options.traceback or not is_optional(error):
            raise
        print(f"jaxcnn {options.verb}: {with_hint(error).msg}", file=sys.stderr)
        return 2
    except (ValueError, OSError, RuntimeError, TypeError, AttributeError, ImportError) as error:
        if options.traceback or not _is_for_users(error):
            raise
        # The verb is named in place of the function of train that it calls.
        message = printable(f"{message_of(error, without='train')}{_place_in_experiment(error)}", keep="\n")
        print(f"jaxcnn {options.verb}: {message}", file=sys.stderr)
        return 2


def _import_slow_modules(verb: str) -> None:
    """Imports the modules that take time; Ctrl-C raises ``KeyboardInterrupt`` from then on, see ``jaxcnn.__main__``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        importlib.import_module("jaxcnn.train" if verb in WITH_TRAIN else "jax")
        signal.signal(signal.SIGINT, signal.default_int_handler)


def unknown_options(options: argparse.Namespace, unknown: Sequence[str], arguments: Sequence[str]) -> str:
    """A sentence about options that a verb does not have.

    Args:
        options: the options that the verb has.
        unknown: what was left over.
        arguments: the whole command line.
    """
    from jaxcnn._hints import did_you_mean

    word = next((word for word in unknown if word.startswith("-")), unknown[0])
    name, equals, value = word.partition("=")
    setting = name.lstrip("-").replace("-", "_")
    if setting in _setting_names(options, unknown):
        after = arguments[arguments.index(word) + 1 :]
        value = value if equals else after[0] if after and not after[0].startswith("--") else "VALUE"
        return f"there is no option {name}. Settings of an experiment are changed by --set: --set {setting}={value}"
    if not word.startswith("-"):
        return f"unexpected argument {word!r}. `jaxcnn {options.verb} --help` shows what the verb takes."
    known = [f"--{key.replace('_', '-')}" for key in vars(options) if key not in ("verb", "run", "experiment")]
    return f"there is no option {name}. {did_you_mean(name, known)}"


def _setting_names(options: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    """The settings of the experiment on the command line, if the verb takes settings and there is one."""
    if not hasattr(options, "set"):
        return []
    from jaxcnn.train import find_experiment, list_experiments, settings_of

    # In `train --epochs 3 NAME` the value is in the place of the experiment, and the name is left over.
    for word in (options.experiment, *unknown):
        if word and (word in list_experiments() or (word.endswith(".py") and Path(word).is_file())):
            return [setting.name for setting in settings_of(find_experiment(word).config_class)]
    return []


def _is_for_users(error: BaseException) -> bool:
    """Whether the message of an error is written for users: raised in jaxcnn or in an experiment, not in a library.

    Mistakes in code raise TypeError, AttributeError and ImportError too, so of these only a ``raise`` statement in
    jaxcnn counts.
    """
    places = _places(error)
    if not places:
        return False
    frame, instruction = places[-1].tb_frame, places[-1].tb_lasti
    ours = _module(frame).split(".")[0] == "jaxcnn"
    if isinstance(error, TypeError | AttributeError | ImportError):
        return ours and frame.f_code.co_code[instruction] == dis.opmap["RAISE_VARARGS"]
    return ours or _module(frame).startswith(EXPERIMENT)


def _place_in_experiment(error: BaseException) -> str:
    """The line of an experiment from which an error came, where one of its lines was under way."""
    lines = [place for place in _places(error) if _module(place.tb_frame).startswith(EXPERIMENT)]
    return f" ({lines[-1].tb_frame.f_code.co_filename}, line {lines[-1].tb_lineno})" if lines else ""


def _places(error: BaseException) -> list[TracebackType]:
    """The traceback of an error as a list, the innermost frame last."""
    places, place = [], error.__traceback__
    while place is not None:
        places.append(place)
        place = place.tb_next
    return places


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "")
