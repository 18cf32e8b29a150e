"""Cells in a real kernel: what is left of them, how they fail, what completes."""

import re

import pytest

pytestmark = pytest.mark.kernel
KEY = "nb_live_" + "a1b2c3d4" * 5


def test_loading_says_nothing_and_opens_nothing(kernel):
    ran = kernel.run("%reload_ext elumenta_nb")

    assert ran.outputs == []
    assert "elumenta" in kernel.run("%lsmagic").outputs[0][1]


def test_a_text_cell_leaves_one_value_and_one_receipt_under_it(kernel):
    ran = kernel.run("%%elumenta text gpt-5\nSay hello", cell_id="c1")

    assert ran.kinds == ["execute_result", "display_data"]
    assert ran.outputs[1][1].startswith("gpt-5 · 2 tokens")


def test_a_front_end_without_cell_ids_gets_the_same_and_nothing_that_changes(kernel):
    ran = kernel.run("%%elumenta text gpt-5 --fresh\nSay hello")

    assert ran.kinds == ["execute_result", "display_data"]
    assert ran.of("clear_output") == ran.of("update_display_data") == []


def test_a_live_front_end_sees_the_text_come(kernel):
    ran = kernel.run("%%elumenta text gpt-5 --fresh\n" + "Tell me a story. " * 40, cell_id="c2")
    live = [content for _at, kind, content in ran.messages if kind == "display_data" and content["transient"]]

    assert "text/markdown" in live[0]["data"]
    assert ran.kinds == ["execute_result", "display_data"]


@pytest.mark.parametrize("line", ["nova-9", "text nova-9"])
def test_a_model_only_the_server_knows_works(kernel, line):
    ran = kernel.run(f"%%elumenta {line} --fresh\nSay hello")

    assert ran.outputs[-1][1].startswith("nova-9 · 3 tokens")
    assert "--temperature" in kernel.run("%elumenta nova-9 -h").outputs[0][1]


def test_the_same_cell_is_restored_and_costs_nothing(kernel):
    kernel.run("%%elumenta image photon-flash\na red boat", cell_id="c3")
    ran = kernel.run("%%elumenta image photon-flash\na red boat", cell_id="c3")

    assert re.search(r"photon-flash · restored, 0 tokens \(1 paid on .*\) · new one: --fresh", ran.outputs[1][1])
    assert "image/jpeg" in ran.of("execute_result")[0]["data"] or "image/png" in ran.of("execute_result")[0]["data"]


def test_an_assigned_line_shows_its_receipt_and_no_value(kernel):
    ran = kernel.run('x = %elumenta text gpt-5 "Say hi"', cell_id="c4")

    assert set(ran.kinds) == {"display_data"}
    assert ran.outputs[-1][1].startswith("gpt-5 · 2 tokens · ")
    assert kernel.run("x.tokens").outputs == [("execute_result", "2")]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("%%elumenta text gpt-6\nhi", "UnknownModel"),
        ("%%elumenta image dall-e-3 --size 3x3\nhi", "BadParam"),
        ("%%elumenta text gpt-5\n{{ nothing_there }}", "BadParam"),
        ("%%elumenta text gpt-5\n   ", "BadParam"),
        ("%%elumenta image dall-e-3 --max 1\nhi", "PriceAboveMax"),
        ("%%elumenta video veo-3.1\nhi", "ConfirmPrice"),
        ("%%elumenta stt whisper", "BadParam"),
        (f"x = '{KEY}'", "KeyInCell"),
    ],
)
def test_a_failed_cell_is_red_and_short_and_says_that_nothing_was_charged(kernel, cell, name):
    ran = kernel.run(cell)
    error = ran.of("error")[0]

    assert ran.status == "error"
    assert ran.kinds == ["error"]
    assert error["ename"] == name
    assert len("\n".join(error["traceback"]).splitlines()) <= 10
    assert "Nothing was charged." in "\n".join(error["traceback"])
    assert KEY not in str(ran.of("error")) + str(ran.reply)


@pytest.mark.parametrize(("code", "name"), [(402, "InsufficientTokens"), (403, "PlanRequired"), (401, "AuthFailed"), (500, "ServerError")])  # fmt: skip
def test_what_the_server_refuses_is_red_and_short(kernel, server, code, name):
    server.fault("status", path="/generate*", code=code, body="documented", method="POST")
    ran = kernel.run(f"%%elumenta text gpt-5 --fresh\nhello {code}")
    error = ran.of("error")[0]

    assert (ran.status, error["ename"]) == ("error", name)
    assert len("\n".join(error["traceback"]).splitlines()) <= 10
    assert "Nothing was charged." in "\n".join(error["traceback"])


def test_a_typed_key_is_not_in_the_kernel_afterwards(kernel):
    kernel.run(f"secret = '{KEY}'")
    tail = KEY[8:]
    ran = kernel.run(
        f"[name for name, value in globals().items() if 'live_' + {tail[:20]!r} + {tail[20:]!r} in str(value)]"
    )

    assert ran.outputs == [("execute_result", "[]")]


