"""One sandbox for each reply family, as new for every test; and a client that speaks both families."""

from __future__ import annotations

import time

import httpx
import pytest

from elumenta_nb.sandbox import serve


class Caller:
    """Raw HTTP with the few differences of the families behind one name each."""

    def __init__(self, server, dialect, key=None):
        self.server = server
        self.dialect = dialect
        self.http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {key or server.api_key}"},
            timeout=30,
            trust_env=False,
            verify=False,  # plain http: no certificates to load
        )

    def post(self, path, body=None, **more):
        return self.http.post(path, json=body, **more)

    def get(self, path, **more):
        return self.http.get(path, **more)

    def field(self, reply, name):
        """A field by the name of family a."""
        names = {
            "tokens_spent": ("tokens_spent", "tokens_used"),
            "result_text": ("result_text", "content"),
            "result_url": ("result_url", "url", "output_url"),
            "model_slug": ("model_slug", "model"),
        }[name]
        return next((reply[name] for name in names if reply.get(name) is not None), None)

    def generate(self, model, prompt="a boat", **params):
        """A generation followed to its end."""
        reply = self.post("/generate", {"model": model, "prompt": prompt, "text": prompt, "params": params})
        assert reply.status_code == 200, reply.text
        return self.follow(reply.json())

    def follow(self, reply):
        limit = time.monotonic() + 20
        while reply["status"] == "pending" and time.monotonic() < limit:
            time.sleep(0.02)
            reply = self.poll(reply["id"]).json()
        return reply

    def poll(self, number):
        return self.get(f"/generate/{number}" if self.dialect == "a" else f"/generate/status/{number}")

    @property
    def balance(self):
        return self.get("/balance").json()["token_balance"]

    def history(self, **query):
        return self.get("/user/history", params=query).json()

    def stream(self, prompt="Hello there", model="gpt-5"):
        if self.dialect == "a":
            return self.http.stream("POST", "/generate/stream", json={"model": model, "prompt": prompt})
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}
        return self.http.stream("POST", "/generate", json=body)

    def file(self, url, **more):
        return httpx.get(url, trust_env=False, verify=False, **{"timeout": 30, **more})


@pytest.fixture(scope="session")
def _servers():
    with serve(dialect="a", time_scale=0) as a, serve(dialect="b", time_scale=0) as b:
        yield {"a": a, "b": b}


@pytest.fixture(params=["a", "b"])
def dialect(request):
    return request.param


@pytest.fixture
def server(_servers, dialect):
    """The family's server, as new: VIP, 1,500 tokens, an empty history."""
    found = _servers[dialect]
    found.control("plan", "vip")
    found.control("reset")
    found.faults.clear()
    found.seen.clear()
    return found


@pytest.fixture
def caller(server, dialect):
    made = Caller(server, dialect)
    yield made
    made.http.close()


@pytest.fixture
def connect():
    """Callers for servers a test starts itself."""
    made = []

    def connect(server, dialect="a", key=None):
        made.append(Caller(server, dialect, key))
        return made[-1]

    yield connect
    for caller in made:
        caller.http.close()
