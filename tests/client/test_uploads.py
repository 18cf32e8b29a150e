"""A file on its way to the server: one that changes meanwhile, and a server that does not want it."""

import asyncio
import os
import socket
import struct
import threading

import httpx
import pytest
from scripted_server import Told, play, reply

from elumenta_nb import _errors as e
from elumenta_nb._client._http1 import Connection, Sending
from elumenta_nb._client._routes import route_to
from elumenta_nb._values import Call, Input

DONE = {"id": 18473, "status": "completed", "model_slug": "whisper", "result_text": "Hello", "tokens_spent": 2}


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_recording_that_changes_while_it_is_sent_ends_the_call_at_once(tmp_path, size):
    file = tmp_path / "a.mp3"
    file.write_bytes(bytes(2_000_000))
    call = Call(category="stt", model="whisper", inputs=(Input(param="audio", path=file),))

    class Changes(Told):
        def sent(self):
            os.truncate(file, size)

    ran = play(reply(DONE), do=lambda client: asyncio.wait_for(client.create(call, Changes()), 5))

    assert type(ran.error) is e.TransportError
    assert "changed while it was sent" in str(ran.error)
    assert (ran.error.spent, ran.server.seen) == ("maybe", [])


def test_an_upload_that_the_server_hangs_up_on_writes_nothing_to_the_log(caplog):
    def refuse(server):
        taken, _ = server.accept()
        taken.recv(10)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        taken.close()

    async def send(port, refusing):
        async def pieces():
            yield b"x" * 20
            refusing.join()  # the loop does not see yet that the connection is gone
            for _ in range(20):
                yield b"x" * 20

        url = httpx.URL(f"http://127.0.0.1:{port}/stt")
        fields = [(b"host", b"127.0.0.1"), (b"content-length", b"420")]
        connection = Connection(route_to("http", "127.0.0.1", port), keepalive_s=5)
        await connection.send(Sending("POST", url, fields, None, {}, pieces(), length=420))

    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = threading.Thread(target=refuse, args=(server,))
        refusing.start()
        with pytest.raises(httpx.TransportError):
            asyncio.run(send(server.getsockname()[1], refusing))

    assert not [record for record in caplog.records if record.name == "asyncio"]
