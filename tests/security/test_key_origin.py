"""S2: the key goes to the API's own origin and to nobody else, whatever a server answers; real servers listen for it."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

import httpx
import pytest
from leak_paths import traces
from strange_api import DONE, Heard, StrangeApi, Told

import elumenta_nb as el
from elumenta_nb._client import _routes
from elumenta_nb._client._download import Downloads
from elumenta_nb._client._line import _signer
from elumenta_nb._values import Ask, Origin

KEY = "nb_live_Zq7Kx2Vt9Lm4Rw8Jc3Hd6Pf1Ys5Ng0Ba7Ue4Io"
TLS = Path(__file__).parents[1] / "client" / "tls"
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0"
    b"\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)
STATUSES = [300, 301, 302, 303, 307, 308]


def got_key(*servers: StrangeApi) -> list[str]:
    """The requests of these servers in which the key can be found, in any form."""
    return [heard.everything for server in servers for heard in server.heard if traces(heard.everything, KEY)]


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0.001)


class Quick(el.Session):
    """Waits for nothing."""

    sleep = staticmethod(at_once)


def session_at(api: str, home: Path, **settings) -> el.Session:
    session = Quick(api_key=KEY, base_url=api, home=home, media_dir=home / "media", reuse="off", **settings)
    session.services().client._sleep = at_once
    return session


CALLS = {
    "generate": lambda s: s.generate("gpt-5", "hello"),
    "stream": lambda s: list(s.stream("gpt-5", "hello")),
    "balance": lambda s: s.balance(),
    "price": lambda s: s.quote("gpt-5"),
    "me": lambda s: s.me(),
    "stats": lambda s: s.stats(),
    "history": lambda s: s.account_history(),
    "models": lambda s: s.served_models(),
    "doctor": lambda s: s.doctor(),
}

# {api} and {other} are ports of this machine; all but the first lead to the other server, or would if believed
PLACES = {
    "the same origin, another path": "http://127.0.0.1:{api}/elsewhere",
    "another port": "http://127.0.0.1:{other}/api/v2/balance",
    "another host": "http://127.0.0.2:{other}/api/v2/balance",
    "another name": "http://localhost:{other}/api/v2/balance",
    "no scheme": "//127.0.0.1:{other}/api/v2/balance",
    "capitals": "HTTP://127.0.0.1:{other}/api/v2/balance",
    "a user": "http://127.0.0.1:{api}@127.0.0.1:{other}/",
    "a user and a password": "http://elumenta.ru:443@127.0.0.1:{other}/",
    "backslashes": "http:\\\\127.0.0.1:{other}\\",
    "one slash": "http:/127.0.0.1:{other}/",
    "a tab": "http://127.0.0.1\t:{other}/",
    "a fragment that looks like the API": "http://127.0.0.1:{other}/#@127.0.0.1:{api}/api/v2",
    "v6": "http://[::1]:{other}/",
    "a number for a host": "http://2130706433:{other}/",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_redirect_of_any_kind_is_not_followed_with_the_key(tmp_path, place):
    """Every status, every request: the other server never hears of it, and what is paid is sent once."""
    with StrangeApi() as other, StrangeApi() as api:
        where = PLACES[place].format(api=api.port, other=other.port)
        session = session_at(api.url, tmp_path)
        session.balance()
        for status in STATUSES:
            api.answer = lambda heard, status=status: Told(
                b"", status, {"location": where, "refresh": f"0;url={where}"}
            )
            for name, call in CALLS.items():
                before = len(api.of("POST", "/generate"))
                with contextlib.suppress(el.ElumentaError):
                    call(session)
                assert len(api.of("POST", "/generate")) - before <= (1 if name != "stream" else 2)
        session.close()

    assert other.heard == []
    assert all(heard.target.startswith("/api/v2/") for heard in api.heard)
    assert len(got_key(api)) == len(api.heard) > len(STATUSES) * 8


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirected_purchase_says_where_to_and_that_it_may_be_charged(tmp_path, status):
    with StrangeApi() as api:
        session = session_at(api.url, tmp_path)
        session.quote("gpt-5")
        api.answer = lambda heard: (
            Told(b"", status, {"location": "https://evil.example/steal"}) if heard.path == "/generate" else None
        )
        with pytest.raises(el.ElumentaError) as caught:
            session.generate("gpt-5", "hello")
        session.close()

    assert "evil.example" in f"{caught.value}"
    assert len(api.of("POST", "/generate")) == 1


def test_cookies_alternative_services_and_netrc_change_nothing(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {KEY}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with StrangeApi() as other, StrangeApi() as api:
        offers = {
            "set-cookie": f"session={KEY}; Path=/; Domain=127.0.0.1",
            "alt-svc": f'h2="127.0.0.1:{other.port}"; ma=86400',
            "link": f"<http://127.0.0.1:{other.port}/>; rel=preload",
        }
        api.answer = lambda heard: Told({"token_balance": 5}, headers=offers) if heard.path == "/balance" else None
        session = session_at(api.url, tmp_path / "home")
        for _time in range(3):
            session.balance()
        session.close()

    assert other.heard == []
    assert {name.lower() for heard in api.heard for name, _ in heard.headers} <= {
        "host", "accept", "user-agent", "accept-encoding", "authorization", "content-type", "content-length",
    }  # fmt: skip


# ------------------------------------------------------------------ files


MEDIA = {
    "on another port": "http://127.0.0.1:{other}/a.png",
    "on the API's own origin": "http://127.0.0.1:{api}/storage/a.png",
    "below the API's own path": "http://127.0.0.1:{api}/api/v2/storage/a.png",
    "on another name": "http://localhost:{other}/a.png",
    "with a scheme in capitals": "HTTP://127.0.0.1:{other}/a.png",
    "behind a redirect": "http://127.0.0.1:{api}/storage/moved?to=http://127.0.0.1:{other}/a.png",
    "behind a redirect to the API": "http://127.0.0.1:{other}/moved?to=http://127.0.0.1:{api}/api/v2/balance",
}


@pytest.mark.parametrize("place", MEDIA)
def test_a_file_is_fetched_without_it_wherever_it_lies(tmp_path, place):
    def files(heard: Heard) -> Told | None:
        if "moved" in heard.path or "moved" in heard.target:
            return Told(b"", 307, {"location": heard.target.split("to=")[1]})
        if heard.method == "GET" and ("a.png" in heard.target or not heard.header("authorization")):
            return Told(PNG, headers={"content-type": "image/png"})
        return None

    with StrangeApi(files) as other, StrangeApi() as api:
        url = MEDIA[place].format(api=api.port, other=other.port)
        done = {**DONE, "result_text": None, "result_url": url, "thumbnail_url": url, "model_slug": "dall-e-3"}
        api.answer = lambda heard: Told(done) if heard.path == "/generate" else files(heard)
        session = session_at(api.url, tmp_path)
        result = session.generate("dall-e-3", "a cat")
        session.close()
        fetched = [
            heard for heard in [*other.heard, *api.heard] if heard.method == "GET" and not heard.header("authorization")
        ]

    assert result.path.read_bytes() == PNG
    assert fetched
    assert got_key(other) == []
    assert all(heard.header("authorization") == "" for heard in fetched)


@pytest.mark.parametrize(
    "url", ["http://me:{key}@127.0.0.1:{other}/a.png", "http://127.0.0.1:{api}@127.0.0.1:{other}/a.png"]
)
def test_a_file_s_address_with_a_user_in_it_is_not_asked_for(tmp_path, url):
    with StrangeApi() as other, StrangeApi() as api:
        where = url.format(key="geheim", api=api.port, other=other.port)
        done = {**DONE, "result_text": None, "result_url": where}
        api.answer = lambda heard: Told(done) if heard.path == "/generate" else None
        session = session_at(api.url, tmp_path)
        with pytest.raises(el.DownloadFailed) as caught:
            session.generate("dall-e-3", "a cat")
        session.close()

    assert other.heard == []
    assert "geheim" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.spent == "yes"


# ------------------------------------------------------------------ which origins are the API's


BASE = "https://elumenta.ru/api/v2"
OTHERS = [
    "http://elumenta.ru/api/v2/balance", "https://elumenta.ru:444/api/v2", "https://elumenta.ru:80/", "https://elumenta.ru.evil.example/",
    "https://evil-elumenta.ru/", "https://api.elumenta.ru/", "https://storage.elumenta.ru/a.png", "https://elumenta.ru./",
    "https://elumenta.ru@evil.example/", "https://elumenta.ru:443@evil.example/", "https://me@elumenta.ru/", "https://me:pw@elumenta.ru/",
    "https://elumenta.com/", "https://elumenta.r/", "https://lumenta.ru/", "https://elumenta.rux/", "https://elumenta%2eru/",
    "https://elumenta.ru%00.evil.example/", "https://elumenta.ru%2eevil.example/", "https://evil.example/elumenta.ru",
    "https://evil.example/?https://elumenta.ru/api/v2", "https://evil.example#elumenta.ru", "https://еlumenta.ru/", "https://elumentа.ru/",
    "https://xn--lumenta-y7f.ru/", "https://elumenta。ru.evil.example/", "https://elumenta.ru。evil.example/", "https://elumenta-ru/",
    "ws://elumenta.ru/", "wss://elumenta.ru/", "ftp://elumenta.ru/", "https://127.0.0.1/", "https://[::1]/", "https://elumenta.ru:0/",
    "https://elumenta.ru:65535/", "https:///elumenta.ru/", "https://e1umenta.ru/", "https://elumenta.ru.:443/", "https://eelumenta.ru/",
    "https://www.elumenta.ru/", "file:///elumenta.ru", "https://elumenta.ruu/", "https://ELUMENTA.RU.EVIL.EXAMPLE/",
]  # fmt: skip


@pytest.mark.parametrize("url", OTHERS)
def test_a_lookalike_is_another_origin(url):
    try:
        request = httpx.Request("GET", url)
        assert request.url.host is not None
    except (httpx.InvalidURL, UnicodeError):
        return  # there is no such request
    _signer(lambda: KEY, httpx.URL(BASE))(request)

    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "url", ["https://elumenta.ru/api/v2/balance", "HTTPS://ELUMENTA.RU/x", "https://elumenta.ru:443/y"]
)
def test_the_same_origin_in_other_letters_is_the_same(url):
    request = httpx.Request("GET", url)
    _signer(lambda: KEY, httpx.URL(BASE))(request)

    assert request.headers["authorization"] == f"Bearer {KEY}"


# ------------------------------------------------------------------ TLS, through a real CONNECT proxy


class Proxy:
    """A proxy on loopback that tunnels each host to a port, and writes down all that it can read."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports, self.heads, self.seen = ports, [], bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://me:proxysecret@127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(65536)):
                    return
                head += more
            self.heads.append(head.decode("latin-1"))
            self.seen += head
            host = head.split()[1].decode().rpartition(":")[0]
            if not head.startswith(b"CONNECT") or host not in self.ports:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.ports[host])) as there:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                while True:
                    for one in select.select([client, there], [], [])[0]:
                        if not (data := one.recv(65536)):
                            return
                        self.seen += data
                        (there if one is client else client).sendall(data)


