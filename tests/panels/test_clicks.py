"""Clicks and money: one click buys once, a dear price takes two, and leaving says what it costs."""

from __future__ import annotations

import html
import threading
import time
from typing import Any

import pytest
from worlds import QuickSession, until

import elumenta_nb as el
from elumenta_nb._panels import Panel
from elumenta_nb._panels._purchase import DOUBLE_CLICK_S, Purchase
from elumenta_nb._values import Ask
from elumenta_nb.sandbox import serve

pytestmark = pytest.mark.slow  # real calls: `make test`, not `make test-quick`


def said(panel: Panel) -> str:
    return html.unescape(panel.status.value)


def is_there(button: Any) -> bool:
    return not button.disabled and "elumenta-away" not in button._dom_classes


class Clock:
    """Stands still, so that clicks come as soon after one another as the test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def text(desk, clock):
    panel = desk.panel("text", "gpt-5", clock=clock)
    panel.form.prompt.value = "why is the sea salt"
    return panel


def test_clicks_from_many_threads_at_once_buy_once(desk, text):
    ready = threading.Barrier(12)

    def click() -> None:
        ready.wait()
        text.generate.click()

    threads = [threading.Thread(target=click) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: not text.purchase.is_busy)

    assert desk.posts() == 1
    assert desk.charged == 2
    assert len(text.results) == 1


def test_the_second_click_of_a_double_click_that_comes_after_the_end_buys_nothing(desk, text):
    desk.buy(text)
    text.generate.click()

    assert not text.purchase.is_busy
    assert desk.posts() == 1


def test_a_click_a_moment_later_is_another_click(clock):
    purchase = Purchase(lambda: None, lambda: None, clock)

    assert purchase.begin("a cat")
    assert not purchase.begin("a cat")
    purchase.end()
    assert not purchase.begin("a cat")
    clock.now += DOUBLE_CLICK_S + 0.01
    assert purchase.begin("a cat")


def test_a_click_for_something_else_is_another_click_once_the_first_has_ended(clock):
    purchase = Purchase(lambda: None, lambda: None, clock)

    assert purchase.begin("a cat")
    assert not purchase.begin("a dog")
    purchase.end()
    assert purchase.begin("a dog")


def test_a_click_that_was_refused_for_its_form_does_not_swallow_the_next_one(desk, text):
    text.form.prompt.value = ""
    text.generate.click()
    assert "needs a prompt" in said(text)

    text.form.prompt.value = "why is the sea salt"
    desk.buy(text)
    assert len(text.results) == 1

    text.form.prompt.value = "why is the sky blue"
    desk.buy(text)
    assert desk.posts() == 2


def test_a_click_is_seen_at_once_and_the_button_keeps_its_name(desk_of):
    """It waits for nothing: here nothing comes until it was seen. And what it does itself is little."""
    Waiting.go.set()
    text = desk_of(kind=Waiting).panel("text", "gpt-5")
    text.form.prompt.value = "why is the sea salt"
    Waiting.go.clear()
    began = time.thread_time()
    text.generate.click()
    took = time.thread_time() - began

    assert text.generate.disabled
    assert text.generate.description == "Generate"
    assert is_there(text.stop)
    assert "progress" in said(text)
    assert took < 0.1
    Waiting.go.set()
    until(lambda: not text.purchase.is_busy)
    assert not text.generate.disabled
    assert not is_there(text.stop)


@pytest.mark.slow
def test_a_dear_one_takes_a_second_button_that_names_the_price(desk):
    panel = desk.panel("video", "veo-3.1")
    desk.fill(panel, prompt="a city", audio=True)

    panel.generate.click()
    assert desk.posts() == 0
    assert is_there(panel.consent)
    assert panel.consent.description == "Yes, spend 334 tokens"
    assert "Nothing is sent yet" in said(panel)

    panel.consent.click()
    until(lambda: not panel.purchase.is_busy)
    assert desk.charged == 334
    assert not is_there(panel.consent)


def test_a_quick_click_does_not_get_around_the_second_yes(desk_of):
    gate = threading.Event()

    class Late(QuickSession):
        def balance(self):
            gate.wait(10)
            return super().balance()

    desk = desk_of(kind=Late)
    desk.session.change(confirm_above=1)
    panel = Panel(lambda: desk.session, None, category="text", model="gpt-5", namespace={})
    panel.form.prompt.value = "one"
    panel.generate.click()
    gate.set()

    assert is_there(panel.consent)
    assert not panel.purchase.is_busy
    assert desk.posts() == 0


def test_a_consent_outlives_the_server_s_list_that_comes_late(desk_of):
    listed = threading.Event()

    class LateList(QuickSession):
        def served_models(self):
            assert listed.wait(20)
            return super().served_models()

    desk = desk_of(kind=LateList)
    panel = Panel(lambda: desk.session, None, category="video", model="veo-3.1", namespace={})
    desk.fill(panel, prompt="a city", audio=True)
    panel.generate.click()
    assert is_there(panel.consent)
    listed.set()
    assert panel.served.wait(20)

    assert is_there(panel.consent)
    assert panel.line.price.exact
    assert "Nothing is sent yet" in said(panel)


def test_a_consent_does_not_outlive_its_price(desk):
    panel = desk.panel("video", "veo-3.1")
    desk.fill(panel, prompt="a city", audio=True)
    panel.generate.click()
    assert is_there(panel.consent)

    desk.fill(panel, duration=4)
    assert not is_there(panel.consent)
    panel.consent.click()

    assert not panel.purchase.is_busy
    assert desk.posts() == 0


def test_a_price_that_rose_is_refused_and_shown_and_the_next_click_accepts_it(desk, text, clock):
    resolved = desk.session.resolve(text.ask())
    desk.session.services().prices.learn(resolved, 7)  # as a charge above the quote does

    desk.buy(text)
    assert desk.posts() == 0
    assert "7 tokens" in said(text)
    assert "Nothing was sent" in said(text)
    until(lambda: text.line.price is not None and text.line.price.high == 7)

    clock.now += 1
    desk.buy(text)
    assert desk.charged == 2


class Waiting(QuickSession):
    """Looks a model up when it is told to."""

    go = threading.Event()

    def resolve(self, ask):
        assert self.go.wait(10)
        return super().resolve(ask)


def test_cancelled_before_it_is_sent_costs_nothing(desk_of):
    Waiting.go.set()
    desk = desk_of(kind=Waiting)
    panel = desk.panel("text", "gpt-5")
    panel.form.prompt.value = "one"
    Waiting.go.clear()
    panel.generate.click()
    assert panel.stop.description == "Cancel"
    until(lambda: "cancelling costs nothing" in said(panel))

    panel.stop.click()
    Waiting.go.set()
    until(lambda: not panel.purchase.is_busy)

    assert desk.posts() == 0
    assert desk.charged == 0
    assert "Nothing was charged" in said(panel)
    assert not panel.results
    assert len(desk.session.jobs()) == 0


def test_stopped_after_it_was_accepted_it_says_its_price_and_can_be_recovered(desk_of, film_studio):
    server, an_hour_passes = film_studio
    desk = desk_of(server)
    panel = desk.panel("video", "luma-ray2-flash")
    desk.fill(panel, prompt="a wave", duration=5)
    price = panel.line.price.high
    panel.generate.click()
    until(lambda: panel.stop.description == "Stop waiting" and "will still be charged" in said(panel))
    assert f"{price} tokens will still be charged" in said(panel)

    began = time.monotonic()
    panel.stop.click()
    until(lambda: not panel.purchase.is_busy)
    assert time.monotonic() - began < 2
    assert f"It goes on: {price} tokens will still be charged" in said(panel)
    assert "recover" in said(panel)

    until(lambda: panel.jobs.lines)
    assert "luma-ray2-flash" in panel.jobs.lines[0]
    an_hour_passes()
    panel.jobs.recover.click()
    until(lambda: panel.jobs.gallery.results, 60)
    assert panel.jobs.gallery.results[0].mime == "video/mp4"
    assert desk.charged == price
    until(lambda: not panel.jobs.lines)


def test_two_panels_buy_at_the_same_time(desk):
    one, other = desk.panel("text", "gpt-5"), desk.panel("image", "photon-flash")
    one.form.prompt.value, other.form.prompt.value = "one", "two"

    one.generate.click()
    other.generate.click()
    until(lambda: not one.purchase.is_busy and not other.purchase.is_busy)

    assert [len(panel.results) for panel in (one, other)] == [1, 1]
    assert desk.charged == 3


# ---------------------------------------------------------------- errors


def test_a_refusal_is_shown_with_what_it_cost_and_what_to_do(desk_of):
    with serve(plan="starter", time_scale=0.002) as server:
        desk = desk_of(server)
        panel = desk.panel("image", "gpt-image-1.5")
        panel.form.prompt.value = "a poster"
        desk.buy(panel)

        assert "PlanRequired" in said(panel)
        assert "Nothing was charged" in said(panel)
        assert 'role="alert"' in panel.status.value
        assert desk.charged == 0


def test_a_generation_that_failed_is_shown_and_not_charged(desk, text):
    desk.server.control("fail", "next")
    desk.buy(text)

    assert "not charged" in said(text)
    assert desk.charged == 0
    assert not text.results


def test_a_budget_is_named_and_holds(desk, text):
    desk.session.budget(1, "kernel")
    text.line.refresh()
    until(lambda: "would be overrun" in text.cost.value)
    desk.buy(text)

    assert "BudgetExceeded" in said(text)
    assert desk.posts() == 0


def test_an_empty_prompt_is_said_before_anything_is_sent(desk):
    panel = desk.panel("text", "gpt-5")
    desk.buy(panel)

    assert "needs a prompt" in said(panel)
    assert desk.posts() == 0


def test_what_is_missing_is_said_before_a_second_yes_is_offered_and_goes_once_it_is_there(desk):
    panel = desk.panel("video", "veo-3.1")
    desk.fill(panel, audio=True)
    panel.generate.click()

    assert "needs a prompt" in said(panel)
    assert not is_there(panel.consent)

    panel.form.prompt.value = "a city"
    assert said(panel) == ""
    panel.generate.click()
    assert is_there(panel.consent)
    assert desk.posts() == 0


def test_the_second_yes_says_which_budget_it_would_overrun(desk):
    desk.session.budget(100, "kernel")
    panel = desk.panel("video", "veo-3.1")
    desk.fill(panel, prompt="a city", audio=True)
    panel.generate.click()

    assert "budget 0 of 100 (this kernel) – would be overrun" in said(panel)


def test_a_wrong_value_is_said_beside_the_price_and_at_the_click(desk):
    panel = desk.panel("image", "dall-e-3")
    panel.form.prompt.value = "a cat"
    panel.form.controls["seed"].widget.value = "many"
    until(lambda: "whole number" in html.unescape(panel.cost.value))

    desk.buy(panel)
    assert "whole number" in said(panel)
    assert desk.posts() == 0


def test_a_fault_of_a_handler_is_seen_in_the_panel(desk, text):
    def broken(_button: Any) -> None:
        raise ZeroDivisionError("by nothing")

    text._stage.handler(broken)(None)

    assert "ZeroDivisionError: by nothing" in said(text)


def test_without_a_key_the_panel_says_both_ways_out_and_works_once_one_is_chosen(tmp_path):
    session = QuickSession(home=tmp_path)
    panel = Panel(lambda: session, None, category="text", namespace={})
    until(lambda: "NoKey" in said(panel) or "sandbox on" in said(panel))
    assert "sandbox on" in said(panel)

    session.change(mode="sandbox")
    panel.form.prompt.value = "hello"
    panel.generate.click()
    until(lambda: panel.results)
    until(lambda: "SANDBOX" in panel.cost.value)
    session.close()


@pytest.mark.slow
def test_a_text_that_is_cut_stays_visible_with_its_error(desk, text):
    desk.server.fault("stream_cut", path="/generate/stream", after_pieces=4)
    for path in ("/user/history*", "/generate/*"):
        desk.server.fault("status", path=path, method="GET", times=50, code=502)
    desk.buy(text)

    assert "It may be charged" in said(text)
    assert "tab Unfinished" in said(text)
    assert "%elumenta" not in said(text), "there is a button for it"
    assert "elumenta-growing" in text.gallery.text


def test_nothing_is_sent_where_only_stored_results_may_be_shown(desk_of):
    desk = desk_of()
    desk.session.change(reuse="only")
    panel = Panel(lambda: desk.session, None, category="text", model="gpt-5", namespace={})
    panel.form.prompt.value = "one"
    panel.generate.click()
    until(lambda: not panel.purchase.is_busy)

    assert "NotStored" in said(panel)
    assert desk.posts() == 0


def test_the_consent_of_a_call_is_the_price_that_was_shown(desk, text):
    ask = text.ask()

    assert ask.max_price == text.line.price.high == 2
    assert ask.reuse == "off"
    with pytest.raises(el.PriceAboveMax):
        desk.session.run(Ask(model="gpt-5.2", prompt="x", max_price=ask.max_price), text._origin())
