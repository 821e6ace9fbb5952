"""A Hugging Face hub on the loopback interface, as far as its client and `datasets` need one."""

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


class Handler(http.server.BaseHTTPRequestHandler):
    """Base class of the tests' servers."""

    def respond(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a response with the headers that the hub's client requires."""
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
def running(handler: type[Handler]) -> Iterator[str]:
    """Run a server with this handler and yield its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
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
    """Run a hub with `owner/CamelPets`, a dataset of one parquet file, and yield its address."""
    with serving_all({"owner/CamelPets": {FILE: parquet}}) as address:
        yield address


@contextlib.contextmanager
def serving_all(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """Run a hub with these repositories (name → path → content) and yield its address.

    Each repository has one commit, COMMIT, which is also its `main`.
    """

    class Hub(Handler):
        def do_GET(self) -> None:
            path, _, query = unquote(self.path).partition("?")
            refusals = [refusal for name, refusal in REFUSED.items() if name in path]
            names = [name for name in repositories if f"/{name}/" in f"{path}/"]
            if refusals or not names:
                status, code = refusals[0] if refusals else (401, "RepoNotFound")
                self.respond(b"{}", status, **{"X-Error-Code": code})
                return
            files = repositories[names[0]]
            action, _, rest = path.partition(names[0])[2].strip("/").partition("/")
            commit, _, inner = rest.partition("/")
            if commit not in (COMMIT, "main", ""):
                self.respond(b"{}", 404, **{"X-Error-Code": "RevisionNotFound"})
            elif action == "tree":
                entries = _tree(files, inner, "recursive=true" in query.lower())
                self.respond(json.dumps(entries).encode())
            elif action == "resolve" and inner in files:
                self.respond(files[inner], ETag=f'"{hashlib.sha1(files[inner]).hexdigest()}"')
            elif action in ("", "revision"):
                siblings = [{"rfilename": name} for name in files]
                about = {"id": names[0], "sha": COMMIT, "siblings": siblings}
                self.respond(json.dumps(about).encode())
            else:
                self.respond(b"{}", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            """Respond to `paths-info`: which files are at some paths."""
            names = [name for name in repositories if f"/{name}/" in self.path]
            files: Mapping[str, bytes] = repositories[names[0]] if names else {}
            length = int(self.headers["Content-Length"]) if names else 0
            paths = parse_qs(self.rfile.read(length).decode()).get("paths", [])
            entries = [_entry(path, files[path]) for path in paths if path in files]
            self.respond(json.dumps(entries).encode())

    with running(Hub) as address:
        yield address


def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, object]]:
    """List a folder as the hub does: files, then folders unless `recursive`."""
    below = {
        name: data
        for name, data in files.items()
        if name.startswith(f"{folder}/" if folder else "")
    }
    parts = {name: name[len(folder) :].strip("/").split("/") for name in below}
    entries = [
        _entry(name, data) for name, data in below.items() if recursive or len(parts[name]) == 1
    ]
    if recursive:
        return entries
    folders = dict.fromkeys(
        "/".join(filter(None, (folder, inner[0]))) for inner in parts.values() if len(inner) > 1
    )
    return entries + [
        {"type": "directory", "oid": "y", "size": 0, "path": name} for name in folders
    ]


def _entry(path: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}
