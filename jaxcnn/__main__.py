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
    from jaxcnn.cli import main

    sys.exit(main())


if __name__ == "__main__":
    command()
