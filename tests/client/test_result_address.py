"""Where a result is: addresses as servers write them, at the API's host where they name none; the key never goes there."""

import pytest
from scripted_server import KEY, TEXT, Server, Told, play, reply

from elumenta_nb import _errors as e

FILE = b"\x89PNG\r\n\x1a\n" + b"x" * 100
PNG = reply(FILE, headers={"content-type": "image/png"})


def told(**fields):
    return {"id": 5, "status": "completed", "model_slug": "dall-e-3", "tokens_spent": 7, **fields}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/files/5.png", "/files/5.png"),
        ("/files/my cat.png?a=b c", "/files/my%20cat.png?a=b%20c"),
        ("/files/кот.png", "/files/%D0%BA%D0%BE%D1%82.png"),
        ([{"url": "/files/5.png"}], "/files/5.png"),
        ("/../5.png", "/5.png"),
        ("http://127.0.0.1:{port}/my cat.png", "/my%20cat.png"),
    ],
)
def test_a_file_that_was_paid_is_fetched_from_where_it_is(tmp_path, url, path):
    server = Server([])
    given = {"result_url": url}

    async def buy_and_fetch(client):
        if "{port}" in str(url):
            given["result_url"] = url.format(port=server.port)
        server.script = [reply(told(**given)), PNG]
        bought = await client.create(TEXT, Told())
        return await client.download(bought.url, tmp_path / "5.png", max_bytes=1000)

    ran = play(server=server, do=buy_and_fetch)

    assert ran.error is None
    assert (tmp_path / "5.png").read_bytes() == FILE
    asked = ran.server.seen[1]
    assert asked.path == path
    assert KEY not in str(asked)


def test_an_address_without_a_host_is_completed_wherever_a_generation_is_told():
    place = {"result_url": "/files/5.png", "thumbnail_url": "/files/5.jpg"}

    async def ask(client):
        one, (two,) = await client.poll(5), (await client.history()).items
        return [(one.url, one.thumbnail_url), (two.url, two.thumbnail_url)]

    ran = play(reply(told(**place)), reply({"items": [told(**place)], "total": 1}), do=ask)

    origin = f"http://127.0.0.1:{ran.server.port}"
    assert ran.value == [(f"{origin}/files/5.png", f"{origin}/files/5.jpg")] * 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("//storage.example/5.png", "not https"),
        ("//10.0.0.1/5.png", "not https"),
        ("//nobody:secret@127.0.0.1/5.png", "a password in it"),
        ("files/5.png", "not https"),
        ("///5.png", ""),
    ],
)
def test_an_address_of_another_host_goes_through_every_check(tmp_path, url, why):
    async def buy_and_fetch(client):
        bought = await client.create(TEXT, Told())
        return await client.download(bought.url, tmp_path / "5.png", max_bytes=1000)

    ran = play(reply(told(result_url=url)), reply(b"", status=404), do=buy_and_fetch)

    assert isinstance(ran.error, e.DownloadFailed)
    assert why in str(ran.error)
    assert all("authorization" not in seen.headers for seen in ran.server.seen[1:])
    assert not (tmp_path / "5.png").exists()
