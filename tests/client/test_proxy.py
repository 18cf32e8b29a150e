"""Proxies of the environment, with a real CONNECT proxy and a test certificate; this machine is never asked through one."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from scripted_server import KEY, TEXT, Naps, Server, Told, play, reply

from elumenta_nb import _errors as e
from elumenta_nb._client import Client, _routes
from elumenta_nb._client._routes import proxy_for

TLS = Path(__file__).parent / "tls"
DONE = {"id": 1, "status": "completed", "result_text": "Hello", "tokens_spent": 3}


@pytest.fixture(autouse=True)
def _test_certificate(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    _routes._system_certificates.cache_clear()
    yield
    _routes._system_certificates.cache_clear()


class Proxy:
    """A proxy that tunnels every host to one port, and writes down what it was asked."""

    def __init__(self, *, to: int = 0, answer: bytes = b"", drop: bool = False):
        self.to, self.answer, self.drop = to, answer, drop
        self.heads: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.answer or self.drop:
                writer.write(self.answer)
                await writer.drain()
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                there = await asyncio.open_connection("127.0.0.1", self.to)
                await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        writer.close()

    async def _pump(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def run(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def secure(server: Server):
    """The scripted server behind TLS for `api.test` and `media.test`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    running = await asyncio.start_server(server._serve, "127.0.0.1", 0, ssl=context)
    yield running.sockets[0].getsockname()[1]
    running.close()


def through(proxy_options, monkeypatch, act, *, do=None, variable="HTTPS_PROXY", base_url="https://api.test/api/v2"):
    """One call through the proxy: its value or error, the proxy, the server, the watch."""

    async def scenario():
        server = Server([act])
        async with secure(server) as port, Proxy(**{"to": port, **proxy_options}).run() as proxy:
            monkeypatch.setenv(variable, proxy.url.replace("http://", "http://me:secret@"))
            told = Told()
            client = Client(base_url=base_url, key=lambda: KEY, sleep=Naps())
            try:
                value = await (do(client) if do else client.create(TEXT, told))
            except e.ElumentaError as error:
                value = error
            finally:
                await client.aclose()
            return value, proxy, server, told

    return asyncio.run(scenario())


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_call_goes_through_the_tunnel_and_the_proxy_never_sees_the_key(monkeypatch, variable):
    value, proxy, server, told = through({}, monkeypatch, reply(DONE), variable=variable)

    assert (value.tokens, told.times_sent) == (3, 1)
    assert proxy.heads[0].startswith("CONNECT api.test:443 ")
    assert "Proxy-Authorization: Basic" in proxy.heads[0]
    assert KEY not in "".join(proxy.heads)
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.seen[0].headers["host"] == "api.test"


@pytest.mark.parametrize(
    "proxy",
    [
        {"answer": b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"},
        {"answer": b"HTTP/1.1 502 Bad Gateway\r\n\r\n"},
        {"answer": b"garbage\r\n\r\n"},
        {"drop": True},
    ],
    ids=["407", "502", "garbage", "dropped"],
)
def test_a_proxy_that_makes_no_tunnel_has_sent_nothing(monkeypatch, proxy):
    error, _, server, told = through(proxy, monkeypatch, reply(DONE))

    assert type(error) is e.TransportError
    assert (error.spent, told.times_sent, server.seen) == ("no", 0, [])
    assert "secret" not in f"{error} {error.hint}"


def test_a_proxy_that_is_not_there_has_sent_nothing(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    ran = play(reply(DONE), url="https://api.test/api/v2")

    assert (type(ran.error), ran.error.spent, ran.told.times_sent) == (e.TransportError, "no", 0)


def test_a_certificate_of_another_host_is_refused_before_anything_is_sent(monkeypatch):
    error, _, server, told = through({}, monkeypatch, reply(DONE), base_url="https://other.test/api/v2")

    assert type(error) is e.TransportError
    assert (error.spent, told.times_sent, server.seen, told.retries) == ("no", 0, [], [])


def test_an_unknown_authority_is_refused(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    error, _, server, told = through({}, monkeypatch, reply(DONE))

    assert (type(error), error.spent, server.seen, told.times_sent) == (e.TransportError, "no", [], 0)


def test_a_file_comes_through_the_tunnel_too_and_without_the_key(monkeypatch, tmp_path):
    value, proxy, server, _ = through(
        {},
        monkeypatch,
        reply(b"file", headers={"content-type": "image/png"}),
        do=lambda client: client.download("https://media.test/a.png", tmp_path / "a", max_bytes=100),
    )

    assert value.size_bytes == 4
    assert proxy.heads[0].startswith("CONNECT media.test:443 ")
    assert "authorization" not in server.seen[0].headers


def test_an_address_inside_is_not_asked_for_through_a_proxy_either(monkeypatch, tmp_path):
    error, proxy, _, _ = through(
        {},
        monkeypatch,
        reply(b"x"),
        do=lambda client: client.download("https://169.254.169.254/a", tmp_path / "a", max_bytes=9),
    )

    assert type(error) is e.DownloadFailed
    assert proxy.heads == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_this_machine_is_never_asked_through_a_proxy(monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    ran = play(reply(DONE))

    assert ran.value.tokens == 3


@pytest.mark.parametrize(
    ("environment", "host", "through_it"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "elumenta.ru", True),
        ({"HTTPS_PROXY": "p:1"}, "elumenta.ru", True),
        ({"ALL_PROXY": "http://p:1"}, "elumenta.ru", True),
        ({"HTTP_PROXY": "http://p:1"}, "elumenta.ru", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "elumenta.ru"}, "elumenta.ru", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".elumenta.ru"}, "storage.elumenta.ru", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "lumenta.ru"}, "elumenta.ru", True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "elumenta.ru", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "10.1.2.3", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8,x/y"}, "11.1.2.3", True),
        ({"HTTPS_PROXY": "http://p:1"}, "localhost", False),
        ({"HTTPS_PROXY": "http://p:1"}, "127.0.0.1", False),
        ({"HTTPS_PROXY": "http://p:1"}, "127.8.8.8", False),
        ({"HTTPS_PROXY": "http://p:1"}, "::1", False),
        ({"HTTPS_PROXY": ""}, "elumenta.ru", False),
        ({}, "elumenta.ru", False),
    ],
)
def test_which_proxy_the_environment_means(monkeypatch, environment, host, through_it):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for("https", host, None) == ("http://p:1" if through_it else None)


@pytest.mark.parametrize(
    "proxy", ["gopher://me:secret@p:1", "http://me:secret@p:notaport", "socks5://me:secret@127.0.0.1:1"]
)
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    ran = play(reply(DONE), url="https://api.test/api/v2")

    assert isinstance(ran.error, e.ConfigError | e.TransportError)
    assert (ran.error.spent, ran.told.times_sent) == ("no", 0)
    assert "secret" not in f"{ran.error} {ran.error.hint} {ran.error.__context__!r}"


def test_a_route_does_not_show_the_proxy_s_password(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@p:1")

    assert "secret" not in repr(_routes.route_to("https", "elumenta.ru", None))
