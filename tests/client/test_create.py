"""A paid request and every way it can end: what is returned or raised, whether it was charged, how often it was sent."""

import gzip
import json
import pickle

import pytest
from scripted_server import DROP, KEY, STREAM, TEXT, Server, Told, chunked, head, play, raw, reply, reset

from elumenta_nb import _errors as e
from elumenta_nb._values import Call, Input

DONE = {"id": 18473, "status": "completed", "model_slug": "gpt-5", "result_text": "Hello", "tokens_spent": 3}
DONE_B = {
    "id": "gen_1",
    "status": "completed",
    "model": "gpt-5",
    "content": "Hello",
    "tokens_used": 3,
    "balance_remaining": 297,
}
TTS = Call(category="tts", model="openai-tts", prompt="Read me")


def error(code, message="words", **more):
    return {"error": code, "message": message, "details": {}, **more}


@pytest.mark.parametrize(("body", "identity"), [(DONE, 18473), (DONE_B, "gen_1")], ids="AB")
def test_a_reply_of_either_family_is_returned(body, identity):
    ran = play(reply(body))

    assert (ran.value.id, ran.value.status, ran.value.text, ran.value.tokens) == (identity, "completed", "Hello", 3)
    assert (ran.told.times_sent, ran.told.ids, ran.server.paths) == (1, [identity], ["POST /generate"])


def test_a_pending_and_a_failed_reply_are_returned_too():
    pending = play(reply({"id": 5, "status": "pending"}))
    failed = play(reply({"id": 6, "status": "failed", "error": "Content policy violation", "tokens_spent": 0}))

    assert (pending.value.status, pending.told.ids) == ("pending", [5])
    assert (failed.value.status, failed.value.error, failed.value.tokens) == ("failed", "Content policy violation", 0)


# status, body, the error, spent, how often it is sent
STATUSES = [
    (400, error("bad_request"), e.Rejected, "no", 1),
    (401, error("not_authenticated"), e.AuthFailed, "no", 1),
    (401, error("token_expired"), e.AuthFailed, "no", 1),
    (402, error("insufficient_tokens"), e.InsufficientTokens, "no", 1),
    (403, error("insufficient_plan"), e.PlanRequired, "no", 1),
    (404, error("not_found"), e.NotFound, "no", 1),
    (405, b"", e.Rejected, "no", 1),
    (408, b"", e.ServerError, "maybe", 1),
    (409, b"<html>conflict</html>", e.ServerError, "maybe", 1),
    (425, b"", e.ServerError, "maybe", 1),
    (499, b"", e.ServerError, "maybe", 1),
    (413, b"<html>too large</html>", e.Rejected, "no", 1),
    (418, b"tea", e.ServerError, "maybe", 1),
    (422, error("validation_error", details={"size": "bad"}), e.Rejected, "no", 1),
    (429, error("rate_limit_exceeded", retry_after=2), e.RateLimited, "no", 4),
    (429, error("rate_limit_exceeded", retry_after=120), e.RateLimited, "no", 4),
    (429, error("rate_limit_exceeded", retry_after=121), e.RateLimited, "no", 1),
    (429, b"", e.RateLimited, "no", 4),
    (500, error("provider_error"), e.ServerError, "no", 1),
    (500, error("internal_error"), e.ServerError, "maybe", 1),
    (500, b"", e.ServerError, "maybe", 1),
    (500, b"<html>oops</html>", e.ServerError, "maybe", 1),
    (501, b"", e.ServerError, "maybe", 1),
    (502, b"<html>bad gateway</html>", e.ServerError, "maybe", 1),
    (502, error("provider_error"), e.ServerError, "maybe", 1),
    (503, error("model_unavailable"), e.ServerError, "no", 4),
    (503, b"", e.ServerError, "maybe", 1),
    (503, b"<html>maintenance</html>", e.ServerError, "maybe", 1),
    (504, b"", e.ServerError, "maybe", 1),
    (520, b"", e.ServerError, "maybe", 1),
    (599, b"", e.ServerError, "maybe", 1),
    (300, b"", e.BadReply, "maybe", 1),
    (301, b"", e.BadReply, "no", 1),
    (302, b"", e.BadReply, "maybe", 1),
    (303, b"", e.BadReply, "maybe", 1),
    (307, b"", e.BadReply, "no", 1),
    (308, b"", e.BadReply, "no", 1),
]


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize(
    "row",
    STATUSES,
    ids=lambda row: f"{row[0]}-{row[1].get('error') if isinstance(row[1], dict) else row[1].decode()[:8]}",
)
def test_every_status_has_its_error_and_says_what_was_spent(row, stream):
    status, body, kind, spent, sends = row
    ran = play(
        reply(body, status=status, headers={"location": "https://other.example/x"}), call=STREAM if stream else TEXT
    )
    if stream and status in (404, 405):
        sends *= 2  # the other way to ask for a stream

    assert type(ran.error) is kind
    assert (ran.error.spent, ran.error.status) == (spent, status)
    assert len(ran.server.seen) == ran.told.times_sent == sends
    assert len(ran.told.retries) == sends - 1 or (stream and status in (404, 405))


