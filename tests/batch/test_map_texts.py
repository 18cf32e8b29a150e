"""The file of a map's texts and those that come home when the map has ended."""

import asyncio

import pytest

from elumenta_nb._texts import Texts
from elumenta_nb._values import Call, Origin, Reply
from elumenta_nb._wiring import runtime


@pytest.fixture
def services(world):
    return world.session.services()


def keep(texts: Texts, services, n: int):
    call = Call(category="text", model="gpt-5", prompt=f"p{n}", origin=Origin(source="batch"))
    reply = Reply(id=n, text=f"text {n}", status="completed")
    return texts.keep(call, reply, api=services.api, fingerprint=f"{n:064x}", tokens=1, call_id=n)


def kept(services) -> dict[int, str]:
    return {take.call_id: services.store.of_call(take.call_id, services.api).text for take in services.store.known()}


def test_a_text_that_comes_after_the_close_is_on_the_disk_when_it_is_told(services):
    async def go() -> str:
        texts = Texts(services.store, "late")
        keep(texts, services, 1)
        await texts.close()
        keep(texts, services, 2)
        now = kept(services)
        keep(texts, services, 3)
        await texts.close()
        assert now == {1: "text 1", 2: "text 2"}
        return texts.trouble

    assert runtime.call(go) == ""
    assert kept(services) == {1: "text 1", 2: "text 2", 3: "text 3"}
    assert len(list(services.store.folder.glob("texts-*"))) == 1


def test_a_text_that_comes_while_it_is_closed_is_kept_and_the_first_one_may_come_after(services):
    async def go() -> None:
        texts, empty = Texts(services.store, "busy"), Texts(services.store, "empty")
        keep(texts, services, 1)
        closing = asyncio.ensure_future(texts.close())
        await asyncio.sleep(0)
        keep(texts, services, 2)
        await closing
        await empty.close()
        keep(empty, services, 3)

    runtime.call(go)
    assert kept(services) == {1: "text 1", 2: "text 2", 3: "text 3"}


def test_a_late_text_that_the_disk_does_not_take_is_an_error_and_no_take(services):
    async def go() -> None:
        texts = Texts(services.store, "refused")
        keep(texts, services, 1)
        await texts.close()
        file = services.store.folder / texts.name
        file.unlink()
        file.mkdir()  # whoever does it, as root too
        for n in (2, 3):
            with pytest.raises(OSError, match="directory"):
                keep(texts, services, n)
        file.rmdir()

    runtime.call(go)
    assert kept(services) == {}
