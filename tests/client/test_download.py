"""Fetching a result's file: whole or not at all, from where it may come, and never with the key."""

import asyncio
import gzip
import hashlib
import ipaddress
import itertools
import json
import os
import signal
from typing import ClassVar

import httpx
import pytest
from scripted_server import KEY, Naps, Server, chunked, head, play, raw, reply, silence

from elumenta_nb import _errors as e
from elumenta_nb._client import Client, _download
from elumenta_nb._client._download import Downloads, is_public

FILE = b"\x89PNG\r\n\x1a\n" + os.urandom(3_000_000)
LIMIT = 10 * 1024**2


def fetch(
    tmp_path, *script, path="/media/5.png", max_bytes=LIMIT, server=None, url=None, progress=None, do=None, **options
):
    """Download from the scripted server, which is the API as well; the outcome and the target."""
    target = tmp_path / "5.png"
    server = server or Server(list(script))

    async def download(client):
        return await client.download(
            url or f"http://127.0.0.1:{server.port}{path}", target, max_bytes=max_bytes, progress=progress
        )

    return play(server=server, do=do or download, **options), target


def whole(body=FILE, **headers):
    return reply(body, headers={"content-type": "image/png", **headers})


def test_a_file_is_stored_with_its_length_hash_and_type(tmp_path):
    told = []
    ran, target = fetch(tmp_path, whole(), progress=lambda done, total: told.append((done, total)))

    assert target.read_bytes() == FILE
    assert (ran.value.size_bytes, ran.value.content_type) == (len(FILE), "image/png")
    assert ran.value.digest == hashlib.sha256(FILE).hexdigest()
    assert told[-1] == (len(FILE), len(FILE))
    assert all(before <= after for (before, _), (after, _) in itertools.pairwise(told))


def test_the_key_is_never_sent_not_even_to_the_api_s_own_host(tmp_path):
    ran, _ = fetch(tmp_path, whole())

    assert "authorization" not in ran.server.seen[0].headers
    assert KEY not in str(ran.server.seen)


@pytest.mark.parametrize(
    "act",
    [
        raw(head(200, length=len(FILE)) + FILE[:-1]),
        raw(head(200, length=len(FILE)) + FILE[:10]),
        raw(head(200, length=len(FILE))),
        chunked(FILE[:1000], end=False, kind="image/png"),
        raw(b""),
        reply(b""),
        reply(b"", status=500),
        reply(b"", status=503),
        reply(b"", status=429),
    ],
    ids=["one byte short", "short", "none of it", "chunked", "dropped", "empty", "500", "503", "429"],
)
def test_a_file_that_did_not_come_whole_is_fetched_again(tmp_path, act):
    ran, target = fetch(tmp_path, act, act, whole())

    assert ran.error is None
    assert (len(ran.server.seen), target.read_bytes() == FILE) == (3, True)


@pytest.mark.parametrize(
    ("act", "tries"),
    [
        (raw(head(200, length=len(FILE)) + FILE[:10]), 3),
        (reply(b"", status=503), 3),
        (reply(b"", status=404), 1),
        (reply(b"", status=403), 1),
        (reply(b"", status=204), 1),
        (reply(b"x", status=206), 1),
        (raw(head(302, length=0)), 1),
        (raw(head(200, {"content-length": "99999999999999999999"})), 3),
        (raw(head(200, {"content-length": "-5"})), 3),
        (reply(gzip.compress(FILE)[:-1000], headers={"content-encoding": "gzip"}), 3),
    ],
)
def test_a_file_that_cannot_be_had_is_paid_and_leaves_nothing_behind(tmp_path, act, tries):
    ran, _ = fetch(tmp_path, act)

    assert type(ran.error) is e.DownloadFailed
    assert ran.error.spent == "yes"
    assert len(ran.server.seen) <= tries
    assert list(tmp_path.iterdir()) == []
    assert "/media/" not in str(ran.error)  # the address may be signed


def test_a_file_that_is_promised_too_large_is_not_begun(tmp_path):
    ran, _ = fetch(tmp_path, raw(head(200, length=LIMIT + 1), close=False))

    assert "larger than 10 MiB" in str(ran.error)
    assert len(ran.server.seen) == 1


