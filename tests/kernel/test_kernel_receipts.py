"""A call from Python tells its cell what it cost, whichever way it was waited for."""

import re

import pytest

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", autouse=True)
def _imported(kernel):
    kernel.run("import asyncio\nimport elumenta_nb as el")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("calls = [el.submit('gpt-5', f'later {n}') for n in range(3)]\n[call.result().tokens for call in calls]", 3),
        ("(await el.agenerate('gpt-5', 'awaited')).tokens", 1),
        ("len(await asyncio.gather(*[el.agenerate('gpt-5', f'gathered {n}') for n in range(3)]))", 3),
        ("len([piece for piece in el.stream('gpt-5', 'streamed')])", 1),
        ("len([piece async for piece in el.stream('gpt-5', 'streamed and awaited')])", 1),
        ("stream = el.stream('gpt-5', 'asked for at the end')\nstream.result.tokens", 1),
        ("len(el.generate_many('gpt-5', 'several', 2))", 2),
    ],
)
def test_its_receipt_stands_under_the_value(kernel, source, told):
    ran = kernel.run(source, cell_id="python")
    name = f"gpt-5 × {told}" if told > 1 else "gpt-5"

    assert ran.kinds == ["execute_result", "display_data"]
    assert ran.outputs[1][1].startswith(f"{name} · {2 * told} tokens · ")


def test_a_result_asked_for_twice_is_told_once(kernel):
    kernel.run("call = el.submit('gpt-5', 'twice')\nresult = call.result()", cell_id="first")
    ran = kernel.run("call.result().tokens", cell_id="second")

    assert ran.kinds == ["execute_result"]


def test_a_call_that_shows_itself_is_not_told_again(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=1)
    shown = kernel.run("call = el.submit('gpt-5', 'seen')\ncall", cell_id="first")
    ran = kernel.run("call.result().tokens", cell_id="second")

    assert "in the background since" in shown.outputs[0][1]
    assert ran.kinds == ["execute_result"]


def test_where_its_line_cannot_move_the_one_who_waits_gets_the_receipt(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=1)
    shown = kernel.run("call = el.submit('gpt-5', 'without cell ids')\ncall")
    ran = kernel.run("call.result().tokens")

    assert "to wait for it: .result()" in shown.outputs[0][1]
    assert ran.kinds == ["execute_result", "display_data"]
    assert ran.outputs[1][1].startswith("gpt-5 · 2 tokens · ")


def test_a_call_that_fails_leaves_the_receipts_of_the_others(kernel, server):
    server.control("fail", "next")
    ran = kernel.run("el.generate('gpt-5', 'one')")
    assert ran.status == "error"

    ran = kernel.run("paid = await el.agenerate('gpt-5', 'paid')\nel.generate('gpt-6', 'unknown')")
    assert ran.status == "error"
    assert ran.outputs[-1][1].startswith("gpt-5 · 2 tokens · ")


# ---------------------------------------------------------------- left in the middle


SLOW = 20.0  # longer than any of these cells


def interrupted(kernel, server, source, path):
    """Run it, and interrupt it once its request has arrived."""
    server.fault("slow", path=path, method="POST", seconds=SLOW)
    before = len(server.seen)
    ran = kernel.run(
        source,
        cell_id="left",
        interrupt=lambda _ran: any(one.path.endswith(path) for one in list(server.seen)[before:]),
    )
    assert ran.status == "error"
    return ran


def last_error(ran):
    return "\n".join(ran.of("error")[0]["traceback"])


def test_an_interrupted_stream_says_what_may_be_charged(kernel, server):
    ran = interrupted(kernel, server, "for piece in el.stream('gpt-5', 'left 1'): pass", "/generate/stream")

    assert ran.seconds <= 1.0
    assert last_error(ran).splitlines()[1:2] == ["Up to 2 tokens may still be charged."]
    assert "To get it: %elumenta recover" in last_error(ran)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("await el.agenerate('gpt-5', 'left 2')", "/generate"),
        ("async for piece in el.stream('gpt-5', 'left 3'): pass", "/generate/stream"),
    ],
)
def test_an_interrupted_await_is_one_line_and_says_what_may_be_charged_below_it(kernel, server, source, path):
    ran = interrupted(kernel, server, source, path)

    assert ran.seconds <= 1.0
    assert len(last_error(ran).splitlines()) == 1
    assert ran.outputs[-1][1].startswith("Stopped waiting. Up to 2 tokens may still be charged. → To get it: %elumenta")


def test_a_wait_that_is_given_up_says_what_may_be_charged(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=SLOW)
    ran = kernel.run("await asyncio.wait_for(el.agenerate('gpt-5', 'left 4'), 2)", cell_id="left")

    assert ran.of("error")[0]["ename"] == "TimeoutError"
    assert ran.outputs[-1][1].startswith("Stopped waiting. Up to 2 tokens may still be charged. → To get it: %elumenta")


def test_a_stream_that_is_left_says_what_may_be_charged(kernel, server):
    server.fault("long", path="/generate/stream", method="POST", pieces=400, per_second=40)
    ran = kernel.run("for piece in el.stream('gpt-5', 'left 5'):\n    break", cell_id="left")

    assert ran.status == "ok"
    assert ran.outputs[-1][1].startswith("Stopped waiting. Up to 2 tokens may still be charged. → To get it: %elumenta")


@pytest.mark.parametrize("wait", ["await call", "call.result()"])
def test_who_waits_for_a_stopped_call_is_told_in_a_few_lines_each_time(kernel, server, wait):
    server.fault("slow", path="/generate", method="POST", seconds=SLOW)
    kernel.run(f"call = el.submit('gpt-5', 'stopped, {wait}')\ncall.stop()", cell_id="stop")

    for _time in range(2):
        ran = kernel.run(wait, cell_id="wait")
        said = last_error(ran) + "".join(text for _kind, text in ran.outputs)
        assert len(last_error(ran).splitlines()) <= 2
        assert re.search(r"What was accepted is still charged|Nothing was charged|may still be charged", said)


def test_an_interrupt_does_not_end_what_was_submitted_and_says_so(kernel, server):
    server.fault("slow", path="/generate", method="POST", seconds=2)
    before = len(server.seen)
    ran = kernel.run(
        "call = el.submit('gpt-5', 'left 6')\ncall.result()",
        cell_id="left",
        interrupt=lambda _ran: any(one.path.endswith("/generate") for one in list(server.seen)[before:]),
    )
    assert "goes on in the background" in last_error(ran)
    assert len(last_error(ran).splitlines()) == 2

    ran = kernel.run("call.result().tokens", cell_id="right")
    assert ran.outputs[0][1] == "2"
    assert ran.outputs[-1][1].startswith("gpt-5 · 2 tokens · ")
