"""A hub on the loopback interface: as much of the hub's interface as `datasets` and the hub's client ask for."""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSED = {
    "owner/Gated": (403, "GatedRepo"),
    "owner/Unknown": (401, "RepoNotFound"),
    "owner/Moved": (404, "RevisionNotFound"),
}
"""Datasets that are refused, with the status and the hub's name of the error."""
FILE = "data/train-00000-of-00001.parquet"


class Answering(http.server.BaseHTTPRequestHandler):
    """What every hub of the tests does alike."""

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "X-Repo-Commit": COMMIT,
            **headers,
        }.items():
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
    """The address of a hub that holds `owner/CamelPets`, a dataset of this one file."""
    with serving_all({"owner/CamelPets": {FILE: parquet}}) as address:
        yield address


@contextlib.contextmanager
def serving_all(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """The address of a hub that holds these repositories: name → path → content. Each has one commit, which is also its `main`."""

    class Hub(Answering):
        def do_GET(self) -> None:
            path, _, query = unquote(self.path).partition("?")
            refused = [answer for name, answer in REFUSED.items() if name in path]
            found = [name for name in repositories if f"/{name}/" in f"{path}/"]
            if refused or not found:
                status, code = refused[0] if refused else (401, "RepoNotFound")
                self.answer(b"{}", status, **{"X-Error-Code": code})
                return
            files, (what, _, rest) = (
                repositories[found[0]],
                path.partition(found[0])[2].strip("/").partition("/"),
            )
            commit, _, inside = rest.partition("/")
            if commit not in (COMMIT, "main", ""):
                self.answer(b"{}", 404, **{"X-Error-Code": "RevisionNotFound"})
            elif what == "tree":
                self.answer(
                    json.dumps(_tree(files, inside, "recursive=true" in query.lower())).encode()
                )
            elif what == "resolve" and inside in files:
                self.answer(files[inside], ETag=f'"{hashlib.sha1(files[inside]).hexdigest()}"')
            elif what in ("", "revision"):
                about = {
                    "id": found[0],
                    "sha": COMMIT,
                    "siblings": [{"rfilename": name} for name in files],
                }
                self.answer(json.dumps(about).encode())
            else:
                self.answer(b"{}", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            """`paths-info`: what lies at some paths."""
            found = [name for name in repositories if f"/{name}/" in self.path]
            asked = (
                parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                if found
                else {}
            )
            files = repositories[found[0]] if found else {}
            self.answer(
                json.dumps(
                    [_about(name, files[name]) for name in asked.get("paths", []) if name in files]
                ).encode()
            )

    with running(Hub) as address:
        yield address


def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, object]]:
    """What the hub says lies in a folder."""
    below = {
        name: data
        for name, data in files.items()
        if name.startswith(f"{folder}/" if folder else "")
    }
    inner = {name: name[len(folder) :].strip("/").split("/") for name in below}
    found = [
        _about(name, data) for name, data in below.items() if recursive or len(inner[name]) == 1
    ]
    folders = dict.fromkeys(
        "/".join(filter(None, (folder, parts[0]))) for parts in inner.values() if len(parts) > 1
    )
    return found + (
        []
        if recursive
        else [{"type": "directory", "oid": "y", "size": 0, "path": name} for name in folders]
    )


def _about(name: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name}
