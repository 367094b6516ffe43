"""The option ``--port`` of the verbs that show a page in the browser."""

import argparse


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the page in the browser (a free one)")


def check(port: int) -> None:
    """Refuses an invalid port.

    Raises:
        ConfigError: it is out of range.
    """
    from jaxcnn.train import ConfigError

    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: expected 1 to 65535, or 0 for one that is free.")
