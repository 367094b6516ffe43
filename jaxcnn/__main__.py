"""``python -m jaxcnn``, and the script ``jaxcnn``."""

import signal
import sys


def command() -> None:
    """Runs the command, whose modules take seconds to import.

    Until they are imported, Ctrl-C ends the process as it ends a program in C: at once and without a word. Python's own
    ``KeyboardInterrupt`` would end in a traceback in the middle of an import, or be lost in one.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jaxcnn import keep_freed_memory
    from jaxcnn.cli import main
    from jaxcnn.cli._standard_output import silence_hooks

    keep_freed_memory()
    status = main()
    silence_hooks()  # what threads of libraries report while the process ends has been reported
    sys.exit(status)


if __name__ == "__main__":
    command()
