"""Was a byte of the request written? Decided by the transport's trace, never by the class of an exception."""

import asyncio
import socket

import httpx
import pytest
from scripted_server import DROP, KEY, TEXT, Naps, Server, Told, play, reply, reset, silence

from elumenta_nb import _errors as e
from elumenta_nb._client import Client, _exchange, http_transport

DONE = {"id": 1, "status": "completed", "result_text": "Hello", "tokens_spent": 3}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_is_not_sent_and_tried_a_few_times():
    ran = play(reply(DONE), url=f"http://127.0.0.1:{closed_port()}/api/v2")

    assert type(ran.error) is e.TransportError
    assert (ran.error.spent, ran.told.times_sent, ran.server.seen) == ("no", 0, [])
    assert len(ran.naps.taken) == len(ran.told.retries) == 3


def test_an_unknown_host_is_not_sent():
    ran = play(reply(DONE), url="https://no-such-host.invalid/api/v2")

    assert type(ran.error) is e.TransportError
    assert (ran.error.spent, ran.told.times_sent) == ("no", 0)


def test_a_connection_that_is_never_made_is_not_sent(monkeypatch):
    monkeypatch.setattr(_exchange, "CONNECT_S", 0.15)
    _exchange.timeouts.cache_clear()
    with socket.socket() as deaf:  # its queue is full: the next connection hangs
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        ran = play(reply(DONE), url=f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v2")
        for filler in fillers:
            filler.close()
    _exchange.timeouts.cache_clear()

    assert (ran.error.spent, ran.told.times_sent) == ("no", 0)


def test_a_tls_handshake_that_fails_is_not_sent():
    async def scenario():
        async def plain(_reader, writer):
            writer.write(b"HTTP/1.1 400 this is not TLS\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        told, client = Told(), Client(base_url=f"https://127.0.0.1:{port}/api/v2", key=lambda: KEY, sleep=Naps())
        try:
            with pytest.raises(e.TransportError) as caught:
                await client.create(TEXT, told)
        finally:
            await client.aclose()
            server.close()
        return caught.value, told

    error, told = asyncio.run(scenario())

    assert (error.spent, told.times_sent) == ("no", 0)


@pytest.mark.parametrize("act", [DROP, reset(), silence(0.2)], ids=["closed", "reset", "closed after a while"])
def test_a_connection_lost_after_the_request_is_open_and_not_sent_again(act):
    async def then_close(reader, writer):
        await act(reader, writer)
        writer.close()

    ran = play(then_close, reply(DONE))

    assert type(ran.error) is e.TransportError
    assert (ran.error.spent, ran.told.times_sent, len(ran.server.seen)) == ("maybe", 1, 1)


def test_a_connection_closed_before_the_request_was_read_is_open_because_a_byte_was_written():
    ran = play(server=Server([reply(DONE)], drop_connections=1))

    assert (ran.error.spent, ran.server.seen) == ("maybe", [])


def test_an_idle_connection_that_the_server_closed_is_not_used():
    async def twice(client):
        await client.create(TEXT, Told())
        await asyncio.sleep(0.3)
        return await client.create(TEXT, Told())

    ran = play(server=Server([reply(DONE)], idle_s=0.1), do=twice)

    assert ran.value.tokens == 3
    assert ran.server.connections == 2


def test_no_answer_in_time_is_open(monkeypatch):
    from elumenta_nb._client import _api

    monkeypatch.setattr(_api, "PAID_S", 0.2)
    ran = play(silence(5), reply(DONE))

    assert (ran.error.spent, len(ran.server.seen)) == ("maybe", 1)


# ------------------------------------------------------------------ transports of others


class Silent(httpx.AsyncBaseTransport):
    """A transport that gives no trace: nobody can say whether it wrote anything."""

    def __init__(self, error=None, response=None, wait_s=0.0):
        self.error, self.response, self.wait_s, self.calls = error, response, wait_s, 0

    async def handle_async_request(self, request):
        self.calls += 1
        await asyncio.sleep(self.wait_s)
        if self.error is not None:
            raise self.error
        return httpx.Response(200, json=self.response)


@pytest.mark.parametrize("kind", [httpx.ConnectTimeout, httpx.ConnectError, httpx.ReadError, RuntimeError, OSError])
def test_a_transport_without_a_trace_is_taken_to_have_sent_whatever_it_raises(kind):
    transport = Silent(error=kind("x"))
    ran = play(reply(DONE), transport_factory=lambda _route: transport)

    assert (ran.error.spent, ran.told.times_sent, transport.calls) == ("maybe", 1, 1)


def test_a_transport_without_a_trace_can_answer():
    ran = play(reply(DONE), transport_factory=lambda _route: Silent(response=DONE))

    assert (ran.value.tokens, ran.told.times_sent) == (3, 1)


def test_stopping_a_transport_without_a_trace_counts_as_sent():
    async def stop(client):
        told = Told()
        task = asyncio.ensure_future(client.create(TEXT, told))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        return told.times_sent

    ran = play(reply(DONE), do=stop, transport_factory=lambda _route: Silent(wait_s=5))

    assert ran.value == 1


def test_stopping_before_the_connection_is_made_counts_as_not_sent():
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await request.extensions["trace"]("connection.connect_tcp.started", {"request": request})
            await asyncio.sleep(5)

    async def stop(client):
        told = Told()
        task = asyncio.ensure_future(client.create(TEXT, told))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        return told.times_sent

    ran = play(reply(DONE), do=stop, transport_factory=lambda _route: Slow())

    assert ran.value == 0


def test_httpx_s_own_transport_through_the_seam_is_known_by_its_trace():
    ran = play(
        reply(DONE),
        url=f"http://127.0.0.1:{closed_port()}/api/v2",
        transport_factory=lambda route: http_transport(route),
    )

    assert (ran.error.spent, ran.told.times_sent) == ("no", 0)


def test_the_factory_is_told_the_route():
    routes = []

    def factory(route):
        routes.append(route)
        return http_transport(route)

    ran = play(reply(DONE), transport_factory=factory)

    assert ran.value.tokens == 3
    assert [(route.scheme, route.proxy) for route in routes] == [("http", None)]


def test_a_hundred_calls_at_once_have_a_connection_each_and_keep_only_some():
    async def act(_reader, writer):
        await asyncio.sleep(0.05)
        await reply(DONE)(_reader, writer)

    async def many(client):
        replies = await asyncio.gather(*(client.create(TEXT, Told()) for _ in range(100)))
        lanes = client._line._lanes
        return len(replies), len(lanes._idle), lanes.busy

    ran = play(act, do=many)

    assert ran.value == (100, 32, 0)
    assert ran.server.connections == 100
