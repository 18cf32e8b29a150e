from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_making import HERE, LIVE, NOON, Clock, by_hand, intent, reserve

from elumenta_nb._errors import LedgerError, NotFound
from elumenta_nb._ledger import Elsewhere, Ledger, Release, Restored, Settlement, Where


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(place, clock):
    with Ledger(place, clock=clock) as ledger:
        yield ledger
        assert ledger.check() == []


def total(ledger: Ledger, where: Where | None = None) -> tuple[int, int]:
    rows = ledger.totals((), where or Where())
    return (rows[0][1], rows[0][2]) if rows else (0, 0)


def test_a_row_is_on_disk_before_anything_is_sent(ledger, place):
    reserve(ledger)
    assert by_hand(place, "SELECT status, held, tokens FROM spend") == [("reserved", 13, 0)]


def test_a_new_kernel_reads_back_everything_that_was_reserved(ledger, place, clock):
    facts = {"params": {"size": "1024x1024", "steps": [1, 2]}, "prompt_chars": 40, "prompt_hash": "ab", "folder": "/m"}
    call_id = reserve(ledger, **facts, count_index=2, lease_s=60)
    with Ledger(place, clock=clock) as other:
        (entry,) = other.open_calls("7", LIVE)
    assert (entry.id, entry.status, entry.quoted, entry.held, entry.tokens) == (call_id, "reserved", 13, 13, 0)
    assert entry.origin == replace(HERE, tags=("demo", "hero"))
    assert (entry.category, entry.model, entry.provider, entry.account, entry.api) == (
        "image", "dall-e-3", "OpenAI", "7", LIVE
    )  # fmt: skip
    assert (dict(entry.params), entry.prompt_chars, entry.prompt_hash) == (facts["params"], 40, "ab")
    assert (entry.fingerprint, entry.price_key, entry.folder, entry.count_index) == ("f1", "p1", "/m", 2)
    assert entry.started_at == NOON
    assert entry.lease_until == NOON + timedelta(seconds=60)
    assert entry.open


def test_a_call_that_completes_is_charged_what_the_server_said(ledger, clock):
    call_id = reserve(ledger)
    assert ledger.accept([(call_id, 4711)]) == [True]
    assert ledger.call(call_id).status == "pending"
    clock.move(4.5)
    ledger.settle([Settlement(call_id=call_id, tokens=9, balance_after=270, media=("a.png", "b.png"))])
    entry = ledger.call(call_id)
    assert (entry.status, entry.tokens, entry.held, entry.quoted) == ("completed", 9, 0, 13)
    assert (entry.generation_id, entry.balance_after, entry.media) == (4711, 270, ("a.png", "b.png"))
    assert entry.latency_s == 4.5
    assert entry.lease_until is None
    assert total(ledger) == (9, 0)


def test_settling_twice_counts_once_and_a_new_figure_of_the_server_corrects(ledger):
    call_id = reserve(ledger)
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert total(ledger) == (13, 0)
    ledger.settle([Settlement(call_id=call_id, tokens=15)])
    assert total(ledger) == (15, 0)


def test_a_reply_without_a_figure_settles_at_the_quote_until_the_server_tells(ledger):
    call_id = reserve(ledger)
    ledger.settle([Settlement(call_id=call_id, tokens=None)])
    assert (ledger.call(call_id).tokens, ledger.call(call_id).estimated) == (13, True)
    ledger.settle([Settlement(call_id=call_id, tokens=9)])
    assert (ledger.call(call_id).tokens, ledger.call(call_id).estimated) == (9, False)
    ledger.settle([Settlement(call_id=call_id, tokens=None)])
    assert (ledger.call(call_id).tokens, ledger.call(call_id).estimated) == (9, False)


def test_the_same_call_twice_in_one_list_counts_once(ledger):
    call_id = reserve(ledger)
    ledger.settle([Settlement(call_id=call_id, tokens=13), Settlement(call_id=call_id, tokens=13)])
    assert total(ledger) == (13, 0)


def test_a_failed_call_costs_nothing_and_gives_its_hold_back(ledger):
    call_id = reserve(ledger)
    assert ledger.release([Release(call_id=call_id, error="provider", attempts=3)]) == [True]
    entry = ledger.call(call_id)
    assert (entry.status, entry.tokens, entry.held, entry.error, entry.attempts) == ("failed", 0, 0, "provider", 3)
    assert ledger.release([Release(call_id=call_id)]) == [True]
    assert ledger.totals((), Where())[0][:4] == (1, 0, 0, 1)