def test_a_typed_key_reaches_no_file(kernel):
    kernel.run(f"secret = '{KEY}'")
    kernel.run("1 + 1")
    kernel.run("get_ipython().history_manager.writeout_cache()")
    written = [path for path in kernel.folder.rglob("*") if path.is_file()]

    assert any(path.name == "history.sqlite" for path in written)
    assert [path.name for path in written if KEY.encode() in path.read_bytes()] == []


def test_a_front_end_without_input_is_told_another_way_to_log_in(kernel):
    ran = kernel.run("%elumenta login")

    assert ran.of("error")[0]["ename"] == "ConfigError"
    assert "ELUMENTA_API_KEY" in "\n".join(ran.of("error")[0]["traceback"])


def test_completion_answers_a_real_request_with_prices(kernel):
    kernel.client.complete("%%elumenta image dall", 21)
    reply = kernel.client.get_shell_msg(timeout=10)["content"]

    assert reply["matches"] == ["dall-e-3"]
    assert (reply["cursor_start"], reply["cursor_end"]) == (17, 21)
    assert reply["metadata"]["_jupyter_types_experimental"][0]["type"] == "5–13 tokens"


@pytest.mark.parametrize(
    ("code", "some"),
    [
        ("%elumenta ba", "balance"),
        ("x = %elumenta ba", "balance"),
        ("%%elumenta image dall-e-3 --quality ", "hd"),
        ("print(1)\n%elumenta image gpt-image-1.", "gpt-image-1.5"),
        ("%%elumenta tts --vo", "--voice"),
    ],
)
def test_completion_of_words_options_and_values(kernel, code, some):
    kernel.client.complete(code, len(code))

    assert some in kernel.client.get_shell_msg(timeout=10)["content"]["matches"]


def places_of(ran):
    return [content["transient"]["display_id"] for content in ran.of("display_data")]


def test_a_background_call_changes_its_own_output(kernel):
    ran = kernel.run("%%elumenta text gpt-5 -b -o later\nin the background", cell_id="c8")
    assert ran.kinds == ["display_data", "display_data"]  # and no value beside it that says "running" for good
    began, to_get = (text for _kind, text in ran.outputs)
    assert re.match(r"gpt-5 · in the background since \d+ \w+, \d\d:\d\d · \S+ s of about ", began)
    assert "%elumenta recover" in to_get
    told = kernel.run("later.result().tokens")

    assert told.outputs == [("execute_result", "2")]
    slots = places_of(ran)
    now = kernel.places(slots, lambda now: len(now) == 2 and "in the background since" not in str(now))
    assert list(now) == slots
    assert "in the background since" not in str(now)


def test_a_background_call_moves_its_line_while_it_runs(kernel, server):
    server.fault("pending", path="/generate", method="POST", seconds=4)
    ran = kernel.run("%%elumenta video luma-ray2-flash --fresh -b -o film\nwaves", cell_id="c8m")
    moved = kernel.run("film", cell_id="c8n")
    place = places_of(ran)[0]
    seconds = re.compile(r"(?<![\d.])[1-9](\.0)? s of about 20–35 s")

    assert "in the background since" in moved.outputs[0][1]  # the same call, where it is the value of another cell
    now = kernel.places([place], lambda now: seconds.search(now.get(place, "")))
    assert seconds.search(now[place])
    kernel.run("film.result()")


def test_all_results_of_a_background_call_are_shown(kernel):
    ran = kernel.run("%%elumenta image photon-flash --count 3 --fresh -b -o ships\nships", cell_id="c8o")
    kernel.run("len(ships.result())")
    slots = places_of(ran)
    now = kernel.places(slots, lambda now: len(now) == 4 and now[slots[-1]].startswith("photon-flash × 3 · 3 tokens"))

    assert len(slots) == 4
    assert ["photon-flash" in now[slot] for slot in slots] == [True] * 4
    assert now[slots[-1]].startswith("photon-flash × 3 · 3 tokens")


def test_a_background_call_that_is_refused_says_what_to_do(kernel, server):
    server.fault("slow", path="*calculate-price", seconds=1.5)  # not before its places are there
    ran = kernel.run("%%elumenta video veo-3.1 --audio true -b -o dear\na film", cell_id="c8p")
    said = "\n".join(kernel.places(places_of(ran), lambda now: len(now) == 2).values())

    assert len(ran.outputs) == 2
    assert said.count("ConfirmPrice") == 1
    assert "Nothing was charged.\n→ " in said
    assert "--max-price 334" in said
    assert server.faults.waiting() == []


def test_a_quiet_background_call_shows_nothing_until_it_is_asked_for(kernel):
    ran = kernel.run("%%elumenta text gpt-5 -b --quiet -o later\nquietly", cell_id="c8q")
    kernel.run("later.result().tokens")
    shown = kernel.run("later", cell_id="c8r")

    assert ran.outputs == []
    assert "gpt-5 · 2 tokens" in shown.outputs[-1][1]


