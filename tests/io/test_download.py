"""Files from the web: downloaded once, resumed where they broke, and verified."""

import hashlib
import threading

import pytest

from bob.errors import UnavailableError
from bob.io.download import fetch
from bob.io.paths import download_path
from tests.builders.loopback_hub import Handler, running

CONTENT = bytes(range(256)) * 64


class FaultySite(Handler):
    """Serves `/NAME/w.pth`, where NAME says what goes wrong; subclasses set the attributes."""

    stalled: threading.Event
    requests: list[str | None]

    def do_GET(self) -> None:  # noqa: N802
        self.requests.append(self.headers.get("Range"))
        start, name = int((self.headers.get("Range") or "bytes=0-")[6:-1]), self.path.split("/")[1]
        if name.isdecimal():
            self.respond(b"", int(name))
        elif start >= len(CONTENT):
            self.respond(b"", 416)
        else:
            self.send_response(206)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            if name != "dead":
                self.wfile.write(
                    CONTENT[start:] if name == "whole" or start else CONTENT[: len(CONTENT) // 2]
                )
            if (name == "stalled" and not start) or name == "dead":
                self.stalled.wait(30)
            self.close_connection = True


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setenv("BOB_CACHE", str(tmp_path))
    monkeypatch.setattr("bob.io.download.TIMEOUT_SECONDS", 0.3)
    site = type("Site", (FaultySite,), {"stalled": threading.Event(), "requests": []})
    with running(site) as address:
        yield address, site.requests
        site.stalled.set()


def get(url: str, sha256: str | None = None, offline: bool = False) -> bytes:
    return fetch("backbone 'mine'", url, sha256, offline=offline).read_bytes()


def test_a_file_from_the_web_is_downloaded_once(web):
    address, requests = web
    assert (
        get(f"{address}/whole/w.pth", hashlib.sha256(CONTENT).hexdigest())
        == get(f"{address}/whole/w.pth")
        == CONTENT
    )
    assert len(requests) == 1
    assert get(f"{address}/whole/w.pth?other") == CONTENT and len(requests) == 2, (
        "another URL is another file"
    )


@pytest.mark.parametrize("name", ["truncated", "stalled"])
def test_a_broken_download_resumes(web, name):
    address, requests = web
    assert get(f"{address}/{name}/w.pth", hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert requests == ["bytes=0-", f"bytes={len(CONTENT) // 2}-"]


def test_a_download_resumes_in_another_run(web):
    address, requests = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:100])
    assert get(f"{address}/whole/w.pth") == CONTENT and requests == ["bytes=100-"]


def test_a_partial_file_longer_than_the_file_is_downloaded_again(web):
    address, _ = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT + b"more")
    assert get(f"{address}/whole/w.pth") == CONTENT


def test_a_full_disk_stops_a_download(web):
    address, requests = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # every write fails as on a full disk
    with pytest.raises(
        UnavailableError, match=r"the disk is full. Free some space, or set BOB_CACHE"
    ):
        get(f"{address}/whole/w.pth")
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("404", r"does not exist \(HTTP 404\); correct weights.url"),
        ("401", r"needs a login \(HTTP 401\)"),
        ("418", r"was answered with status 418"),
        ("500", r"was answered with status 500"),
        ("dead", r"was not downloaded \(.*timed out.*\). Run again to resume"),
    ],
)
def test_web_errors_are_reported_with_their_cause(web, name, message):
    with pytest.raises(UnavailableError, match=message):
        get(f"{web[0]}/{name}/w.pth")


def test_a_file_with_another_digest_is_refused_and_removed(web):
    with pytest.raises(UnavailableError, match=r"has SHA-256 .*not weights.sha256 0000.*: removed"):
        get(f"{web[0]}/whole/w.pth", "0" * 64)
    assert not list(download_path(f"{web[0]}/whole/w.pth").parent.glob("w*"))


def test_offline_sends_no_request(web):
    address, requests = web
    with pytest.raises(
        UnavailableError,
        match=r"is not on this machine. Run once without --offline, or put the file at",
    ):
        get(f"{address}/whole/w.pth", offline=True)
    assert not requests
