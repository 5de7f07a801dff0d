"""What a page is given and what it answers: a server of this machine for one page.

It hands out the files that it was told of and nothing else, under a path that nobody can guess, and keeps what is
posted to it. The page is isolated from other origins, without which it would have neither threads nor a fine clock.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

END = "end"
_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
_MOST_POSTED_BYTES = 1 << 31


class PageServer(ThreadingHTTPServer):
    """files: name in the page's address -> what it holds. posted: name -> bytes, in the order of arrival."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = files
        self.posted: dict[str, bytes] = {}
        self.ended = threading.Event()
        self.secret = secrets.token_urlsafe(16)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that is ended leaves connections in the middle of a request."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Of the folder that the files are in."""
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/"


@contextmanager
def serving(files: Mapping[str, Path | bytes]) -> Iterator[PageServer]:
    """A server in a thread of its own, until the block ends."""
    with PageServer(files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self._name()
        found = None if name is None else self.server.files.get(name)
        if name is None or found is None:
            self._answer(404, "text/plain", b"")
            return
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        self._answer(200, kind, found if isinstance(found, bytes) else found.read_bytes())

    def do_POST(self) -> None:
        name, size = self._name(), self.headers.get("Content-Length", "")
        if name is None or not size.isdecimal() or int(size) > _MOST_POSTED_BYTES:
            self._answer(404, "text/plain", b"")
            return
        self.server.posted[name] = self.rfile.read(int(size))
        if name == END:
            self.server.ended.set()
        self._answer(200, "text/plain", b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """A line for each request is of no interest."""

    def _name(self) -> str | None:
        """What is asked for; None for whoever does not know the path."""
        secret, _, name = self.path.removeprefix("/").partition("/")
        return name if secrets.compare_digest(secret, self.server.secret) else None

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
