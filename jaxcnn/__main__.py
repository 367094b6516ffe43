"""``python -m jaxcnn``, and the script ``jaxcnn``."""

import signal
import sys


def command() -> None:
    """Runs the command, whose modules take seconds to import.

    While they are imported, Ctrl-C ends the process at once and silently, like a program in C. Python's own
    ``KeyboardInterrupt`` would print a traceback of an import, or be caught within one.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jaxcnn import keep_freed_memory
    from jaxcnn.cli import main, silence_hooks

    keep_freed_memory()
    status = main()
    silence_hooks()  # errors of library threads while the process ends have been reported already
    sys.exit(status)


if __name__ == "__main__":
    command()