@pytest.fixture
def certificates(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    _routes._system_certificates.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    yield context
    _routes._system_certificates.cache_clear()


def test_over_tls_and_a_proxy_only_the_api_s_host_can_read_it(tmp_path, monkeypatch, certificates):
    """A purchase, its redirected file, and a redirect of the API to another host whose certificate is good."""

    def media(heard: Heard) -> Told:
        if heard.path == "/moved":
            return Told(b"", 302, {"location": "https://media.test/a.png"})
        return Told(PNG, headers={"content-type": "image/png"})

    done = {**DONE, "result_text": None, "result_url": "https://media.test/moved", "model_slug": "dall-e-3"}

    def api_of(heard: Heard) -> Told | None:
        if heard.path == "/generate":
            return Told(done)
        return (
            Told(b"", 308, {"location": "https://media.test/api/v2/user/stats"})
            if heard.path == "/user/stats"
            else None
        )

    with (
        StrangeApi(media, tls=certificates) as files,
        StrangeApi(api_of, tls=certificates) as api,
        Proxy({"api.test": api.port, "media.test": files.port}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        session = session_at("https://api.test/api/v2", tmp_path)
        result = session.generate("dall-e-3", "a cat")
        with pytest.raises(el.BadReply, match=r"media\.test"):
            session.stats()
        session.close()

    assert result.path.read_bytes() == PNG
    assert [heard.path for heard in files.heard] == ["/moved", "/a.png"]
    assert got_key(files) == []
    assert len(got_key(api)) == len(api.heard) >= 3
    assert traces(bytes(proxy.seen), KEY) == set()
    assert {head.split()[1] for head in proxy.heads} == {"api.test:443", "media.test:443"}


@pytest.mark.parametrize(
    "where", ["http://media.test/a.png", "HTTP://media.test/a.png", "http://api.test/api/v2/balance"]
)
def test_a_downgrade_to_http_is_not_followed(tmp_path, monkeypatch, certificates, where):
    done = {**DONE, "result_text": None, "result_url": "https://api.test/moved", "model_slug": "dall-e-3"}

    def api_of(heard: Heard) -> Told | None:
        if heard.path == "/generate":
            return Told(done)
        return Told(b"", 302, {"location": where}) if heard.path in ("/moved", "/user/stats") else None

    with (
        StrangeApi() as plain,
        StrangeApi(api_of, tls=certificates) as api,
        Proxy({"api.test": api.port, "media.test": plain.port}) as proxy,
    ):
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        session = session_at("https://api.test/api/v2", tmp_path)
        with pytest.raises(el.DownloadFailed, match="not https"):
            session.generate("dall-e-3", "a cat")
        with pytest.raises(el.BadReply):
            session.stats()
        session.close()

    assert plain.heard == []
    assert {head.split()[0] for head in proxy.heads} == {"CONNECT"}
    assert traces(bytes(proxy.seen), KEY) == set()


@pytest.mark.parametrize("names", [{"api.test": "other"}, {}], ids=["another certificate", "no tunnel"])
def test_where_the_other_end_is_not_the_api_nothing_is_signed(tmp_path, monkeypatch, certificates, names):
    """The proxy, or whoever sits on the way, leads the tunnel to a host with another name in its certificate."""
    with StrangeApi(tls=certificates) as other, Proxy({"elumenta.test": other.port} if names else {}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        session = session_at("https://elumenta.test/api/v2", tmp_path)
        for call in (session.balance, lambda: session.run(Ask(model="gpt-5", prompt="x"), Origin(source="python"))):
            with pytest.raises(el.TransportError) as caught:
                call()
            assert caught.value.spent == "no"
            assert "proxysecret" not in f"{caught.value} {caught.value.hint}"
        session.close()

    assert other.heard == []
    assert traces(bytes(proxy.seen), KEY) == set()


def test_a_file_s_server_is_greeted_by_its_name_although_it_is_asked_at_the_address_that_was_checked(
    tmp_path, certificates
):
    """Without a proxy: the certificate must be that of the name, and a connection for one name serves no other."""
    greeted: list[str | None] = []
    certificates.sni_callback = lambda _socket, name, _context: greeted.append(name)

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async def fetch(port: int) -> list[str]:
        downloads = Downloads(local=True, factory=None, sleep=at_once, resolve=resolve)
        said = []
        for host in ("media.test", "api.test", "media.test", "other.test", "127.0.0.1"):
            try:
                got = await downloads.fetch(f"https://{host}:{port}/a.png", tmp_path / "x", max_bytes=1000)
                said.append(f"{host} {got.size_bytes}")
            except el.DownloadFailed as error:
                said.append(str(error))
        await downloads.aclose()
        return said

    with StrangeApi(lambda _heard: Told(PNG), tls=certificates) as files:
        media, api, again, other, number = asyncio.run(fetch(files.port))

    assert (media, api, again) == (f"media.test {len(PNG)}", f"api.test {len(PNG)}", f"media.test {len(PNG)}")
    assert number == f"127.0.0.1 {len(PNG)}"
    assert "other.test" in other
    assert "certificate" in other.lower()
    assert greeted[:2] == ["media.test", "api.test"]
    assert "other.test" in greeted
    assert [heard.header("host").split(":")[0] for heard in files.heard] == [
        "media.test",
        "api.test",
        "media.test",
        "127.0.0.1",
    ]


def test_a_key_for_http_is_refused_unless_it_stays_on_this_machine(tmp_path):
    for url in (
        "http://elumenta.ru/api/v2",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
    ):
        with pytest.raises(el.ConfigError, match="http"):
            el.Session(api_key=KEY, base_url=url, home=tmp_path)


@pytest.mark.parametrize("host", ["xn--lumenta-y7f.ru", "a\u2028b.ru", "xn--.ru", "elumenta\u2024ru\u0338.ru"])
def test_a_name_that_cannot_exist_is_no_place_for_the_api(tmp_path, host):
    with pytest.raises(el.ConfigError, match="cannot be used"):
        el.Session(api_key=KEY, base_url=f"https://{host}/api/v2", home=tmp_path)


def test_a_name_in_cyrillic_that_exists_is_one(tmp_path):
    session = el.Session(api_key=KEY, base_url="https://пример.рф/api/v2", home=tmp_path)

    assert session.services().client is not None
    session.close()