def test_an_endless_file_ends_at_the_limit(tmp_path):
    ran, _ = fetch(tmp_path, chunked(*[b"x" * 1024**2] * 40, end=False), max_bytes=2 * 1024**2)

    assert "larger than" in str(ran.error)
    assert (len(ran.server.seen), list(tmp_path.iterdir())) == (1, [])


def test_a_bomb_ends_at_the_limit(tmp_path):
    bomb = gzip.compress(bytes(50 * 1024**2))
    ran, _ = fetch(tmp_path, reply(bomb, headers={"content-encoding": "gzip"}), max_bytes=2 * 1024**2)

    assert "larger than" in str(ran.error)
    assert list(tmp_path.iterdir()) == []


def test_a_packed_file_is_unpacked(tmp_path):
    ran, target = fetch(tmp_path, whole(gzip.compress(FILE), **{"content-encoding": "gzip"}))

    assert (ran.error, target.read_bytes() == FILE) == (None, True)


def test_a_file_that_trickles_is_given_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "SLOW_WINDOW_S", 0.1)
    ran, _ = fetch(tmp_path, chunked(*[b"x"] * 200, pause_s=0.01, end=False))

    assert "too slowly" in str(ran.error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["text/html", "", "image/png; charset=x", "a" * 500, "\x7f\x01"])
def test_a_type_that_lies_is_only_passed_on(tmp_path, kind):
    ran, target = fetch(tmp_path, reply(FILE, headers={"content-type": kind}))

    assert (ran.error, target.read_bytes() == FILE) == (None, True)
    assert len(ran.value.content_type) <= 100


def test_a_full_disk_is_paid_and_says_so(tmp_path):
    ran, target = fetch(tmp_path, whole(), do=None, url=None)
    assert target.exists()

    async def into_nowhere(client):
        return await client.download(f"{client._line.base_url}/x", tmp_path / "no" / "such" / "x.png", max_bytes=LIMIT)

    ran, _ = fetch(tmp_path, whole(), do=into_nowhere)

    assert type(ran.error) is e.DownloadFailed
    assert (ran.error.spent, len(ran.server.seen)) == ("yes", 1)


