"""A server that answers a generation after a while and costs as little as it can: `python -m bench.latency SECONDS`.

It prints its port. For what many calls at once cost whoever makes them: two cores are shared with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
QUOTE = {"token_cost": 1, "min_token_cost": 1, "max_token_cost": 1, "pricing_type": "fixed"}
ME = {"id": 7, "name": "Bench", "plan": "elite", "token_balance": 10**6, "rate_limit_hourly": 0, "rate_limit_daily": 0}
BALANCE = {"token_balance": 10**6, "plan": "elite"}
LISTS = {"items": [], "total": 0, "page": 1, "limit": 100}
TOLD = {b"calculate-price": QUOTE, b"me": ME, b"balance": BALANCE}
numbers = count(1)


class Answers(asyncio.Protocol):
    wait_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.got = transport, b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        while (end := self.got.find(b"\r\n\r\n")) >= 0:
            head = self.got[:end].lower()
            told = head.find(b"content-length:")
            length = int(head[told + 15 :].split(b"\r\n", 1)[0]) if told >= 0 else 0
            if len(self.got) < end + 4 + length:
                return
            self.got = self.got[end + 4 + length :]
            self.answer(head.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[-1])

    def answer(self, name: bytes) -> None:
        if name != b"generate":
            self.write(json.dumps(TOLD.get(name, LISTS)).encode())
            return
        number = next(numbers)
        facts = {"id": number, "status": "completed", "model_slug": "gpt-5-nano", "tokens_spent": 1}
        body = json.dumps({**facts, "result_text": f"A line for a shop, number {number}."}).encode()
        asyncio.get_running_loop().call_later(self.wait_s, self.write, body)

    def write(self, body: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(HEAD % (len(body), body))


async def main() -> None:
    Answers.wait_s = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
