"""Faults, seen from a real socket: what was charged, and exactly which bytes came back."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest

BODY = {"model": "gpt-5", "prompt": "Hello there"}


def exchange(server, path="/generate", body=BODY):
    """Every byte that a POST gets as its answer until the server hangs up."""
    data = json.dumps(body).encode()
    head = (
        f"POST /api/v2{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {server.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        wire.sendall(head.encode() + data)
        while True:
            try:
                part = wire.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            received += part
    return received


def test_drop_before_closes_without_a_byte_and_nothing_happens(server, caller):
    server.fault("drop_before", path="/generate")

    assert exchange(server) == b""
    assert caller.balance == 1500
    assert caller.history()["total"] == 0
    assert server.account.balance == 1500


def test_drop_after_closes_without_a_byte_and_the_call_is_charged(server, caller):
    server.fault("drop_after", path="/generate")

    assert exchange(server) == b""
    assert server.account.balance == 1498
    (item,) = caller.history()["items"]
    assert item["status"] == "completed"
    assert item["prompt"] == BODY["prompt"]
    assert caller.generate("gpt-5")["status"] == "completed"  # the server is well


def test_drop_after_of_a_stream_sends_no_byte_either(server, caller, dialect):
    path = "/generate/stream" if dialect == "a" else "/generate"
    server.fault("drop_after", path=path)

    assert exchange(server, path, BODY | {"stream": True}) == b""
    assert server.account.balance == 1498


def test_drop_after_of_a_job_leaves_the_job(server, caller):
    server.fault("drop_after", path="/generate")

    assert exchange(server, body={"model": "kling-v2.1", "prompt": "waves"}) == b""
    assert caller.history(status="completed")["total"] == 1
    assert server.account.balance == 1474


def test_httpx_sees_a_drop_as_a_lost_connection(server, caller):
    server.fault("drop_after", path="/generate")

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        caller.post("/generate", BODY)
    assert server.account.balance == 1498


def test_cut_body_promises_more_than_it_sends(server, caller):
    server.fault("cut_body", path="/generate", keep=20)
    head, _, rest = exchange(server).partition(b"\r\n\r\n")
    promised = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-len"))

    assert head.startswith(b"HTTP/1.1 200")
    assert len(rest) == 20 < promised
    assert server.account.balance == 1498


def test_cut_body_of_a_file(server, caller):
    url = caller.field(caller.generate("photon-flash", size="64x64"), "result_url")
    server.fault("cut_body", path="/storage/*")

    with pytest.raises(httpx.RemoteProtocolError):
        caller.file(url)
    assert caller.file(url).status_code == 200


def test_slow_answers_late_and_is_charged_before_it_does(server, caller):
    server.fault("slow", path="/generate", seconds=0.4)
    with pytest.raises(httpx.ReadTimeout):
        caller.post("/generate", BODY, timeout=0.2)

    assert server.account.balance == 1498
    server.fault("slow", path="/generate", seconds=0.2)
    began = time.monotonic()
    assert caller.post("/generate", BODY).status_code == 200
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 422, 429, 500, 503])
def test_a_status_with_its_documented_body_charges_nothing(server, caller, code):
    server.fault("status", path="/generate", code=code, body="documented")
    reply = caller.post("/generate", BODY)

    assert reply.status_code == code
    assert set(reply.json()) == {"error", "message", "details"}
    assert server.account.balance == 1500


def test_a_bare_status_may_hide_a_charge(server, caller):
    server.fault("status", path="/generate", code=502)
    server.fault("status", path="/generate", code=504, processed=True)
    first, second = caller.post("/generate", BODY), caller.post("/generate", BODY)

    assert (first.status_code, first.content) == (502, b"")
    assert (second.status_code, second.content) == (504, b"")
    assert server.account.balance == 1498


def test_ratelimit_has_the_documented_body(server, caller):
    server.fault("ratelimit", path="/generate", retry_after=847)
    reply = caller.post("/generate", BODY)

    assert reply.status_code == 429
    assert reply.json()["retry_after"] == 847
    assert {"error", "message", "plan", "limit_hour", "limit_day"} <= set(reply.json())
    assert server.account.balance == 1500


def test_garbage_is_charged_and_cannot_be_read(server, caller):
    server.fault("garbage", path="/generate")
    reply = caller.post("/generate", BODY)

    assert reply.status_code == 200
    with pytest.raises(ValueError):
        reply.json()
    assert server.account.balance == 1498


def test_html_is_a_web_page_and_nothing_happened(server, caller):
    server.fault("html")
    reply = caller.post("/generate", BODY)

    assert reply.headers["content-type"].startswith("text/html")
    assert b"<html" in reply.content or b"<!doctype" in reply.content
    assert server.account.balance == 1500


def test_stream_cut_sends_so_many_pieces_and_charges(server, caller):
    server.fault("stream_cut", after_pieces=3)
    text = ""
    with pytest.raises(httpx.RemoteProtocolError), caller.stream() as reply:
        for part in reply.iter_text():
            text += part

    assert text.count('"content_delta"') == 3
    assert "generation_end" not in text
    assert server.account.balance == 1498
    assert caller.history()["items"][0]["status"] == "completed"


def test_pending_makes_a_picture_a_job(server, caller):
    server.fault("pending", path="/generate", seconds=0.15)
    reply = caller.post("/generate", {"model": "dall-e-3", "prompt": "a boat", "params": {"size": "1024x1024"}}).json()

    assert reply["status"] == "pending"
    assert caller.balance == 1500
    assert caller.follow(reply)["status"] == "completed"
    assert caller.balance == 1495


def test_faults_wait_their_turn_and_match_their_path(server, caller):
    server.fault("status", path="/generate", code=503, body="documented", after=1, times=2)
    server.fault("status", path="/user/*", method="GET", code=500)
    codes = [caller.post("/generate", BODY).status_code for _ in range(4)]

    assert codes == [200, 503, 503, 200]
    assert caller.get("/balance").status_code == 200
    assert caller.get("/user/me").status_code == 500
    assert caller.get("/user/me").status_code == 200
    assert server.faults.waiting() == []


def test_faults_can_be_queued_over_http_and_cleared(server, caller):
    control = f"{server.origin}/sandbox/control"
    queued = caller.http.post(control, json={"verb": "fault", "kind": "slow", "path": "/generate", "seconds": 9})

    assert queued.json()["faults"] == [{"kind": "slow", "path": "/generate", "times": 1, "after": 0}]
    assert caller.http.post(control, json={"verb": "fault", "args": ["clear"]}).json() == {"faults": []}
    assert caller.http.post(control, json={"verb": "fault", "kind": "slow", "minutes": 9}).status_code == 400


@pytest.mark.parametrize("wrong", [("explode", {}), ("slow", {"minutes": 1})])
def test_a_fault_that_does_not_exist_is_refused(server, wrong):
    with pytest.raises(ValueError):
        server.fault(wrong[0], **wrong[1])


def test_seen_shows_requests_without_the_key(server, caller):
    caller.generate("gpt-5", "what was asked")
    seen = next(request for request in server.seen if request.path == "/api/v2/generate")

    assert seen.method == "POST"
    assert seen.authorized
    assert seen.json["prompt"] == "what was asked"
    assert server.api_key not in repr(seen)


def test_files_are_fetched_without_the_key(server, caller):
    url = caller.field(caller.generate("photon-flash", size="64x64"), "result_url")
    caller.file(url)

    assert not server.seen[-1].authorized


def test_a_long_answer_has_its_length_and_pace(server, caller):
    server.fault("long", pieces=50, per_second=200)
    began = time.monotonic()
    with caller.stream() as reply:
        text = "".join(reply.iter_text())

    assert text.count('"content_delta"') == 50
    assert 0.2 < time.monotonic() - began < 3
    assert server.account.balance == 1498
