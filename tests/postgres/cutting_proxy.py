"""A wire between a ledger and its server that can be cut at a chosen moment."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

Judge = Callable[[bytes, bool], str]
"""What to do with a piece of traffic (its bytes; true from the client): ``pass``, ``cut``, or ``pass and cut``."""


def passes(_piece: bytes, _from_client: bool) -> str:
    return "pass"


class Wire:
    """Listens on loopback and passes everything to a server's socket, as long as its judge lets it."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.judge: Judge = passes
        self.cuts = 0
        self.down = False
        self._judging = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := here.recv(65536):
                with self._judging:
                    verdict = self.judge(piece, from_client)
                    self.cuts += "cut" in verdict
                if verdict.startswith("pass"):
                    there.sendall(piece)
                if "cut" in verdict:
                    break
        for end in (here, there):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
