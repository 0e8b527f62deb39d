"""What two rule sets differ in: tighter, looser, by how much, and what takes a second person."""

import pytest

from risk_rules.loosening import compare, far_looser, needs_second_person
from tests.rule_files import HEAD, load, rule

BASE = {
    "when": '"this_shares > huge and ratio(cancels(day), orders(day)) >= 50%"',
    "warn_at": "90%",
    "breach": "{level: L4, mask: [no_buy, no_sell], hold: 30 min}",
    "escalate": "{hits: 3, within: 10 min, to: L6}",
    "scope": "{accounts: [A1, A2], venues: [XSHG, XSHE], except: [X1]}",
}


def changes(tmp_path, before: str, after: str):
    return compare(load(tmp_path, HEAD + before).rules, load(tmp_path, HEAD + after).rules)


@pytest.mark.parametrize(
    ("field", "value", "verdict", "what"),
    [
        ("when", BASE["when"].replace("50%", "60%"), "looser", "ratio(cancels(day), orders(day)) >="),
        ("when", BASE["when"].replace("50%", "40%"), "tighter", "ratio(cancels(day), orders(day)) >="),
        ("when", BASE["when"].replace('50%"', '50% and orders(day) > 9"'), "looser", "when"),
        ("when", '"ratio(cancels(day), orders(day)) >= 50%"', "tighter", "when"),
        ("when", BASE["when"].replace("cancels(day)", "cancels(1 min)"), "other", "when"),
        ("mode", "shadow", "looser", "mode"),
        ("mode", "canary(5%)", "looser", "mode"),
        ("breach", "{level: L5, hold: 30 min}", "tighter", "breach.level"),
        ("breach", "{level: L4, mask: [no_buy], hold: 30 min}", "looser", "breach.mask"),
        ("breach", "{level: L4, mask: [no_buy, no_sell], hold: 20 min}", "looser", "breach.hold"),
        ("breach", "{level: L4, mask: [no_buy, no_sell]}", "tighter", "breach.hold"),
        ("breach", "{level: L4, mask: [no_buy, no_sell], hold: 30 min, block: true}", "tighter", "breach.block"),
        (
            "breach",
            "{level: L4, mask: [no_buy, no_sell], hold: 30 min, instrument_only: true}",
            "looser",
            "breach.instrument_only",
        ),
        ("warn_at", "95%", "looser", "warn_at"),
        ("warn_at", None, "looser", "warn"),
        ("for_", "5 min", "looser", "for"),
        ("escalate", None, "looser", "escalate"),
        ("escalate", "{hits: 4, within: 10 min, to: L6}", "looser", "escalate.hits"),
        ("escalate", "{hits: 3, within: 20 min, to: L6}", "tighter", "escalate.within"),
        ("scope", "{accounts: [A1], venues: [XSHG, XSHE], except: [X1]}", "looser", "scope.accounts"),
        ("scope", "{venues: [XSHG, XSHE], except: [X1]}", "tighter", "scope.accounts"),
        ("scope", "{accounts: [A1, A2], venues: [XSHG], except: [X1]}", "looser", "scope.venues"),
        ("scope", "{accounts: [A1, A2], except: [X1, X2]}", "looser", "scope.except"),
        ("scope", "{accounts: [A1, A2]}", "tighter", "scope.except"),
        ("exempt", "[{account: A1, until: 2026-12-31, reason: agreed}]", "looser", "exempt A1"),
        ("valid_to", "2026-12-31", "looser", "valid_to"),
        ("on", "[order, cancel]", "tighter", "on"),
        ("per", "account", "other", "per"),
    ],
)
def test_one_change(tmp_path, field, value, verdict, what):
    found = changes(tmp_path, rule(**BASE), rule(**{**BASE, field: value}))
    assert (verdict, what) in {(change.verdict, change.what) for change in found}
    assert needs_second_person(found) == (verdict in ("looser", "other"))


def test_nothing_changes(tmp_path):
    assert changes(tmp_path, rule(**BASE), rule(**BASE, name="only its name")) == ()
    assert changes(tmp_path, rule(**BASE), rule(**BASE)) == ()


def test_rules_that_come_and_go(tmp_path):
    new = changes(tmp_path, rule(), rule() + rule("T2"))
    assert [(change.rule, change.verdict) for change in new] == [("T2", "new")]
    assert not needs_second_person(new)
    gone = changes(tmp_path, rule() + rule("T2"), rule())
    assert [(change.rule, change.verdict) for change in gone] == [("T2", "gone")]
    assert needs_second_person(gone)


@pytest.mark.parametrize(("limit", "times"), [("huge * 9", 9), ("huge * 10", 10), ("huge * 1000", 1000)])
def test_how_many_times_looser(tmp_path, limit, times):
    found = changes(tmp_path, rule(), rule(when=f'"this_shares > {limit}"'))
    assert [change.times for change in found] == [times]
    assert bool(far_looser(found)) == (times >= 10)


def test_a_limit_below_is_looser_when_it_falls(tmp_path):
    before, after = rule(when='"this_age < 10 s"'), rule(when='"this_age < 1 s"')
    (found,) = changes(tmp_path, before, after)
    assert (found.verdict, found.times, found.before, found.after) == ("looser", 10, "10 s", "1 s")
    (back,) = changes(tmp_path, after, before)
    assert (back.verdict, back.times) == ("tighter", 0)


def test_limits_of_marks_count_too(tmp_path):
    mark = '{{big: {{on: [order], when: "this_shares > {limit}"}}}}'
    before = rule(marks=mark.format(limit="huge"), when='"times(big, day) > 3"')
    after = rule(marks=mark.format(limit="huge * 20"), when='"times(big, day) > 3"')
    (found,) = changes(tmp_path, before, after)
    assert (found.verdict, found.times) == ("looser", 20)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "times"),
    [
        ("this_shares >= 5000 shares", "this_shares > 70_000 shares", "looser", 14),
        ("this_shares > 5000 shares", "this_shares >= 70_000 shares", "looser", 14),
        ("this_shares > 5000 shares", "this_shares >= 5000 shares", "tighter", 0),
        ("this_shares >= 5000 shares", "this_shares > 5000 shares", "looser", 1),
        ("this_shares >= 5000 shares", "this_shares > 4999 shares", "other", 0),
        ("this_age < 10 s", "this_age <= 1 s", "looser", 10),
    ],
)
def test_another_sign_hides_no_loosening(tmp_path, before, after, verdict, times):
    (found,) = changes(tmp_path, rule(when=f'"{before}"'), rule(when=f'"{after}"'))
    assert (found.verdict, found.times) == (verdict, times)


def test_another_shape_hides_no_loosening(tmp_path):
    before, after = rule(when='"this_shares > huge"'), rule(when='"this_shares > huge * 20 and orders(day) > 1"')
    assert [(change.verdict, change.times) for change in changes(tmp_path, before, after)] == [
        ("other", 0),
        ("looser", 20),
    ]