def test_a_release_after_the_charge_is_refused(ledger):
    call_id = reserve(ledger)
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert ledger.release([Release(call_id=call_id), Release(call_id=call_id, status="cancelled")]) == [False, False]
    assert ledger.call(call_id).status == "completed"
    assert ledger.doubt([(call_id, "late")]) == [False]
    assert ledger.accept([(call_id, 1)]) == [False]
    assert ledger.renew([(call_id, 60)]) == [False]
    assert total(ledger) == (13, 0)


@pytest.mark.parametrize("sent", ["accept", "doubt"])
def test_cancelled_means_never_sent(ledger, sent):
    first, second = reserve(ledger), reserve(ledger)
    assert ledger.release([Release(call_id=first, status="cancelled")]) == [True]
    assert ledger.call(first).status == "cancelled"
    getattr(ledger, sent)([(second, "x")])
    assert ledger.release([Release(call_id=second, status="cancelled")]) == [False]
    assert ledger.call(second).held == 13


def test_an_unknown_call_keeps_its_hold_until_history_has_answered(ledger):
    call_id = reserve(ledger)
    assert ledger.doubt([(call_id, "connection lost")]) == [True]
    entry = ledger.call(call_id)
    assert (entry.status, entry.held, entry.error, entry.attempts) == ("unknown", 13, "connection lost", 1)
    ledger.claim([(call_id, "gen_x")])
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    entry = ledger.call(call_id)
    assert (entry.status, entry.tokens, entry.adopted, entry.generation_id, entry.error) == (
        "completed", 13, True, "gen_x", ""
    )  # fmt: skip


def test_an_expired_lease_reads_as_unknown_and_keeps_its_hold(ledger, clock):
    call_id = reserve(ledger, lease_s=30)
    clock.move(29)
    assert ledger.open_calls("7", LIVE)[0].status == "reserved"
    ledger.renew([(call_id, 30)])
    clock.move(29)
    assert ledger.call(call_id).status == "reserved"
    clock.move(1)
    assert (ledger.call(call_id).status, ledger.call(call_id).held) == ("unknown", 13)
    assert ledger.columns({"status"}, Where()).facts["status"].tolist() == [2]
    assert ledger.accept([(call_id, 5)]) == [True]
    clock.move(10_000)
    assert ledger.call(call_id).status == "pending"


def test_a_row_that_no_history_showed_can_still_be_found(ledger, clock):
    call_id = reserve(ledger)
    ledger.doubt([(call_id, "lost")])
    ledger.release([Release(call_id=call_id, lost=True, error="not in the history")])
    assert total(ledger) == (0, 0)
    since = NOON - timedelta(days=7)
    assert [entry.id for entry in ledger.released_since("7", LIVE, since)] == [call_id]
    assert ledger.released_since("7", LIVE, NOON + timedelta(seconds=1)) == []
    assert ledger.released_since("8", LIVE, since) == []
    assert ledger.claim([(call_id, 99)]) == [True]
    assert total(ledger) == (0, 13)
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert total(ledger) == (13, 0)
    assert ledger.released_since("7", LIVE, since) == []
    assert ledger.totals((), Where())[0][3] == 0


def test_a_row_whose_kernel_still_waits_is_not_given_up(ledger, clock):
    call_id = reserve(ledger, lease_s=30)
    assert ledger.release([Release(call_id=call_id, lost=True)]) == [False]
    clock.move(29)
    ledger.renew([(call_id, 30)])
    clock.move(29)
    assert ledger.release([Release(call_id=call_id, lost=True)]) == [False]
    assert total(ledger) == (0, 13)
    clock.move(1)
    assert ledger.release([Release(call_id=call_id, lost=True)]) == [True]
    assert total(ledger) == (0, 0)


@pytest.mark.parametrize("told", ["accept", "claim"])
def test_a_row_that_was_told_its_generation_meanwhile_is_not_given_up(ledger, told):
    call_id = reserve(ledger)
    ledger.doubt([(call_id, "no answer")])
    getattr(ledger, told)([(call_id, 4711)])
    assert ledger.release([Release(call_id=call_id, lost=True)]) == [False]
    assert ledger.release([Release(call_id=call_id, lost=True, generation_id=12)]) == [False]
    assert (ledger.call(call_id).status, ledger.call(call_id).held) == ("pending", 13)
    assert ledger.release([Release(call_id=call_id, lost=True, generation_id="4711")]) == [True]


