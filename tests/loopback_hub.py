"""A hub on the loopback interface, with one dataset, `owner/CamelPets`: as much of the hub's interface as `datasets` asks for."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSED = {"owner/Gated": (403, "GatedRepo"), "owner/Unknown": (401, "RepoNotFound"), "owner/Moved": (404, "RevisionNotFound")}
"""Datasets that are refused, with the status and the hub's name of the error."""
FILE = "data/train-00000-of-00001.parquet"


class Answering(http.server.BaseHTTPRequestHandler):
    """What every hub of the tests does alike."""

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def running(hub: type[Answering]) -> Iterator[str]:
    """The address of the hub while it runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def serving(parquet: bytes) -> Iterator[str]:
    """The address of a hub that holds the file."""

    class Hub(Answering):
        def do_GET(self) -> None:
            path, about = unquote(self.path.split("?")[0]), {"type": "file", "oid": "x", "size": len(parquet), "path": FILE}
            if refused := [answer for name, answer in REFUSED.items() if name in path]:
                self.answer(b"{}", refused[0][0], **{"X-Error-Code": refused[0][1]})
            elif "/tree/" in path:
                folder = {"type": "directory", "oid": "y", "size": 0, "path": "data"}
                self.answer(json.dumps([about if path.endswith("/data") else folder]).encode())
            elif path.endswith(f"/revision/{COMMIT}"):
                self.answer(json.dumps({"id": "owner/CamelPets", "sha": COMMIT, "siblings": [{"rfilename": FILE}]}).encode())
            elif path.endswith(f"/resolve/{COMMIT}/{FILE}"):
                self.answer(parquet, ETag='"abc"')
            else:
                self.answer(b"{}", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    with running(Hub) as address:
        yield address
