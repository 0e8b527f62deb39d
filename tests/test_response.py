"""The response ladder step by step, against the model: what each level stops, who may release it, and what is told."""
from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext import queries, replay, response, sweeps
from tests import actions as act
from tests.desk import CHINEXT_STOCK, MAIN_STOCK, MS, STAR_STOCK, TEN, Desk
from tests.model_response import FIRM, Change, Subject
from tests.model_state import BUY, P_CLOSE_CALL, P_CONTINUOUS, PASS, S_REJECTED, SELL
from tests.pair import Twin

A: Subject = ("account", "A", None)
B: Subject = ("account", "B", None)
FAMILY: Subject = ("group", "family", None)
A_MAIN: Subject = ("account", "A", MAIN_STOCK)
FAMILY_MAIN: Subject = ("group", "family", MAIN_STOCK)
SECOND_MS = 1_100


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose every step the model and the engine take together."""
    twin = Twin(tmp_path / "journal")
    found = Desk(model=twin)
    for account in (found.a, found.b, found.c):
        for key in (MAIN_STOCK, STAR_STOCK, CHINEXT_STOCK):
            found.hold_shares(account, key, 10_000)
    yield found
    twin.close()


def step(desk: Desk, action: act.Action) -> act.Outcome:
    return desk.model.step(action)  # type: ignore[union-attr]


def raise_to(desk: Desk, subject: Subject, level: int, **more: Any) -> int:
    return step(desk, act.SetLevel(desk.now_ns, subject, Change(level, **({"by": "ann"} | more)))).code


def release(desk: Desk, subject: Subject, level: int, by: str = "ann", approved_by: str = "") -> int:
    return step(desk, act.ReleaseLevel(desk.now_ns, subject, level, by, approved_by)).code


def engine_of(desk: Desk) -> Any:
    return desk.model.pair.driver.engine  # type: ignore[union-attr]


# What each level stops


def test_a_warning_stops_nothing(desk: Desk) -> None:
    assert raise_to(desk, A, 1) == PASS
    assert desk.code() == PASS


@pytest.mark.parametrize(
    ("mask", "stopped", "passes"),
    [
        (1, {"side": BUY}, {"side": SELL}),
        (2, {"side": SELL}, {"side": BUY}),
        (4, {"kind": 5, "price": 0}, {"kind": 1}),
        (256, {"key": MAIN_STOCK}, {"key": STAR_STOCK, "qty": 200}),
        (512, {"key": STAR_STOCK, "qty": 200}, {"key": MAIN_STOCK}),
        (1024, {"key": CHINEXT_STOCK}, {"key": MAIN_STOCK}),
    ],
)
def test_a_mask_stops_what_it_names_and_nothing_else(desk: Desk, mask: int, stopped: Any, passes: Any) -> None:
    raise_to(desk, A, 4, mask=mask)
    found = desk.send(**stopped)
    assert (found.code, found.value, found.limit, found.scope) == (1002, mask, 4, "account")
    assert desk.code(**passes) == PASS
    assert desk.code(account="C", **stopped) == PASS


def test_no_auction_and_no_programme(desk: Desk) -> None:
    raise_to(desk, A, 4, mask=8)
    assert desk.code() == PASS
    desk.phase(P_CLOSE_CALL)
    assert desk.code() == 1002
    desk.phase(P_CONTINUOUS)
    raise_to(desk, B, 4, mask=16)
    assert desk.code(account="B") == PASS
    desk.port.programme = True
    assert desk.code(account="B") == 1002


@pytest.mark.parametrize(
    ("subject", "scope"), [(A, "account"), (FAMILY, "group"), (A_MAIN, "instrument"), (FAMILY_MAIN, "instrument")]
)
def test_a_throttle_counts_accepted_orders_of_its_subject(desk: Desk, subject: Subject, scope: str) -> None:
    raise_to(desk, subject, 3, throttle=2)
    assert [desk.code(price=TEN - 100 * k) for k in range(2)] == [PASS, PASS]
    found = desk.send()
    assert (found.code, found.value, found.limit, found.scope) == (1204, 3, 2, scope)
    if subject[0] == "group":
        assert desk.code(account="B") == 1204
    if subject[2] is not None:
        assert desk.code(key=STAR_STOCK, qty=200) == PASS
    desk.wait(SECOND_MS)
    assert desk.code() == PASS


@pytest.mark.parametrize("subject", [A, FAMILY, A_MAIN, FAMILY_MAIN])
def test_cancel_only_stops_orders_and_lets_cancels_pass(desk: Desk, subject: Subject) -> None:
    order = desk.open()
    raise_to(desk, subject, 5)
    assert order.is_open
    found = desk.send()
    assert (found.code, found.value, found.limit) == (1002, 5, 5)
    assert desk.model.cancel(desk.port, "A", order.request.cl_ord_id, desk.now_ns).code == PASS


@pytest.mark.parametrize("subject", [A, FAMILY, A_MAIN, FAMILY_MAIN, FIRM])
def test_a_freeze_cancels_opens_a_review_and_takes_two_to_lift(desk: Desk, subject: Subject) -> None:
    order = desk.open()
    level = 7 if subject == FIRM else 6
    raise_to(desk, subject, level)
    assert order.cancel_pending
    assert desk.code() == (1002 if subject[2] else 1501)
    review = queries.tickets(engine_of(desk))[-1]
    assert (review["is_open"], review["by"]) == (True, "ann")
    for pair in (("ann", ""), ("ann", "ann"), ("", "bob")):
        assert release(desk, subject, 0, *pair) == 1605
    assert release(desk, subject, 0, "ann", "bob") == PASS
    assert desk.code(price=TEN - 100) == PASS
    response.close_ticket(engine_of(desk), review["ticket"], by="bob", reason="explained", now_ns=desk.now_ns)
    assert queries.tickets(engine_of(desk))[-1]["is_open"] is False


# Up and down


def test_set_level_only_tightens(desk: Desk) -> None:
    raise_to(desk, A, 4, mask=1)
    assert raise_to(desk, A, 3, throttle=1) == 1605
    assert raise_to(desk, A, 3, throttle=1, by="", rule=9) == 0
    assert raise_to(desk, A, 4, mask=2, until_ns=desk.now_ns + MS) == PASS
    row = queries.levels(engine_of(desk))[0]
    assert (row["mask"], row["until_ns"]) == (["NO_BUY", "NO_SELL"], 0)
    assert raise_to(desk, A, 4, mask=2) == 0


def test_a_warning_without_an_end_keeps_no_harder_level_in_force(desk: Desk) -> None:
    raise_to(desk, A, 1, by="", rule=9)
    raise_to(desk, A, 4, mask=1, until_ns=desk.now_ns + 900 * MS, by="", rule=9)
    row = queries.levels(engine_of(desk))[0]
    assert (row["level"], row["until_ns"]) == (4, desk.now_ns + 900 * MS)
    desk.wait(901)
    assert desk.code() == PASS


def test_it_steps_down_one_level_for_each_cool_off(desk: Desk) -> None:
    raise_to(desk, A, 4, mask=1, until_ns=desk.now_ns + 900 * MS)
    desk.wait(899)
    assert desk.code() == 1002
    desk.wait(1)
    assert desk.code() == PASS, "a level that ran out binds no more, journaled or not"
    found = []
    for _ in range(4):
        step(desk, act.OnTime(desk.now_ns))
        found.append([(row["level"], row["until_ns"] - desk.now_ns) for row in queries.levels(engine_of(desk))])
        desk.wait(900)
    assert found == [[(3, 900 * MS)], [(1, 900 * MS)], [], []]


@pytest.mark.parametrize(
    ("subject", "change", "field"),
    [
        (A, Change(0, by="ann"), "level"), (A, Change(8, by="ann"), "level"), (A, Change(7, by="ann"), "level"),
        (FIRM, Change(6, by="ann"), "level"), (A, Change(4, by="ann"), "mask"), (A, Change(4, 32, by="ann"), "mask"),
        (A, Change(3, by="ann"), "throttle_per_s"), (A, Change(1, until_ns=1, by="ann"), "until_ns"),
        (A, Change(5, until_ns=2 * 10**18, by="ann"), "until_ns"), (A, Change(1), "by"),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_field(desk: Desk, subject: Subject, change: Change, field: str) -> None:
    desk.open()
    kind, index, instrument = desk.model.pair.driver.world.subject(subject)  # type: ignore[union-attr]
    terms = {"mask": change.mask, "throttle_per_s": change.throttle, "until_ns": change.until_ns, "by": change.by}
    with pytest.raises(ValueError, match=f"^{field}: got "):
        response.set_level(
            engine_of(desk), kind, index, change.level, instrument=instrument, now_ns=desk.now_ns, **terms
        )
    assert step(desk, act.SetLevel(desk.now_ns, subject, change)).code == 1605


@pytest.mark.parametrize(("kind", "index"), [(0, 0), (5, 0), (1, 3), (2, 1), (3, 1), (4, 10_000)])
def test_a_subject_that_is_not_there_is_refused(desk: Desk, kind: int, index: int) -> None:
    desk.open()
    for call in (response.set_level, response.release_level):
        with pytest.raises(ValueError, match="no "):
            call(engine_of(desk), kind, index, 7 if kind == 3 else 1, by="ann", now_ns=desk.now_ns)
    with pytest.raises(ValueError, match="no "):
        response.open_ticket(engine_of(desk), kind, index, by="ann", reason="why", now_ns=desk.now_ns)


def test_an_unkill_takes_two(desk: Desk) -> None:
    desk.model.kill(desk.a, desk.now_ns)
    for by, approved_by in (("ann", ""), ("", "bob"), ("ann", "ann")):
        with pytest.raises(ValueError, match="expected two different persons"):
            sweeps.kill(engine_of(desk), 2, 0, False, by, desk.now_ns, approved_by=approved_by)
    assert desk.code() == 1501
    desk.model.unkill(desk.a)
    assert desk.code() == PASS


def test_names_that_are_too_long_are_cut_between_characters(desk: Desk) -> None:
    raise_to(desk, A, 1, by="官" * 40)
    assert queries.levels(engine_of(desk))[0]["by"] == "官" * 10
    assert raise_to(desk, B, 1, by="\udcff") == PASS


# Suspended orders


def test_a_confirmation_is_judged_on_the_market_of_its_own_time(desk: Desk) -> None:
    raise_to(desk, A, 2)
    desk.send(cl_ord_id="one")
    desk.send(cl_ord_id="two")
    assert step(desk, act.Confirm(desk.now_ns, "A", "one")).code == PASS
    desk.quote(MAIN_STOCK, TEN // 2, TEN // 2, TEN // 2)
    assert step(desk, act.Confirm(desk.now_ns, "A", "two")).code == 1107
    order = desk.a.orders["two"]
    assert (order.status, order.reject_code) == (S_REJECTED, 1107)


def test_a_programmes_order_is_denied_at_once(desk: Desk) -> None:
    raise_to(desk, A, 2)
    desk.port.programme = True
    found = desk.send()
    assert (found.code, found.value) == (1502, 2)
    assert queries.suspended_orders(engine_of(desk)) == []


def test_time_ends_a_suspended_order_to_the_nanosecond(desk: Desk) -> None:
    raise_to(desk, A, 2)
    desk.send(cl_ord_id="one")
    row = queries.suspended_orders(engine_of(desk))[0]
    assert (row["account"], row["cl_ord_id"], row["code"]) == ("A", "one", 1502)
    assert row["confirm_by_ns"] == desk.now_ns + 30_000 * MS
    assert step(desk, act.OnTime(row["confirm_by_ns"] - 1)).reports == ()
    assert len(step(desk, act.OnTime(row["confirm_by_ns"])).reports) == 1
    assert step(desk, act.Confirm(row["confirm_by_ns"], "A", "one")).code == 1606
    desk.send(cl_ord_id="two")
    late = step(desk, act.Confirm(desk.now_ns + 30_000 * MS, "A", "two"))
    assert (late.code, len(late.reports)) == (1606, 1)


def test_a_level_set_meanwhile_binds_the_confirmation(desk: Desk) -> None:
    raise_to(desk, A, 2)
    desk.send(cl_ord_id="one")
    raise_to(desk, FAMILY, 4, mask=1)
    assert step(desk, act.Confirm(desk.now_ns, "A", "one")).code == 1002
    desk.send(cl_ord_id="two", account="C")
    assert desk.c.orders["two"].is_open


# Told


def test_everyone_who_watches_hears_of_a_level(desk: Desk) -> None:
    desk.send()
    driver = desk.model.pair.driver  # type: ignore[union-attr]
    raise_to(desk, FAMILY, 4, mask=1 | 4)
    release(desk, FAMILY, 0)
    raise_to(desk, A_MAIN, 1)
    told = [(n.account, n.level, n.rule, n.text) for n in driver.notices]
    assert told == [
        ("A", 4, "", "L4 RESTRICT NO_BUY NO_MARKET"), ("B", 4, "", "L4 RESTRICT NO_BUY NO_MARKET"),
        ("A", 0, "", "L0 OBSERVE"), ("B", 0, "", "L0 OBSERVE"), ("A", 1, "", "L1 WARN"),
    ]  # fmt: skip
    driver.notices.clear()
    assert response.notify(driver.engine, 0, 1, "Z0601@7", "60 % cancelled", desk.now_ns) == 1
    driver.take(driver.observer)
    assert [(n.rule, n.text, n.time_ns) for n in driver.notices] == [("Z0601@7", "60 % cancelled", desk.now_ns)]


def test_the_journal_tells_who_when_and_why(desk: Desk) -> None:
    desk.send()
    engine = engine_of(desk)
    cause = {"rule": 5, "rule_set": 2, "hit_offset": 64, "reason": "flash"}
    at = response.set_level(engine, 1, 0, 4, mask=3, now_ns=desk.now_ns, **cause)
    fields = replay.frame_fields(engine.journal, at)
    assert {key: fields[key] for key in ("level", "previous", "mask", "rule", "rule_set", "hit_offset", "reason")} == {
        "level": 4, "previous": 0, "mask": 3, "rule": 5, "rule_set": 2, "hit_offset": 64, "reason": "flash",
    }  # fmt: skip
    assert [name for _, _, name, _, _ in replay.frames(engine.journal)][-1] == "LEVEL"


# Properties

LEVELS = st.lists(
    st.tuples(
        st.sampled_from([A, B, FAMILY, A_MAIN, FAMILY_MAIN]), st.integers(1, 6), st.integers(1, 31), st.integers(1, 3)
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(levels=LEVELS, rng=st.randoms(use_true_random=False))
def test_no_order_passes_under_a_mask_and_no_level_stops_a_cancel(
    tmp_path_factory: pytest.TempPathFactory, levels: list[tuple[Subject, int, int, int]], rng: random.Random
) -> None:
    twin = Twin(tmp_path_factory.mktemp("property") / "journal")
    desk = Desk(model=twin)
    try:
        before = [desk.open(account=name, price=TEN - 100) for name in "AB"]
        for subject, level, mask, throttle in levels:
            raise_to(desk, subject, level, mask=mask, throttle=throttle)
        for _ in range(6):
            name, side = rng.choice("AB"), rng.choice((BUY, SELL))
            passed = desk.send(side=side, account=name, price=TEN - 100 if side == BUY else TEN).code == PASS
            binding: list[Subject] = [("account", name, None), ("account", name, MAIN_STOCK), FAMILY, FAMILY_MAIN]
            own = [twin.standings.get(subject) for subject in binding]
            forbidden = any(s and (s.level >= 5 or (s.level == 4 and s.mask & side)) for s in own)
            assert not (passed and forbidden)
        for order in before:
            code = twin.cancel(desk.port, order.account.name, order.request.cl_ord_id, desk.now_ns).code
            assert code in (PASS, 1607), "only a cancel that is under way already stands in its way"
    finally:
        twin.close()