def test_a_row_that_the_server_says_failed_is_not_adoptable(ledger):
    lost, failed = reserve(ledger), reserve(ledger)
    ledger.doubt([(lost, "no answer")])
    ledger.release([Release(call_id=lost, lost=True), Release(call_id=failed)])
    assert ledger.claim([(failed, 4)]) == [False]
    ledger.release([Release(call_id=lost, error="the server says failed")])
    assert not ledger.call(lost).lost
    assert ledger.claim([(lost, 4)]) == [False]


def test_a_settle_after_a_release_adopts_the_row_and_corrects_the_totals(ledger):
    call_id = reserve(ledger)
    ledger.doubt([(call_id, "no answer")])
    ledger.release([Release(call_id=call_id, lost=True)])
    ledger.settle([Settlement(call_id=call_id, tokens=11, generation_id=5)])
    entry = ledger.call(call_id)
    assert (entry.status, entry.tokens, entry.lost) == ("completed", 11, False)
    assert total(ledger) == (11, 0)


def test_a_generation_is_claimed_once(ledger):
    first, second = reserve(ledger), reserve(ledger)
    ledger.doubt([(first, ""), (second, "")])
    assert ledger.claim([(first, 99), (second, "99")]) == [True, False]
    assert ledger.claim([(first, 99), (second, 100)]) == [True, True]
    assert ledger.claim([(second, 101)]) == [False]


def test_a_claim_gives_way_to_what_the_server_tells_the_call_it_belongs_to(ledger):
    ledger.set_budget(100, per="notebook", account="7", api=LIVE, origin=HERE)
    wrong, right = reserve(ledger), reserve(ledger)
    ledger.doubt([(wrong, "no answer")])
    assert ledger.claim([(wrong, 99)]) == [True]
    ledger.settle([Settlement(call_id=wrong, tokens=13, generation_id=99)])

    ledger.settle([Settlement(call_id=right, tokens=13, generation_id=99)])

    undone, owner = ledger.call(wrong), ledger.call(right)
    assert (undone.status, undone.tokens, undone.held, undone.generation_id) == ("unknown", 0, 13, None)
    assert (owner.status, owner.tokens, owner.generation_id) == ("completed", 13, 99)
    (budget,) = ledger.budgets(account="7", api=LIVE)
    assert (budget.spent, budget.held) == (13, 13)
    assert ledger.check() == []


def test_a_charge_without_a_name_claims_one_that_nobody_has(ledger):
    nameless, other = reserve(ledger), reserve(ledger)
    ledger.settle([Settlement(call_id=nameless, tokens=None)])
    ledger.accept([(other, 99)])

    assert ledger.claim([(nameless, 99)]) == [False]
    assert ledger.claim([(nameless, 98)]) == [True]

    entry = ledger.call(nameless)
    assert (entry.status, entry.tokens, entry.generation_id) == ("completed", 13, 98)
    assert ledger.check() == []


def test_a_call_that_claimed_another_s_generation_learns_its_own(ledger):
    call_id, other = reserve(ledger), reserve(ledger)
    ledger.doubt([(call_id, "no answer")])
    ledger.claim([(call_id, 99)])

    ledger.settle([Settlement(call_id=call_id, tokens=13, generation_id=98)])
    assert ledger.claim([(other, 99)]) == [True]

    assert ledger.call(call_id).generation_id == 98
    assert not ledger.call(call_id).adopted


@pytest.mark.parametrize("generation", [0, 7, 2**62, 2**70, "7", "007", "gen_a1", "ключ", ""])
def test_an_id_comes_back_as_it_was_given(ledger, generation):
    call_id = reserve(ledger)
    ledger.accept([(call_id, generation)])
    expected = generation if generation != 2**70 else str(2**70)
    assert ledger.call(call_id).generation_id == expected
    assert type(ledger.call(call_id).generation_id) is type(expected)


def test_an_id_is_owned_in_either_form(ledger):
    first, second = reserve(ledger), reserve(ledger)
    ledger.accept([(first, 99), (second, "gen_a")])
    assert ledger.owned([99, "99", 100, "gen_a", "gen_b"], account="7", api=LIVE) == {99, "99", "gen_a"}
    assert ledger.owned([99], account="8", api=LIVE) == set()
    assert ledger.owned([99], account="7", api="sandbox") == set()


def test_the_first_id_told_stays(ledger):
    call_id = reserve(ledger)
    ledger.accept([(call_id, 1)])
    ledger.settle([Settlement(call_id=call_id, tokens=1, generation_id=2)])
    assert ledger.call(call_id).generation_id == 1