def test_the_server_s_words_and_code_are_on_the_error():
    ran = play(reply(error("insufficient_tokens", "Balance is zero", details={"need": 13}), status=402))

    assert (ran.error.code, ran.error.details) == ("insufficient_tokens", {"need": 13})
    assert "Balance is zero" in str(ran.error)


def test_a_web_page_is_called_a_web_page():
    for status in (200, 403, 502):
        ran = play(reply(b"<!DOCTYPE html><html><body>Welcome to the hotel</body></html>", status=status))
        assert "a web page, not JSON" in str(ran.error)
        assert "hotel" not in str(ran.error)


def test_a_long_limit_says_at_what_time_it_ends():
    ran = play(reply(error("rate_limit_exceeded", retry_after=847), status=429), clock=lambda: 1_772_366_400.0)

    assert ran.error.retry_after == 847
    assert "14 min 7 s" in str(ran.error)
    assert ":14" in str(ran.error)
    assert ran.naps.taken == []


def test_a_short_limit_is_waited_for_and_never_shorter_than_asked():
    ran = play(reply(error("rate_limit_exceeded", retry_after=30), status=429), reply(DONE))

    assert ran.value.tokens == 3
    assert len(ran.naps.taken) == 1
    assert 30 < ran.naps.taken[0] < 32
    assert ran.told.retries == [("request limit reached", ran.naps.taken[0])]


def test_a_model_that_is_down_for_a_moment_is_asked_again():
    ran = play(
        reply(error("model_unavailable"), status=503), reply(error("model_unavailable"), status=503), reply(DONE)
    )

    assert ran.value.tokens == 3
    assert ran.naps.taken[0] < ran.naps.taken[1]
    assert len(ran.server.seen) == 3


# ------------------------------------------------------------------ answers that cannot be trusted

WHOLE = json.dumps(DONE).encode()
KIND = {"content-type": "application/json"}

