"""A call from Python tells its cell what it cost, whichever way it was waited for."""

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