def test_a_server_that_gives_every_call_one_id_does_not_make_each_call_slower(tmp_path):
    """Each of them once read all those before it: 600 such calls took ten times as long as 600 others."""
    took = []
    for name, generation_of in (("own", lambda at: at), ("one", lambda _at: 1)):
        with Ledger(f"sqlite:///{tmp_path / name}.db") as ledger:
            rows = [call_id for _ in range(3) for call_id in ledger.reserve([intent()] * 200)]
            start = time.perf_counter()
            for at, call_id in enumerate(rows):
                ledger.settle([Settlement(call_id=call_id, tokens=1, generation_id=generation_of(at))])
            took.append(time.perf_counter() - start)
            assert total(ledger)[0] == 600
    assert took[1] < 3 * took[0]


def test_open_calls_are_those_asked_for(ledger):
    first, second = reserve(ledger), reserve(ledger)
    third = reserve(ledger, account="sandbox", api="sandbox")
    assert [entry.id for entry in ledger.open_calls()] == [first, second, third]
    assert [entry.id for entry in ledger.open_calls(ids=[second, third, 99])] == [second, third]
    assert [entry.id for entry in ledger.open_calls("sandbox", "sandbox")] == [third]


def test_a_restored_call_costs_nothing_and_counts_what_it_saved(ledger):
    paid = reserve(ledger)
    ledger.settle([Settlement(call_id=paid, tokens=13)])
    item = Restored(
        account="7", api=LIVE, category="image", model="dall-e-3", restored_from=paid, saved=13, origin=HERE
    )
    (call_id,) = ledger.restore([item])
    entry = ledger.call(call_id)
    assert (entry.status, entry.tokens, entry.held, entry.reused, entry.restored_from, entry.saved) == (
        "completed", 0, 0, True, paid, 13
    )  # fmt: skip
    calls, tokens, _held, _failed, reused, saved, *_times = ledger.totals((), Where())[0]
    assert (calls, tokens, reused, saved) == (2, 13, 1, 13)


def test_what_the_account_spent_elsewhere_is_added_once(ledger):
    mine = reserve(ledger)
    ledger.accept([(mine, 50)])
    item = Elsewhere(
        account="7", api=LIVE, generation_id=51, category="video", model="sora-2", status="pending", tokens=42,
        started_at=NOON - timedelta(days=2),
    )  # fmt: skip
    assert ledger.adopt([replace(item, generation_id="50")]) == [None]
    (row,) = ledger.adopt([item])
    assert total(ledger) == (0, 13 + 42)
    assert ledger.open_calls() == [ledger.call(mine)]
    done = replace(item, status="completed", ended_at=NOON)
    assert ledger.adopt([done]) == [row]
    assert ledger.adopt([done]) == [row]
    assert total(ledger) == (42, 13)
    entry = ledger.call(row)
    assert (entry.origin.source, entry.status, entry.started_at) == ("elsewhere", "completed", item.started_at)
    assert ledger.adopt([replace(done, status="failed")]) == [row]
    assert total(ledger) == (0, 13)


def test_a_row_of_elsewhere_that_turns_out_to_be_ours_is_not_counted_twice(ledger):
    call_id = reserve(ledger)
    ledger.doubt([(call_id, "lost")])
    (row,) = ledger.adopt([
        Elsewhere(account="7", api=LIVE, generation_id="g1", category="image", model="dall-e-3", status="completed",
                  tokens=13, started_at=NOON)
    ])  # fmt: skip
    assert total(ledger) == (13, 13)
    assert ledger.owned(["g1"], account="7", api=LIVE) == set()
    assert ledger.claim([(call_id, "g1")]) == [True]
    ledger.settle([Settlement(call_id=call_id, tokens=13)])
    assert total(ledger) == (13, 0)
    assert (ledger.call(row).status, ledger.call(row).generation_id) == ("cancelled", None)
    assert str(call_id) in ledger.call(row).error


def test_the_highest_charge_is_remembered_by_its_price_parameters(ledger, place):
    for tokens in (13, 15, 9):
        ledger.settle([Settlement(call_id=reserve(ledger), tokens=tokens)])
    ledger.settle([Settlement(call_id=reserve(ledger, price_key=""), tokens=99)])
    assert ledger.paid_most(LIVE, "dall-e-3", "p1") == 15
    assert ledger.paid_most(LIVE, "dall-e-3", "p2") is None
    assert ledger.paid_most("sandbox", "dall-e-3", "p1") is None
    with Ledger(place) as other:
        other.settle([Settlement(call_id=reserve(other), tokens=14)])
        assert other.paid_most(LIVE, "dall-e-3", "p1") == 15