DOUBTFUL = {
    "nothing at all": DROP,
    "reset": reset(),
    "half a status line": raw(b"HTTP/1.1 20"),
    "no http": raw(b"\x16\x03\x01 garbage \r\n\r\n"),
    "reset inside the headers": raw(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "empty 200": reply(b""),
    "204": raw(head(204)),
    "spaces": reply(b" \n "),
    "html": reply(b"<html></html>"),
    "null": reply(b"null"),
    "a number": reply(b"13"),
    "a list": reply(b"[]"),
    "an empty object": reply(b"{}"),
    "a string": reply(b'"ok"'),
    "an error body in a 200": reply(error("insufficient_tokens")),
    "shorter than promised": raw(head(200, KIND, length=len(WHOLE)) + WHOLE[:60]),
    "cut in the first byte": raw(head(200, KIND, length=len(WHOLE)) + WHOLE[:1]),
    "headers alone": raw(head(200, KIND, length=len(WHOLE))),
    "broken chunk size": raw(head(200, {**KIND, "transfer-encoding": "chunked"}) + b"zz\r\n{}\r\n"),
    "a chunk that was cut": raw(head(200, {**KIND, "transfer-encoding": "chunked"}) + b"ff\r\n" + WHOLE[:50]),
    "compressed garbage": reply(b"\x1f\x8bgarbage", headers={"content-encoding": "gzip"}),
    "an unknown coding": reply(b"\x00\x01\x02", headers={"content-encoding": "br"}),
    "latin-1 noise": reply(b"\xe4\xf6\xfc"),
    "completed and nothing else": reply({"status": "completed"}),
    "pending without an id": reply({"status": "pending"}),
    "ten thousand brackets": reply(b"[" * 10_000),
    "switching protocols": raw(b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("name", DOUBTFUL)
def test_an_answer_that_cannot_be_read_leaves_the_outcome_open_and_is_never_sent_again(name, stream):
    ran = play(DOUBTFUL[name], reply(DONE), call=STREAM if stream else TEXT)

    assert isinstance(ran.error, e.BadReply | e.TransportError)
    assert ran.error.spent == "maybe"
    assert len(ran.server.seen) == ran.told.times_sent == 1
    assert ran.naps.taken == []


def test_a_huge_answer_is_given_up_on_and_its_id_kept():
    flood = [b'{"id": 77, "result_text": "', *[b"x" * 1024**2] * 18]
    ran = play(chunked(*flood, end=False, kind="application/json"))

    assert (ran.error.spent, ran.error.generation_id, ran.told.ids) == ("maybe", 77, [77])


@pytest.mark.parametrize(
    "act",
    [raw(head(200, KIND, length=len(WHOLE)) + WHOLE[:60]), chunked(WHOLE[:60], end=False, kind="application/json")],
    ids=["length", "chunked"],
)
def test_the_id_of_a_cut_reply_is_kept_so_that_it_can_be_looked_up(act):
    ran = play(act)

    assert (ran.error.spent, ran.error.generation_id, ran.told.ids) == ("maybe", 18473, [18473])


GOOD = {
    "a byte-order mark": reply(b"\xef\xbb\xbf" + WHOLE),
    "no content type": raw(head(200, length=len(WHOLE)) + WHOLE),
    "called html": reply(WHOLE, headers={"content-type": "text/html"}),
    "201": reply(WHOLE, status=201),
    "202": reply(WHOLE, status=202),
    "after 100 and 103": raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + head(200, length=len(WHOLE)) + WHOLE),
    "until the connection closes": raw(head(200, KIND) + WHOLE),
    "whole, then cut before the last chunk": chunked(WHOLE, end=False, kind="application/json"),
    "whole, though more was promised": raw(head(200, KIND, length=len(WHOLE) + 50) + WHOLE),
    "byte by byte": chunked(*[WHOLE[at : at + 1] for at in range(len(WHOLE))], kind="application/json"),
    "gzip": reply(gzip.compress(WHOLE), headers={"content-encoding": "gzip"}),
    "called gzip, and plain": reply(WHOLE, headers={"content-encoding": "gzip"}),
    "utf-16": reply(json.dumps(DONE).encode("utf-16")),
    "nested ten thousand deep": reply(WHOLE[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "in an envelope": reply({"data": DONE}),
    "without a status": reply({name: value for name, value in DONE.items() if name != "status"}),
    "as a stream": chunked(b'data: {"type":"content_delta","delta":"Hello"}\n\ndata: {"type":"generation_end","id":18473,"tokens_spent":3}\n\n'),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("name", GOOD)
def test_an_odd_answer_that_can_be_read_is_read(name, stream):
    ran = play(GOOD[name], call=STREAM if stream else TEXT)

    assert ran.error is None
    assert (ran.value.id, ran.value.status, ran.value.text, ran.value.tokens) == (18473, "completed", "Hello", 3)
    assert "".join(ran.told.deltas) == ("Hello" if stream or name == "as a stream" else "")


# ------------------------------------------------------------------ the second ways to ask (R5, R7)


def test_r5_speech_is_asked_once_more_with_the_other_field_and_that_is_remembered():
    refused = reply(
        {"error": "validation_error", "message": "text: field required", "details": {"text": "required"}}, status=422
    )

    async def twice(client):
        await client.create(TTS, Told())
        return await client.create(TTS, Told())

    ran = play(refused, reply(DONE), reply(DONE), do=twice)

    assert ran.value.tokens == 3
    assert [sorted(set(seen.json) - {"model"}) for seen in ran.server.seen] == [["prompt"], ["text"], ["text"]]


def test_r5_two_refusals_end_it_with_the_more_telling_words():
    first = reply(error("validation_error", "text: field required"), status=422)
    second = reply(error("validation_error", "voice_id: unknown"), status=422)
    ran = play(first, second, call=TTS)

    assert type(ran.error) is e.Rejected
    assert "voice_id" in str(ran.error)
    assert (ran.error.spent, len(ran.server.seen)) == ("no", 2)


def test_r5_other_categories_are_not_asked_twice():
    ran = play(reply(error("validation_error"), status=422))

    assert len(ran.server.seen) == 1


def test_r5_only_a_422_is_a_reason_to_ask_again():
    ran = play(reply(b"", status=502), call=TTS)

    assert (ran.error.spent, len(ran.server.seen)) == ("maybe", 1)


@pytest.mark.parametrize("status", [404, 405])
def test_r7_a_server_without_the_stream_path_is_asked_by_the_flag_and_that_is_remembered(status):
    async def twice(client):
        await client.create(STREAM, Told())
        return await client.create(STREAM, Told())

    ran = play(reply({"detail": "Not Found"}, status=status), reply(DONE), reply(DONE), do=twice)

    assert ran.value.text == "Hello"
    assert ran.server.paths == ["POST /generate/stream", "POST /generate", "POST /generate"]
    assert [seen.json.get("stream") for seen in ran.server.seen] == [None, True, True]


def test_r7_a_model_that_neither_way_knows_is_not_found():
    ran = play(reply(error("not_found"), status=404), call=STREAM)

    assert type(ran.error) is e.NotFound
    assert (ran.error.spent, len(ran.server.seen)) == ("no", 2)


def test_r14_a_recording_is_uploaded_as_a_form(tmp_path):
    file = tmp_path / "Мой секрет.mp3"
    file.write_bytes(b"ID3" + b"\x00" * 100_000)
    call = Call(category="stt", model="whisper", params={"language": "ru"}, inputs=(Input(param="audio", path=file),))
    ran = play(reply(DONE), call=call)
    seen = ran.server.seen[0]

    assert (ran.value.text, ran.server.paths) == ("Hello", ["POST /stt"])
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="audio"; filename="audio.mp3"' in seen.body
    assert b'name="language"' in seen.body
    assert file.read_bytes() in seen.body
    assert "секрет".encode() not in seen.body


def test_a_recording_that_is_not_there_is_found_out_before_anything_is_sent(tmp_path):
    call = Call(category="stt", model="whisper", inputs=(Input(param="audio", path=tmp_path / "gone.mp3"),))
    ran = play(reply(DONE), call=call)

    assert type(ran.error) is e.BadParam
    assert (ran.error.spent, ran.server.seen, ran.told.times_sent) == ("no", [], 0)


def test_a_recording_is_read_again_from_its_start_when_it_is_sent_again(tmp_path):
    file = tmp_path / "a.mp3"
    file.write_bytes(b"ID3 sound")
    call = Call(category="stt", model="whisper", inputs=(Input(param="audio", path=file),))
    ran = play(reply(error("model_unavailable"), status=503), reply(DONE), call=call)

    assert ran.value.tokens == 3
    assert [b"ID3 sound" in seen.body for seen in ran.server.seen] == [True, True]


def test_what_a_readable_answer_without_a_result_says_is_told():
    ran = play(reply({"success": False, "error": {"code": 402, "message": "not enough tokens"}}))

    assert (type(ran.error), ran.error.spent) == (e.BadReply, "maybe")
    assert "not enough tokens" in str(ran.error)


# ------------------------------------------------------------------ the key


def test_the_key_is_sent_and_found_nowhere_else():
    ran = play(reply({**error("bad_request", f"bad key {KEY}"), "details": {"got": f"Bearer {KEY}"}}, status=400))
    seen = ran.server.seen[0]

    assert seen.headers["authorization"] == f"Bearer {KEY}"
    for place in (
        repr(ran.error),
        str(ran.error),
        ran.error.hint,
        str(ran.error.details),
        repr(vars(ran.client)),
        repr(ran.client),
    ):
        assert KEY not in place


def test_a_reply_that_repeats_the_key_is_kept_without_it():
    ran = play(reply({**DONE, "echo": {"authorization": f"Bearer {KEY}"}}))

    assert KEY not in str(ran.value.raw)
    assert ran.value.tokens == 3


def test_no_error_carries_httpx_s_request_with_its_headers():
    for act in (DROP, reset(), reply(b"", status=502)):
        error = play(act).error
        chain = []
        while error is not None:
            chain.append(error)
            error = error.__cause__ or error.__context__
        assert all(isinstance(link, e.ElumentaError) for link in chain)


def test_a_client_cannot_be_pickled():
    ran = play(reply(DONE))

    with pytest.raises(TypeError):
        pickle.dumps(ran.client)


@pytest.mark.parametrize("key", ["", "nb_ключ", "nb_a b", "nb_a\r\nx-evil: 1"])
def test_a_key_that_no_header_can_hold_is_refused_before_anything_is_sent(key):
    from elumenta_nb._client import Client

    async def create(client):
        other = Client(base_url=client._line.base_url, key=lambda: key)
        return await other.create(TEXT, Told())

    ran = play(reply(DONE), do=create)

    assert type(ran.error) is e.AuthFailed
    assert ran.server.seen == []


def test_a_redirect_is_not_followed_and_the_other_host_is_named():
    server = Server(
        [raw(head(307, {"location": "https://evil.example/steal?x=1"}, length=0), close=False), reply(DONE)]
    )
    ran = play(server=server)

    assert len(server.seen) == 1
    assert "evil.example" in str(ran.error)


def test_an_id_that_cannot_be_written_down_does_not_cost_the_paid_answer():
    class Broken(Told):
        async def accepted(self, generation_id):
            raise e.LedgerError("disk full")

    ran = play(reply(DONE), do=lambda client: client.create(TEXT, Broken()))
    doubtful = play(
        raw(head(200, KIND, length=len(WHOLE)) + WHOLE[:60]), do=lambda client: client.create(TEXT, Broken())
    )

    assert (ran.error, ran.value.id, ran.value.tokens) == (None, 18473, 3)
    assert (doubtful.error.spent, doubtful.error.generation_id) == ("maybe", 18473)


# ------------------------------------------------------------------ connections


def test_a_connection_is_used_again():
    async def thrice(client):
        for _ in range(3):
            reply = await client.create(TEXT, Told())
        return reply

    ran = play(reply(DONE), do=thrice)

    assert (len(ran.server.seen), ran.server.connections) == (3, 1)


def test_what_every_answer_tells_besides_is_kept():
    limits = {
        "x-ratelimit-limit-hour": "100", "x-ratelimit-remaining-hour": "87", "x-ratelimit-limit-day": "1000",
        "x-ratelimit-remaining-day": "934", "x-ratelimit-reset-hour": "1709903600", "date": "Sun, 01 Mar 2026 12:00:00 GMT",
    }  # fmt: skip
    ran = play(reply(DONE, headers=limits), clock=lambda: 1_772_366_400.0 - 90)

    assert (ran.client.limits.hour, ran.client.limits.hour_left, ran.client.limits.day_left) == (100, 87, 934)
    assert ran.client.limits.resets_at.year == 2024
    assert ran.client.skew_s == pytest.approx(90.5)