def test_a_disk_that_fills_up_while_writing_is_noticed(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # writing more fails as on a full disk
    try:
        ran, _ = fetch(tmp_path, whole())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert type(ran.error) is e.DownloadFailed
    assert (ran.error.spent, "cannot be written" in str(ran.error)) == ("yes", True)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_download_leaves_nothing_behind(tmp_path):
    server = Server([chunked(*[b"x" * 100_000] * 30, pause_s=0.02)])
    target = tmp_path / "5.png"

    async def stop(client):
        seen = asyncio.Event()
        task = asyncio.ensure_future(
            client.download(
                f"http://127.0.0.1:{server.port}/5", target, max_bytes=LIMIT, progress=lambda *_: seen.set()
            )
        )
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [lanes.busy for lanes in client._downloads._lanes.values()]

    ran, _ = fetch(tmp_path, server=server, do=stop)

    assert (ran.error, ran.value, list(tmp_path.iterdir())) == (None, [0], [])


# ------------------------------------------------------------------ redirects


def test_a_redirect_is_followed_without_the_key_and_checked_again(tmp_path):
    async def scenario():
        other = Server([whole()])
        async with other.run():
            first = Server([raw(head(302, {"location": f"http://localhost:{other.port}/file"}, length=0))])
            async with first.run():
                client = Client(base_url=first.url, key=lambda: KEY, sleep=Naps())
                got = await client.download(f"http://127.0.0.1:{first.port}/x", tmp_path / "f", max_bytes=LIMIT)
                await client.aclose()
                return got, first, other

    got, first, other = asyncio.run(scenario())

    assert got.size_bytes == len(FILE)
    for server in (first, other):
        assert [("authorization" in seen.headers, KEY in str(seen)) for seen in server.seen] == [(False, False)]
    assert other.seen[0].headers["host"] == f"localhost:{other.port}"


@pytest.mark.parametrize(
    "location",
    ["http://93.184.216.34/x", "http://10.0.0.1/x", "https://10.0.0.1/x", "https://169.254.169.254/latest", "file:///etc/passwd",
     "ftp://h/x", "https://user:pw@127.0.0.1/x", "http://[::ffff:10.0.0.1]/x", "https://", "http://\x00"],
)  # fmt: skip
def test_a_redirect_to_where_files_may_not_come_from_is_not_followed(tmp_path, location):
    ran, _ = fetch(tmp_path, raw(head(302, {"location": location.replace("\x00", "%00")}, length=0)))

    assert type(ran.error) is e.DownloadFailed
    assert len(ran.server.seen) == 1


def test_a_circle_of_redirects_ends(tmp_path):
    ran, _ = fetch(tmp_path, raw(head(302, {"location": "/again"}, length=0), close=False))

    assert "redirects too often" in str(ran.error)
    assert len(ran.server.seen) == 6


# ------------------------------------------------------------------ addresses


class Fake(httpx.AsyncBaseTransport):
    """Answers with a file and writes down who was asked."""

    asked: ClassVar[list[httpx.Request]] = []

    async def handle_async_request(self, request):
        Fake.asked.append(request)
        return httpx.Response(200, content=b"file", headers={"content-length": "4"})


def remote(tmp_path, url, addresses, *, local=False):
    """A download whose names are looked up in a table: the error's text, or the request that was made."""
    Fake.asked = []

    async def resolve(host, _port):
        if host not in addresses:
            raise OSError("unknown")
        return addresses[host]

    async def scenario():
        downloads = Downloads(local=local, factory=lambda _route: Fake(), sleep=Naps(), resolve=resolve)
        try:
            await downloads.fetch(url, tmp_path / "f", max_bytes=100)
        except e.DownloadFailed as error:
            return str(error)
        finally:
            await downloads.aclose()
        return Fake.asked[-1]

    return asyncio.run(scenario())


def test_the_connection_goes_to_the_address_that_was_checked_under_the_host_s_name(tmp_path):
    request = remote(tmp_path, "https://storage.elumenta.ru:8443/a?sig=1", {"storage.elumenta.ru": ["93.184.216.34"]})

    assert (request.url.host, request.url.port, request.url.query) == ("93.184.216.34", 8443, b"sig=1")
    assert request.headers["host"] == "storage.elumenta.ru:8443"
    assert request.extensions["sni_hostname"] == "storage.elumenta.ru"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
     "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
     "198.18.0.1", "192.0.2.1"],
)  # fmt: skip
def test_a_name_that_points_inside_is_refused(tmp_path, address):
    said = remote(tmp_path, "https://cdn.example/a", {"cdn.example": ["93.184.216.34", address]})

    assert "not on the public network" in said
    assert Fake.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://storage.elumenta.ru/a", "https://10.0.0.1/a", "https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "ftp://x/a",
     "file:///etc/passwd", "HTTP://x/a", "//x/a", "x", "", "https://", "https://u:p@storage.elumenta.ru/a", "data:text/plain,x",
     "https://2130706433/a", "https://0x7f.1/a", "https://127.1/a", "javascript:alert(1)", "https://storage.elumenta.ru:99999/a"],
)  # fmt: skip
def test_an_address_that_files_may_not_come_from_is_refused_before_a_connection(tmp_path, url):
    names = {
        "storage.elumenta.ru": ["93.184.216.34"],
        "2130706433": ["127.0.0.1"],
        "0x7f.1": ["127.0.0.1"],
        "127.1": ["127.0.0.1"],
    }
    said = remote(tmp_path, url, names)

    assert isinstance(said, str)
    assert Fake.asked == []


def test_an_api_on_this_machine_may_have_its_files_here_and_nowhere_else_inside(tmp_path):
    table = {"localhost": ["127.0.0.1"], "nas": ["192.168.1.5"], "far": ["93.184.216.34"]}

    assert remote(tmp_path, "http://localhost:9/a", table, local=True).url.host == "127.0.0.1"
    assert remote(tmp_path, "https://far/a", table, local=True).url.host == "93.184.216.34"
    assert "public network" in remote(tmp_path, "https://nas/a", table, local=True)
    assert "not https" in remote(tmp_path, "http://far/a", table, local=True)


def test_an_unknown_host_is_named(tmp_path):
    assert "nowhere.example" in remote(tmp_path, "https://nowhere.example/secret?sig=5", {})


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True), ("2002:808:808::", True),
     ("192.0.0.8", False), ("240.0.0.1", False), ("2001:db8::1", False)],
)  # fmt: skip
def test_what_public_means(address, public):
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_silent_server_is_given_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "READ_S", 0.1)
    ran, _ = fetch(tmp_path, silence(3))

    assert type(ran.error) is e.DownloadFailed
    assert json.dumps(str(ran.error))
