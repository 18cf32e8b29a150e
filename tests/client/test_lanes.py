"""A connection that a cancelled request leaves behind is not used again: the next request would wait for it in vain."""

from __future__ import annotations

import asyncio

import pytest

from elumenta_nb._client import Client
from elumenta_nb.sandbox import serve


async def stopped_after(client: Client, steps: int) -> bool:
    """Ask for the balance and cancel after so many steps of the loop; whether it was still running then."""
    asking = asyncio.ensure_future(client.balance())
    for _ in range(steps):
        await asyncio.sleep(0)
        if asking.done():
            break
    stopped = asking.cancel()
    await asyncio.wait({asking})
    return stopped


def test_whenever_a_request_is_cancelled_the_next_one_is_answered():
    with serve() as server:

        async def play() -> int:
            client = Client(base_url=server.url, key=lambda: server.api_key)
            steps = 1
            while await stopped_after(client, steps):
                assert (await asyncio.wait_for(client.balance(), 5)).tokens == 1500, f"cancelled after {steps} steps"
                await client.aclose()  # every round begins with a new connection
                steps += 1
                if steps > 400:
                    pytest.fail("the request never ended")
            await client.aclose()
            return steps

        assert asyncio.run(play()) > 3
