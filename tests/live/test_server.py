"""The server of the page: which requests are answered, with which content, and how the stream of events ends."""

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from jaxcnn.live import _board
from jaxcnn.live._board import Board
from jaxcnn.live._server import Server


def refuse(wish: dict[str, Any]) -> None:
    if wish != {"do": "step"}:
        raise ValueError("no such wish")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(Board(), refuse)
    yield made
    made.close()


def ask(server: Server, name: str = "", body: str | None = None, **headers: str) -> tuple[int, bytes, Any]:
    """The status, body and headers of a response; a name that starts with / replaces the path of the page."""
    url = urllib.parse.urlsplit(urllib.parse.urljoin(server.url, name))
    with contextlib.closing(http.client.HTTPConnection(url.netloc, timeout=30)) as connection:
        connection.request("GET" if body is None else "POST", url.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


def test_the_page_is_complete_and_may_load_nothing_from_elsewhere(server: Server) -> None:
    status, page, headers = ask(server)
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    for name in ("page.js", "page.css"):
        assert f'"{name}"'.encode() in page
        assert ask(server, name)[:2] == (200, (files("jaxcnn.live") / name).read_bytes())
    whole = b"".join((files("jaxcnn.live") / name).read_bytes() for name in ("page.html", "page.js", "page.css"))
    assert b"http://" not in whole and b"https://" not in whole and b"innerHTML" not in whole


def test_only_this_machine_with_the_token_is_answered(server: Server) -> None:
    port = server.url.split(":")[2].split("/")[0]
    for host in (f"127.0.0.1:{port}", "localhost:8000", "localhost"):  # other ports occur if the port is forwarded
        assert ask(server, Host=host)[0] == 200
    for host in ("example.org", f"example.org:{port}", "127.0.0.1.example.org", "localhost@example.org", ""):
        assert ask(server, Host=host)[0] == 403
        assert ask(server, "act", "{}", Host=host)[0] == 403
    for path in ("/", "/events", f"/{server.token[:-1]}/", f"/{server.token}x/", "/act"):
        assert ask(server, path)[0] == 404
    assert ask(server, "../page.js")[0] == 404 and ask(server, "_server.py")[0] == 404
    assert len(server.token) >= 24


def test_wishes_of_the_page_are_passed_on_or_refused(server: Server) -> None:
    assert ask(server, "act", '{"do": "step"}')[:2] == (204, b"")
    assert ask(server, "act", '{"do": "delete"}')[:2] == (400, b"no such wish\n")
    for body in ("[]", "{", "[" * 5000):
        assert ask(server, "act", body)[0] == 400
    assert ask(server, "page.js", "{}")[0] == 404
    assert ask(server, "act", "{}", **{"Content-Length": "99999999"})[0] == 413
    assert ask(server, "act", "{}", **{"Content-Length": "-1"})[0] == 413


def test_the_stream_has_the_latest_news_and_counts_its_readers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_board, "PAUSE_SECONDS", 0.0)
    board = server.board
    board.describe(name="mine")
    board.update_state(step=1)
    for step in (1, 2):
        board.add_point(step, {"batch/loss": float("nan") if step == 1 else 0.5})
        board.show({"step": step})
    assert board.readers == 0
    url = urllib.parse.urlsplit(server.url)
    with contextlib.closing(http.client.HTTPConnection(url.netloc, timeout=30)) as connection:
        connection.request("GET", f"{url.path}events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert [next_event(answer) for _ in range(4)] == [
            ("about", {"name": "mine"}),
            ("state", {"step": 1}),
            ("curves", {"points": [[1, {"batch/loss": None}], [2, {"batch/loss": 0.5}]], "epochs": [], "again": True}),
            ("frame", {"step": 2}),  # the first frame is overwritten
        ]
        assert board.readers == 1
        board.add_epoch({"step": 2, "test/loss": 0.25})
        assert next_event(answer) == ("state", {"step": 1})
        epoch = {"step": 2, "test/loss": 0.25}
        assert next_event(answer) == ("curves", {"points": [], "epochs": [epoch], "again": False})
        board.close()
        assert next_event(answer) in (("state", {"step": 1}), ("end", {}))
    board.drain(30)
    assert board.readers == 0


def next_event(answer: http.client.HTTPResponse) -> tuple[str, Any]:
    """The next event of a stream in the standard format: one field per line, and a blank line at the end."""
    while True:
        fields = {}
        while line := answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        if "event" in fields:
            return fields["event"], json.loads(fields["data"])


def test_a_browser_that_is_gone_is_noticed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_board, "PING_SECONDS", 0.01)
    monkeypatch.setattr(_board, "PAUSE_SECONDS", 0.0)
    url = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    connection.request("GET", f"{url.path}events")
    next_event(answer := connection.getresponse())
    assert server.board.readers == 1
    answer.close()
    connection.close()
    server.board.drain(60)
    assert server.board.readers == 0


def test_long_curves_are_thinned_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_board, "MOST_POINTS", 4)
    monkeypatch.setattr(_board, "PAUSE_SECONDS", 0.0)
    board = Board()
    for step in range(1, 12):
        board.add_point(step, {})
    with contextlib.closing(board.events()) as events:
        curves = next(text for text in events if text.startswith(b"event: curves"))
    assert [step for step, _ in json.loads(curves.split(b"data: ")[1])["points"]] == [4, 8]


def test_a_port_in_use_is_said(server: Server) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match=f"the page cannot be served on port {port}: .* Try another port"):
        Server(Board(), refuse, port=port)