def test_the_highest_charge_is_remembered_for_calls_without_price_parameters(ledger, place):
    """Most calls: a plain text. A new kernel holds what one was charged before, and not what the quote says again."""
    for tokens in (2, 9, 3):
        ledger.settle([Settlement(call_id=reserve(ledger, model="gpt-5", price_key=""), tokens=tokens)])
    ledger.settle([Settlement(call_id=reserve(ledger, model="gpt-5", price_key="p1"), tokens=40)])
    with Ledger(place) as other:
        assert other.paid_most(LIVE, "gpt-5", "") == 9
        assert other.paid_most(LIVE, "dall-e-3", "") is None


def test_only_a_charge_of_a_call_bought_here_is_a_highest_charge(ledger):
    (reused,) = ledger.restore([Restored(account="7", api=LIVE, category="text", model="gpt-5", saved=13)])
    spent = {"account": "7", "api": LIVE, "category": "text", "model": "gpt-5", "tokens": 99, "started_at": NOON}
    (elsewhere,) = ledger.adopt([Elsewhere(generation_id=1, status="completed", **spent)])
    estimated = reserve(ledger, model="gpt-5", price_key="")
    ledger.settle([Settlement(call_id=id_, tokens=99) for id_ in (reused, elsewhere)])
    ledger.settle([Settlement(call_id=estimated, tokens=None)])
    assert ledger.paid_most(LIVE, "gpt-5", "") is None
    ledger.settle([Settlement(call_id=estimated, tokens=4)])
    assert ledger.paid_most(LIVE, "gpt-5", "") == 4


def test_attempts_are_counted_upwards(ledger):
    call_id = reserve(ledger)
    ledger.settle([Settlement(call_id=call_id, tokens=1, attempts=2)])
    ledger.settle([Settlement(call_id=call_id, tokens=1, attempts=1)])
    assert ledger.call(call_id).attempts == 2
    once = reserve(ledger)
    ledger.settle([Settlement(call_id=once, tokens=1)])
    assert ledger.call(once).attempts == 1


def test_an_account_is_seen_with_its_first_call_here(ledger):
    assert not ledger.has_seen("7", LIVE)
    ledger.adopt([
        Elsewhere(account="7", api=LIVE, generation_id=1, category="text", model="m", status="completed", tokens=1,
                  started_at=NOON)
    ])  # fmt: skip
    assert not ledger.has_seen("7", LIVE)
    reserve(ledger)
    assert ledger.has_seen("7", LIVE)
    assert not ledger.has_seen("7", "sandbox")


def test_a_row_that_is_not_there_is_said_and_the_others_are_written(ledger):
    call_id = reserve(ledger)
    with pytest.raises(LedgerError, match="no call 999") as caught:
        ledger.settle([Settlement(call_id=999, tokens=1), Settlement(call_id=call_id, tokens=13)])
    assert (caught.value.spent, caught.value.call_id) == ("maybe", 999)
    assert ledger.call(call_id).tokens == 13
    with pytest.raises(NotFound):
        ledger.call(999)


def test_several_operations_share_one_transaction(ledger):
    call_id = reserve(ledger)
    settled, reserved = ledger.run([("settle", [Settlement(call_id=call_id, tokens=13)]), ("reserve", [intent()])])
    assert settled == [None]
    assert ledger.call(reserved[0]).status == "reserved"


def test_empty_lists_do_nothing(ledger):
    assert ledger.reserve([]) == []
    assert ledger.settle([]) == []
    assert ledger.owned([], account="7", api=LIVE) == set()
    assert ledger.open_calls(ids=[]) == []


def test_a_total_that_was_edited_by_hand_is_found_and_rebuilt(ledger, place):
    ledger.set_budget(100, account="7", api=LIVE, origin=HERE)
    ledger.settle([Settlement(call_id=reserve(ledger), tokens=13)])
    by_hand(place, "UPDATE sums SET tokens = 99", "UPDATE budgets SET spent = 1, held = 5")
    found = ledger.check()
    assert sorted(drift.name.split()[0] for drift in found) == ["budget", "sums"]
    assert next(drift for drift in found if drift.name.startswith("budget")).counted == (13, 0)
    assert len(ledger.rebuild()) == 2
    assert ledger.check() == []
    assert ledger.rebuild() == []