def test_a_background_call_of_python_shows_itself_as_a_value_and_is_never_left_running(kernel, server):
    server.fault("slow", path="/generate*", method="POST", seconds=3)
    kernel.run("import elumenta_nb as el")
    ran = kernel.run('el.submit("gpt-5", "in Python")')  # no cell id: what is shown first is what is kept

    assert len(ran.outputs) == 1
    assert re.match(r"gpt-5 · in the background since .* · to wait for it: \.result\(\)", ran.outputs[0][1])


def test_several_results_are_shown_above_one_receipt(kernel):
    ran = kernel.run("%%elumenta image photon-flash --count 3 -o boats\nboats", cell_id="c9")

    assert ran.kinds == ["display_data"] * 3 + ["execute_result", "display_data"]
    assert ran.outputs[-1][1].startswith("photon-flash × 3 · 3 tokens")


def test_a_job_shows_a_line_that_is_gone_afterwards(kernel, server):
    server.fault("pending", path="/generate", method="POST", seconds=2)
    ran = kernel.run("%%elumenta video luma-ray2-flash --fresh\nwaves", cell_id="c10")
    live = [content["data"]["text/plain"] for content in ran.of("display_data") if content["transient"]]

    assert live[0].startswith("luma-ray2-flash · ")
    assert "of about 20–35 s" in live[0]
    assert ran.kinds == ["execute_result", "display_data"]


def test_where_a_cell_prints_too_nothing_of_it_is_cleared(kernel, server):
    server.fault("pending", path="/generate", method="POST", seconds=2)
    ran = kernel.run('print("mine")\nx = %elumenta video luma-ray2-flash --fresh "waves"', cell_id="c11")
    (slot, live), (below, receipt) = displays(ran)
    final = [content["data"] for content in ran.of("update_display_data") if content["transient"]["display_id"] == slot]

    assert ran.outputs[0] == ("stream", "mine\n")
    assert ran.of("clear_output") == []
    assert "of about 20–35 s" in live
    assert final[-1]["text/plain"] == below == ""
    assert receipt.startswith("luma-ray2-flash · 26 tokens")


def test_code_makes_the_next_cell_once(kernel):
    source = "%%elumenta text gpt-5 --as code\nWrite code that adds two numbers"
    first, again = kernel.run(source, cell_id="c12"), kernel.run(source, cell_id="c12")

    assert [payload["source"] for payload in first.reply["payload"]] == ["set_next_input"]
    assert first.reply["payload"][0]["text"]
    assert again.reply["payload"] == []


def test_json_is_parsed(kernel, server):
    ran = kernel.run("%%elumenta text gpt-5 --as json -o facts\nThree facts", cell_id="c13")
    assert ran.status == "ok"
    assert kernel.run("type(facts.value).__name__").outputs[0][1] in ("'dict'", "'list'")


def test_several_lines_of_a_cell_have_one_receipt(kernel):
    ran = kernel.run('for n in range(2):\n    %elumenta text gpt-5 "count {{ n }}"')

    assert ran.kinds == ["display_data"]
    assert ran.outputs[0][1].startswith("gpt-5 × 2 · 4 tokens")


def test_the_receipt_is_shown_although_the_cell_fails_later(kernel):
    ran = kernel.run('x = %elumenta text gpt-5 "before it fails"\n1 / 0')

    assert ran.status == "error"
    assert ran.kinds == ["error", "display_data"]
    assert "2 tokens" in ran.outputs[1][1]


LOOP = """import elumenta_nb as el
from IPython.display import clear_output
for n in range(3):
    el.generate("gpt-5", f"Tell me a long story about {n}. " * 20, reuse="off")
"""


def displays(ran):
    """What was shown, and where: (slot, text)."""
    shown = [(content["transient"], content["data"]) for content in ran.of("display_data")]
    return [(transient.get("display_id", ""), data["text/plain"]) for transient, data in shown]


def test_calls_of_a_loop_share_the_place_of_their_progress_and_leave_one_receipt_under_the_value(kernel, server):
    server.fault("slow", path="/generate", method="POST", times=3, seconds=1.5)
    ran = kernel.run(LOOP + "'the value'", cell_id="loop1")
    (slot, first), last = displays(ran)
    updates = [
        content["data"] for content in ran.of("update_display_data") if content["transient"]["display_id"] == slot
    ]
    so_far = [line for line in (data["text/plain"] for data in updates) if " s of about" not in line and line]

    assert re.match(r"gpt-5 · 2 tokens · \d s of about", first)
    assert [line.split(" · ")[:2] for line in so_far] == [
        ["gpt-5", "2 tokens"],
        ["gpt-5 × 2", "4 tokens"],
        ["gpt-5 × 3", "6 tokens"],
    ]
    assert updates[-1] == {"text/plain": "", "text/html": ""}
    assert last[1].startswith("gpt-5 × 3 · 6 tokens")
    assert ran.kinds[-2:] == ["execute_result", "display_data"]


def test_a_cell_that_clears_its_output_on_the_way_still_says_what_it_cost(kernel, server):
    server.fault("slow", path="/generate", method="POST", times=3, seconds=1.5)
    ran = kernel.run(LOOP + "    clear_output()", cell_id="loop2")

    assert displays(ran)[-1][1].startswith("gpt-5 × 3 · 6 tokens")
