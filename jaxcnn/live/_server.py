"""Serves the page on this machine: the standard library's server, one page, and a stream of events.

Only programs of this machine can connect, and of these only those that know the token in the address. A request that
names another host is refused, since a page of another site can resolve its own name to this machine.
"""

import contextlib
import importlib.resources
import json
import re
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jaxcnn.live._board import Board

HOST = "127.0.0.1"
MOST_BYTES = 2**22  # of a request
FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLOSE_SECONDS = 1.0
POLL_SECONDS = 0.05  # between two checks of whether to end


class Server:
    """Serves a board from construction until ``close``.

    Args:
        board: what is shown.
        act: called with each request of the page, a dict; raises a ``ValueError`` for an invalid request.
        port: 0 for one that is free.

    Raises:
        OSError: the port is in use.
    """

    def __init__(self, board: Board, act: Callable[[dict[str, Any]], None], *, port: int = 0) -> None:
        self.board, self.act, self.token = board, act, secrets.token_urlsafe(18)
        server = self

        class Handler(_Handler):
            owner = server

        try:
            self._http = _Http((HOST, port), Handler)
        except OSError as error:
            raise OSError(f"the page cannot be served on port {port}: {error.strerror}. Try another port.") from error
        self.url = f"http://{HOST}:{self._http.server_address[1]}/{self.token}/"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(POLL_SECONDS,), daemon=True, name="live view server"
        )
        self._thread.start()

    def close(self) -> None:
        """Sends the latest changes to the browsers, and ends."""
        self.board.close()
        self.board.drain(CLOSE_SECONDS)
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does nothing: a browser that closes its tab is no error."""


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "jaxcnn", ""

    def do_GET(self) -> None:
        """A file of the page, or the stream of events."""
        name = self._name()
        if name is None:
            return
        if name == "events":
            self._stream()
        elif name in FILES:
            file, kind = FILES[name]
            self._answer(200, (importlib.resources.files("jaxcnn.live") / file).read_bytes(), kind)
        else:
            self._answer(404, b"there is no such page\n")

    def do_POST(self) -> None:
        """A request of the page, as JSON."""
        name = self._name()
        if name is None:
            return
        length = self.headers.get("Content-Length", "")
        if name != "act" or not re.fullmatch(r"\d{1,9}", length) or int(length) > MOST_BYTES:
            self.close_connection = True  # the body is not read
            self._answer(404 if name != "act" else 413, b"this request is not accepted\n")
            return
        try:
            content = json.loads(self.rfile.read(int(length)))
            if not isinstance(content, dict):
                raise ValueError("expected a JSON object.")
            self.owner.act(content)
        except (ValueError, RecursionError) as error:
            self._answer(400, f"{error}\n".encode())
        else:
            self._answer(204, b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Does nothing: standard output is for the output of the run."""

    def _name(self) -> str | None:
        """The requested name, after the token; None if the request was refused."""
        host = self.headers.get("Host", "")
        if not re.fullmatch(r"(127\.0\.0\.1|localhost)(:\d+)?", host):
            self.close_connection = True
            self._answer(403, b"this server answers to 127.0.0.1 and localhost only\n")
            return None
        token, _, name = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.owner.token.encode()):
            self.close_connection = True
            self._answer(404, b"open the whole address that was printed, with its token\n")
            return None
        return name

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        for name, value in (HEADERS | {"Content-Type": "text/event-stream", "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.closing(self.owner.board.events()) as events, contextlib.suppress(OSError):
            for each in events:
                self.wfile.write(each)
                self.wfile.flush()
