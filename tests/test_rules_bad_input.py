"""Bad input to the rules: each kind has one outcome, worded alike by `rules check` and a push, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from ext import response, suspended
from gateway import cli
from gateway.pb import control_pb2 as api
from tests.rule_desk import SECOND, RuleDesk
from tests.rule_files import HEAD, rule
from tests.system.officers import rules_of
from tests.test_control_desk import World

HOUR = 3600 * SECOND
ACCOUNT, WAITS = 1, 7
Make = Callable[..., RuleDesk]


# --- files: `rules check` and a push say the same ---

OVERLAP = (
    "17:7: T1: is also at FILE:9:7, in force at the same time: "
    "another id, or valid_from and valid_to that do not overlap"
)
FAULTY = {
    "a broken YAML": ("schema: 1\nrules: [", "3:1: file: broken YAML: did not find expected node content"),
    "a division by zero": (HEAD + rule(when='"ratio(orders(day), 0) > 5%"'), "15:29: T1: divides by zero"),
    "a window without bound": (
        HEAD + rule(when='"orders() > 5"'),
        "15:10: T1: `orders` has no window: expected 100 ms to 30 min, phase or day",
    ),
    "a window too long": (
        HEAD + rule(when='"orders(31 min) > 5"'),
        "15:17: T1: the window of `orders` is 31 min: expected 100 ms to 30 min, phase or day",
    ),
    "a huge file": (
        HEAD + rule() + "#" + "x" * (4 << 20),
        "1:1: file: more than 4194304 bytes, expected less: split it in files",
    ),
    "a file nested without end": ("[" * 100_000, "1:33: file: nested deeper than 32"),
    "a duplicate id": (HEAD + rule() + rule(), OVERLAP),
    "a limit of zero": (
        HEAD.replace("1_000_000 shares", "0 shares") + rule(when='"this_shares > 5 shares"'),
        "7:16: params.huge: a limit of zero: write 0 in the rule where nothing at all is meant",
    ),
    "a warning at zero": (HEAD + rule(warn_at="0%"), "17:12: T1: warn_at: a limit of zero"),
    "an unknown set": (
        HEAD + rule(scope='{accounts: ["@maker"]}'),
        "17:22: T1: unknown set `@maker`: did you mean `makers`?",
    ),
    "yuan against shares": (HEAD + rule(when='"this_yuan > huge"'), "15:10: T1: compares yuan with shares"),
}
NOBODY = HEAD + rule(scope="{accounts: [NOBODY]}")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """check(*arguments) of `tidegate rules check`: (exit code, stderr)."""
    entry = EntryPoint("rules", "risk_rules.cli:rules", "tidegate.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry] if group == "tidegate.commands" else [])

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.run(["rules", "check", *arguments])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_file_is_refused_in_words(check: Any, tmp_path: Path, kind: str) -> None:
    text, fault = FAULTY[kind]
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    assert check(str(path)) == (1, f"{path}:{fault.replace('FILE', str(path))}\n")


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_push_changes_nothing(tmp_path: Path, kind: str) -> None:
    text, fault = FAULTY[kind]

    async def whole() -> None:
        world = await World(tmp_path).open()
        await world.desk.push("olga", rules_of(300_000), "first")
        pushed = await world.desk.push("olga", {"rules.yaml": text}, "faulty")
        assert pushed.state == api.FAULTY
        assert list(pushed.errors) == [f"rules.yaml:{fault.replace('FILE', 'rules.yaml')}"]
        assert len(world.shard.rule_sets) == 1

    asyncio.run(whole())


def test_a_scope_nobody_matches(check: Any, tmp_path: Path) -> None:
    path, accounts = tmp_path / "rules.yaml", tmp_path / "limits.yaml"
    path.write_text(NOBODY)
    accounts.write_text("accounts:\n- {id: A1}\n- {id: B1}\n")
    fault = f"{path}:9:7: T1: its scope matches none of the 2 accounts\n"
    assert check(str(path), "--limits-accounts", str(accounts)) == (1, fault)


def test_a_folder_without_rules(check: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert check(str(tmp_path)) == (1, f"{tmp_path}:1:1: file: no rule files in this folder, expected some *.yaml\n")


# --- values at run time ---


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    desks = []

    def made(*rules: str, **more: Any) -> RuleDesk:
        desks.append(RuleDesk(tmp_path, *rules, **more))
        return desks[-1]

    yield made
    for desk in desks:
        desk.check()
        desk.close()


def text(when: str, *, breach: str = "block", more: str = "") -> str:
    return f'mode: enforce\nper: account\non: [order]\nwhen: "{when}"\nbreach: {breach}\n{more}'


def test_a_division_by_zero_at_run_time_is_undefined_and_stops_nothing(make: Make) -> None:
    share = "ratio(cancels(day), fills(day)) {} 50%"
    desk = make(text(share.format(">=")), text(share.format("<")), text("not " + share.format(">=")))
    first = desk.order()
    assert first.reject_code == ""
    desk.fill(first)
    assert desk.order().text == "R1403 ABNORMAL v=0 lim=500000 rule=R2@2 scope=account:A0000000"


# --- a clock that jumps ---


def test_a_clock_ahead_empties_windows_and_keeps_the_day(make: Make) -> None:
    desk = make(text("orders(1 s) > 2"), text("orders(day) > 4"))
    assert [desk.code() for _ in range(3)] == ["", "", "R1403"]
    desk.wait(HOUR)
    assert [desk.code() for _ in range(3)] == ["", "", "R1403"], "two more; the day has its four"
    desk.wait(HOUR)
    assert desk.order().text == "R1403 ABNORMAL v=5 lim=4 rule=R2@2 scope=account:A0000000"


def test_a_clock_that_goes_back_counts_in_the_newest_step(make: Make) -> None:
    desk = make(text("orders(1 s) > 2"))
    assert [desk.code() for _ in range(2)] == ["", ""]
    desk.wait(-HOUR)
    assert desk.code() == "R1403", "what was counted is not forgotten"


def test_a_clock_that_goes_back_silences_no_alert(make: Make) -> None:
    """Hits keep apart by cool_off; a hit far in the future of the clock keeps nothing apart."""
    desk = make(text("this_shares > 100 shares", more="cool_off: 1 min\n"))
    desk.code(qty=200)
    desk.wait(-HOUR)
    assert desk.code(qty=200) == "R1403"
    assert desk.code(qty=200) == "R1403"
    assert desk.hits() == [("R1", 2), ("R1", 2)]


def test_a_clock_that_goes_back_stops_no_mark(make: Make) -> None:
    marks = 'marks: {large: {on: [order], when: "this_shares >= 200 shares", gap: 1 min}}\n'
    desk = make(text("times(large, day) > 1", more=marks))
    assert desk.code(qty=200) == ""
    desk.wait(-HOUR)
    assert desk.code(qty=200) == ""
    assert desk.code(qty=100) == "R1403"


@pytest.mark.parametrize(("jump_ns", "codes"), [(-HOUR, ("R1002", "R1002")), (HOUR, ("", ""))])
def test_a_level_with_an_end_ends_at_its_own_time(make: Make, jump_ns: int, codes: tuple[str, str]) -> None:
    """Ahead it is over before anybody says so; back it binds until the time that was written, and no longer."""
    desk = make()
    until_ns = desk.now_ns + 60 * SECOND
    response.set_level(desk.engine, ACCOUNT, 0, 4, mask=1, until_ns=until_ns, by="ann", reason="r", now_ns=desk.now_ns)
    desk.wait(jump_ns)
    desk.quote()
    before = desk.code()
    response.on_time(desk.engine, desk.now_ns)
    assert (before, desk.code()) == codes
    desk.now_ns = until_ns
    desk.quote()
    assert desk.code() == ""


def test_a_suspended_order_ends_when_the_clock_goes_ahead(make: Make) -> None:
    desk = make(text("this_shares > 100 shares", breach="{confirm: true, ttl: 20 s}"))
    waiting = desk.order(qty=200)
    assert waiting.exec_type == WAITS
    desk.wait(HOUR)
    desk.quote()
    assert suspended.confirm(desk.engine, waiting.order_id, "ann", desk.now_ns) == 1606
    response.on_time(desk.engine, desk.now_ns)
    (ended,) = desk.events("ORDER_RELEASED")
    assert ended["code"] == 1403


def test_a_suspended_order_waits_on_when_the_clock_goes_back(make: Make) -> None:
    desk = make(text("this_shares > 100 shares", breach="{confirm: true, ttl: 20 s}"))
    waiting = desk.order(qty=200)
    desk.wait(-HOUR)
    desk.quote()
    assert response.on_time(desk.engine, desk.now_ns) == 0
    assert suspended.confirm(desk.engine, waiting.order_id, "ann", desk.now_ns) == 1


# --- quotes ---


def test_without_a_quote_the_ladder_decides(make: Make) -> None:
    desk = make(text("move(1 min) >= 0%"), quotes=False)
    report = desk.order()
    assert report.reject_code == "R1110"
    assert desk.hits() == []
    desk.quote()
    assert desk.code() == "R1403"


def test_with_a_stale_quote_the_ladder_decides(make: Make) -> None:
    desk = make(text("this_shares >= 100 shares"))
    desk.now_ns += 3 * HOUR
    assert desk.code() == "R1110"
    assert desk.hits() == []
    desk.quote()
    assert desk.code() == "R1403"


# --- hits that changed nothing ---


def test_a_hit_that_was_not_enforced_silences_none_that_is(make: Make) -> None:
    """A new window is watched until it is full; the first hit after that acts, whatever was seen before."""
    level = "{level: L4, mask: [no_buy], hold: 10 min}"
    desk = make(text("this_shares > 1_000_000 shares"))
    desk.order()
    desk.rules(text("orders(10 s) > 2", breach=level, more="cool_off: 30 min\n"))
    assert [desk.code() for _ in range(4)] == [""] * 4
    assert [alert["enforced"] for alert in desk.alerts()] == [False]
    desk.wait(15 * SECOND)
    desk.quote()
    assert [desk.code() for _ in range(4)] == ["", "", "", "R1002"]
    assert [alert["enforced"] for alert in desk.alerts()] == [False, True]


def test_a_rule_that_leaves_shadow_acts_at_once(make: Make) -> None:
    level = "{level: L4, mask: [no_buy], hold: 10 min}"
    one = text("this_shares > 100 shares", breach=level, more="cool_off: 30 min\n")
    desk = make(one.replace("enforce", "shadow"))
    assert desk.code(qty=200) == ""
    desk.rules(one)
    assert [desk.code(qty=200), desk.code()] == ["", "R1002"]
    assert [alert["enforced"] for alert in desk.alerts()] == [False, True]
