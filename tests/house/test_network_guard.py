"""The guard that keeps the suite on this machine."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

REFUSED = "NetworkRefused"


def refused(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    return type(excinfo.value).__name__ == REFUSED


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("10.0.0.1", 443)])
def test_a_connection_off_this_machine_is_refused_before_it_is_made(address):
    with socket.socket() as sock, pytest.raises(RuntimeError) as excinfo:
        sock.connect(address)

    assert refused(excinfo)


def test_a_connection_of_an_event_loop_is_refused():
    async def attempt() -> None:
        await asyncio.open_connection("192.0.2.1", 80)

    with pytest.raises(RuntimeError) as excinfo:
        asyncio.run(attempt())

    assert refused(excinfo)


@pytest.mark.parametrize(
    "ask", [lambda: socket.getaddrinfo("elumenta.ru", 443), lambda: socket.gethostbyname("elumenta.ru")]
)
def test_a_name_is_not_looked_up(ask):
    with pytest.raises(RuntimeError) as excinfo:
        ask()

    assert refused(excinfo)


def test_a_datagram_off_this_machine_is_refused():
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(RuntimeError) as excinfo:
        sock.sendto(b"x", ("192.0.2.1", 53))

    assert refused(excinfo)


def test_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taker = threading.Thread(target=lambda: server.accept()[0].close())
        taker.start()
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client:
            peer = client.getpeername()
        taker.join(5)

    assert peer[0] in ("127.0.0.1", "::1")


def test_a_python_that_a_test_starts_is_guarded_too():
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert REFUSED in done.stderr
