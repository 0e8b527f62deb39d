"""Rule files as a whole: what is refused and how it is said, dates, scopes, versions of a rule, hostile files."""

from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext.codes import ACCOUNT_TAGS, BOARDS, VENUES
from ext.program_codes import LEVELS, MASKS
from risk_rules import shapes
from risk_rules.features import FLAGS, SIDES
from risk_rules.load import load_rules, rule_files
from risk_rules.rule_types import Account, RuleSet
from risk_rules.schema_command import schema_text
from risk_rules.times import date_text
from tests.rule_files import HEAD, faults, load, rule

SHIPPED = Path(shapes.__file__).parent
ACCOUNTS = [Account("A1"), Account("LT1", "G1"), Account("M1", "", ACCOUNT_TAGS["market_maker"])]


def only_fault(tmp_path: Path, text: str | bytes, **options: object) -> str:
    found = faults(tmp_path, text, **options)
    assert len(found) == 1, found
    return found[0]


# --- what a good file means ---


def test_a_rule_as_meant(tmp_path):
    text = HEAD + rule(
        per="controller",
        on="[order, fill]",
        scope='{accounts: ["@listed", B2], except: ["@makers", X9], venues: [XSHG], '
        'boards: [STAR], st: none, securities: ["@leaders"], sides: [buy], phases: [OPEN_CALL], time: "09:15-09:25"}',
        when='"orders(1 s) > 5"',
        for_="5 min",
        warn_at="90%",
        warn="L0",
        mode="canary(5%)",
        cool_off="2 min",
        breach="{level: L4, mask: [no_buy, no_star], hold: 30 min, instrument_only: true}",
        escalate="{hits: 3, within: 10 min, to: L5}",
        valid_from="2025-07-07",
        valid_to="2027-01-01 09:30",
        exempt='[{account: A1, until: 2026-12-31, reason: "agreed"}]',
    )
    (found,) = load(tmp_path, text).rules
    scope = found.scope
    assert (scope.ids, scope.groups, scope.prefixes) == ({"A1", "B2"}, {"G1"}, {"LT"})
    assert (scope.tags_none, scope.ids_none, scope.sides, scope.st) == (ACCOUNT_TAGS["market_maker"], {"X9"}, 2, 2)
    assert (scope.phases, scope.boards, scope.venues) == (0b1100, 1 << BOARDS["STAR"], 1 << VENUES["XSHG"])
    assert scope.securities == {(1, 688981), (1, 600519)}
    assert (scope.time_from_s, scope.time_to_s) == (33300, 33900)
    assert (found.mode, found.canary_pct, found.warn_ppm, found.for_ns) == ("canary", 5, 900_000, 300 * 10**9)
    assert (found.breach.level, found.breach.mask, found.breach.until_ns) == (
        4,
        MASKS["no_buy"] | MASKS["no_star"],
        1800 * 10**9,
    )
    assert (date_text(found.valid_from_ns), date_text(found.valid_to_ns)) == ("2025-07-07", "2027-01-01 09:30:00")
    assert found.exempts[0].reason == "agreed"


@pytest.mark.parametrize(
    ("breach", "level", "effects"),
    [
        ("L0", 0, 0),
        ("block", 1, 1),
        ("confirm", 2, 2),
        ("L6", 6, 0),
        ("{block: true, sells: true}", 1, 5),
        ("{confirm: true}", 2, 2),
    ],
)
def test_what_a_hit_asks_for(tmp_path, breach, level, effects):
    (found,) = load(tmp_path, HEAD + rule(breach=breach)).rules
    assert (found.breach.level, found.breach.effects) == (level, effects)


def test_rules_of_a_day(tmp_path):
    text = (
        HEAD + rule(valid_to="2026-07-06") + rule(version="2", valid_from="2026-07-06", when='"this_shares > 5 shares"')
    )

    def versions(day: date | None) -> list[int]:
        return [found.version for found in load(tmp_path, text, day=day).rules]

    assert versions(date(2026, 7, 5)) == [1]
    assert versions(date(2026, 7, 6)) == [2]
    assert versions(None) == [1, 2]


def test_two_versions_at_the_same_time_are_refused(tmp_path):
    text = HEAD + rule(valid_to="2026-07-07") + rule(version="2", valid_from="2026-07-06")
    assert "is also at rules.yaml:9:7, in force at the same time" in only_fault(tmp_path, text)


def test_one_id_in_two_files_is_refused(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(HEAD + rule(name="another"))
    path = tmp_path / "rules.yaml"
    path.write_text(HEAD + rule())
    with pytest.raises(Exception, match=r"rules.yaml:9:7: T1: is also at .*other.yaml:9:7"):
        load_rules([other, path])


def test_the_order_of_files_does_not_change_the_hash(tmp_path):
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path, name in zip(paths, ("T1", "T2"), strict=True):
        path.write_text(HEAD + rule(name))
    assert load_rules(paths).sha256 == load_rules(paths[::-1]).sha256
    before = load_rules(paths).sha256
    paths[0].write_text(HEAD + rule("T1", name="changed"))
    assert load_rules(paths).sha256 != before


def test_a_directory_is_its_rule_files(tmp_path):
    for name in ("b.yaml", "a.yaml", "a_test.yaml", "limits.yaml", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in rule_files(tmp_path)] == ["a.yaml", "b.yaml"]


def test_rules_that_bind_nobody(tmp_path):
    assert "its scope matches none of the 3 accounts" in only_fault(
        tmp_path, HEAD + rule(scope="{accounts: [NOBODY]}"), accounts=ACCOUNTS
    )
    for scope in (
        "{accounts: [A1]}",
        '{accounts: ["LT*"]}',
        '{accounts: ["@makers"]}',
        '{accounts: ["@listed"]}',
        '{except: ["@makers"]}',
    ):
        assert faults(tmp_path, HEAD + rule(scope=scope), accounts=ACCOUNTS) == []
    unwanted = HEAD + rule(scope='{accounts: ["@makers"], except: ["@makers"]}')
    assert any("matches none" in line for line in load(tmp_path, unwanted, accounts=ACCOUNTS).warnings)
    off = HEAD + rule(scope="{accounts: [NOBODY]}", mode="off")
    assert any("matches none" in line for line in load(tmp_path, off, accounts=ACCOUNTS).warnings)


def test_warnings(tmp_path):
    text = HEAD + rule(exempt='[{account: A1, until: 2026-01-01, reason: "agreed"}]', let="{unused: this_shares}")
    warnings = load(tmp_path, text, day=date(2026, 11, 23)).warnings
    assert any("the exemption of A1 has expired on 2026-01-01" in line for line in warnings)
    assert any("let `unused` is used nowhere" in line for line in warnings)
    assert any("names no test" in line for line in warnings)


def test_tests_beside_the_file(tmp_path):
    (tmp_path / "rules_test.yaml").write_text("tests:\n- name: benign_vwap\n")
    assert faults(tmp_path, HEAD + rule(tests="[benign_vwap]")) == []
    assert only_fault(tmp_path, HEAD + rule(tests="[benign_wap]")).endswith(
        "T1: unknown test `benign_wap`: did you mean `benign_vwap`?"
    )


# --- faults ---


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"source": None}, "9:3: T1: `source` is missing: expected a mapping"),
        (
            {"source": '{doc: d, clause: "§1"}'},
            "12:11: T1: source: `basis` is missing: expected one of ours, published, vendor",
        ),
        ({"whn": "x"}, "17:3: T1: unknown key `whn`: did you mean `when`?"),
        (
            {"per": "acount"},
            "13:8: T1: per: got 'acount', expected whose row: account or controller (also \"x instrument\" or "
            '"x venue"), instrument, venue or firm',
        ),
        (
            {"on": "[ordr]"},
            "14:8: T1: on: got 'ordr', expected one of cancel, canceled, fill, order, quote: did you mean `order`?",
        ),
        ({"on": "[]"}, "14:7: T1: on: an empty list, expected some of cancel, canceled, fill, order, quote"),
        (
            {"scope": "{boards: [MAI]}"},
            "17:20: T1: scope.boards: got 'MAI', expected one of CHINEXT, MAIN, STAR: did you mean `MAIN`?",
        ),
        ({"scope": '{accounts: ["@maker"]}'}, "17:22: T1: unknown set `@maker`: did you mean `makers`?"),
        ({"scope": '{securities: ["@leader"]}'}, "17:24: T1: unknown list `@leader`: did you mean `leaders`?"),
        (
            {"scope": '{except: ["LT*"]}'},
            "17:20: T1: scope.except: the start of ids is not taken here: tag sets, ids and groups only",
        ),
        (
            {"scope": '{phases: [OPEN_CALL], time: "10:00-11:00"}'},
            "17:20: T1: unreachable: OPEN_CALL is never within 10:00-11:00",
        ),
        ({"scope": '{time: "11:00-10:00"}'}, "17:17: T1: unreachable: scope.time: 11:00-10:00 ends before it begins"),
        ({"scope": "{venues: [XSHE], boards: [STAR]}"}, "17:36: T1: unreachable: XSHE has no board STAR"),
        ({"when": '"this_yuan > huge"'}, "15:10: T1: compares yuan with shares"),
        ({"when": '"this_shares > hug"'}, "15:24: T1: unknown feature `hug`: did you mean `huge`?"),
        ({"when": '"ratio(orders(day), 0) > 5%"'}, "15:29: T1: divides by zero"),
        ({"when": '"orders > 5"'}, "15:10: T1: `orders` has no window: expected 100 ms to 30 min, phase or day"),
        (
            {"when": '"orders(1 h) > 5"'},
            "15:17: T1: the window of `orders` is 1 h: expected 100 ms to 30 min, phase or day",
        ),
        ({"warn_at": "0%"}, "17:12: T1: warn_at: a limit of zero"),
        (
            {"warn_at": "90%", "warn": "L5"},
            "17:12: T1: warn above breach: the warning asks for more than the breach does",
        ),
        (
            {"warn_at": "90%", "when": '"this_shares > fixed(huge)"'},
            "17:12: T1: warn_at changes nothing: no constant on the limit side of > or >=, or too small a one",
        ),
        (
            {"warn_at": "90%", "when": '"move(1 min) > -5%"'},
            "17:12: T1: warn above breach: a scaled limit is above the limit itself",
        ),
        ({"for_": "0 s"}, "17:8: T1: for: 0 s: a limit of zero"),
        ({"mode": "canary(0%)"}, "17:9: T1: mode: a limit of zero: canary of 1% to 99%, or off"),
        (
            {"breach": "{level: L4}"},
            "16:19: T1: breach: L4 restricts nothing without `mask`: expected some of no_buy, "
            "no_sell, no_market, no_auction, no_programme, no_main, no_star, no_chinext",
        ),
        ({"breach": "{level: L3}"}, "16:19: T1: breach: L3 needs `throttle`, new orders a second"),
        ({"on": "[fill]"}, "16:11: T1: breach: nothing to block: the rule is not `on` order or cancel"),
        (
            {"per": "firm", "breach": "L5"},
            "16:11: T1: breach: a rule per firm binds no account: expected L0, L1, block, confirm or L7",
        ),
        (
            {"escalate": "{hits: 3, within: 40 min, to: L4}", "breach": "{level: L1, mask: [no_buy]}"},
            "17:31: T1: escalate.within: 40 min: too long",
        ),
        (
            {"escalate": "{hits: 0, within: 4 min, to: L5}"},
            "17:20: T1: escalate.hits: got '0', expected a whole number from 1 to 1000000",
        ),
        ({"code": "R1493"}, "17:9: T1: unknown reject code `R1493`: did you mean `R1403`?"),
        ({"valid_from": "2026-02-30"}, "17:15: T1: valid_from: `2026-02-30` is no day of the calendar"),
        (
            {"valid_from": "2026-03-01", "valid_to": "2026-03-01"},
            "18:13: T1: unreachable: valid_to is not after valid_from",
        ),
        (
            {"exempt": "[{account: A1, reason: x}]"},
            "17:12: T1: exempt: `until` is missing: expected a date or time in Shanghai, "
            "YYYY-MM-DD or YYYY-MM-DD HH:MM",
        ),
        ({"exempt": "[{until: 2026-01-01, reason: x}]"}, "17:20: T1: exempt: expected either an account or a group"),
        (
            {"marks": '{big: {on: [order], when: "this_shares > huge", gap: 3}}'},
            "17:63: T1: marks.big.gap: got '3', expected a time like 1 s, 250 ms, 3 min",
        ),
    ],
)
def test_faults_of_a_rule(tmp_path, fields, fault):
    assert only_fault(tmp_path, HEAD + rule(**fields)) == f"rules.yaml:{fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            HEAD.replace("1_000_000 shares", "0 shares") + rule(when='"this_shares > 5 shares"'),
            "7:16: params.huge: a limit of zero: write 0 in the rule where nothing at all is meant",
        ),
        (
            HEAD.replace("1_000_000 shares", "5 lots") + rule(when='"this_shares > 5 shares"'),
            "7:16: params.huge: unknown unit `lots`",
        ),
        (HEAD.replace("market_maker", "maker") + rule(), "4:19: file: sets.makers.tags: got 'maker', expected one of "),
        (HEAD + rule("t1"), "9:7: t1: id: got 't1', expected a capital letter and 1 to 23 letters"),
        (HEAD + rule() + rule(), "17:7: T1: is also at rules.yaml:9:7, in force at the same time"),
        (HEAD + rule() + "  name: again\n", "17:3: T1: `name` again: the first is on line 11"),
        ("", "1:1: file: the file is empty, expected rules"),
        ("schema: 2\nrules: []", "1:9: file: schema: got '2', expected one of 1"),
        ("rules: []", "1:1: file: `schema` is missing: expected one of 1"),
        ("schema: 1\nrules:\n\t- id: X", "3:1: file: a tab in the indentation, expected spaces"),
        ("schema: 1\nrules: [", "3:1: file: broken YAML: "),
        ("schema: 1\nrules: &a [*a]", "2:12: file: an alias: use `let`, `params` or `sets` to say things once"),
        ("[" * 5000, "1:33: file: nested deeper than 32"),
        ("- " * 5000, "1:65: file: nested deeper than 32"),
        (b"schema: 1\nrules: [\xff]", "2:9: file: no UTF-8 at byte 18, expected text"),
        (b"schema: 1\nrules: []\n#" + b"x" * (4 << 20), "1:1: file: more than 4194304 bytes, expected less"),
        ("schema: 1\x00", "1:10: file: broken YAML: "),
    ],
)
def test_faults_of_a_file(tmp_path, text, fault):
    assert only_fault(tmp_path, text).startswith(f"rules.yaml:{fault}")


def test_every_fault_at_once(tmp_path):
    text = (
        HEAD
        + rule(when='"fill_yuan(1 s) > huge and ordrs(1 s) > 3"', warn_at="101%")
        + rule("T2", per="acount", on="[]")
    )
    assert len(faults(tmp_path, text)) == 5


def test_columns_in_blocks_and_folded_lines(tmp_path):
    block = HEAD + rule(when="|\n    this_shares > huge\n    and this_yuan > huge")
    assert only_fault(tmp_path, block) == "rules.yaml:17:9: T1: compares yuan with shares"
    plain = HEAD + rule(when="this_shares > huge\n    and this_yuan > huge")
    assert only_fault(tmp_path, plain) == "rules.yaml:16:9: T1: compares yuan with shares"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Exception, match=r"nothing.yaml:1:1: file: No such file"):
        load_rules([tmp_path / "nothing.yaml"])


# --- hostile files ---

SAMPLE = HEAD + rule(
    marks='{big: {on: [order], when: "this_shares > huge", gap: 1 s}}',
    let='{s: "times(big, day, side=same)"}',
    when='"s > 3 and ratio(cancels(day), orders(day)) >= 50%"',
    warn_at="90%",
    scope='{accounts: ["@listed"]}',
    exempt="[{account: A1, until: 2026-12-31, reason: x}]",
)
PIECES = [
    "\t",
    "\x00",
    "*a",
    "&a ",
    "[",
    "{",
    "]",
    "}",
    "'",
    '"',
    "|",
    ">",
    "- ",
    "  ",
    ":",
    "\n",
    "#",
    "万",
    "!!python/name:x",
    "<<",
    "?",
    "not ",
    "ratio(",
    "-1",
    "1e9",
    "\U0001f600",
    "999999999999999999999亿 yuan",
    "None",
    "[]",
    "null",
]
EDITS = st.lists(
    st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 30), st.sampled_from(PIECES)), min_size=1, max_size=5
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS)
def test_damaged_files_are_refused_in_words(tmp_path, edits):
    text = SAMPLE
    for at, cut, piece in edits:
        text = text[:at] + piece + text[at + cut :]
    for line in faults(tmp_path, text):
        assert line.startswith("rules.yaml:") or line.endswith("more errors")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_refused_in_words(tmp_path, octets):
    assert faults(tmp_path, octets)


# --- names and schema ---


def test_names_are_those_of_the_core():
    assert set(get_args(shapes.Mask)) == set(MASKS)
    assert set(get_args(shapes.Level)) == set(LEVELS)
    assert set(get_args(shapes.Tag)) == set(ACCOUNT_TAGS)
    assert set(get_args(shapes.Board)) == set(BOARDS)
    assert set(get_args(shapes.Venue)) == set(VENUES)


def test_the_committed_schema_is_current():
    assert (SHIPPED / "schema.json").read_text() == schema_text()


def test_many_rules_in_little_time(tmp_path):
    text = HEAD + "".join(rule(f"T{at:04}", scope=f"{{accounts: [A{at}]}}") for at in range(600))
    loaded: RuleSet = load(tmp_path, text)
    assert len(loaded.rules) == 600


def test_documented_examples_compile(tmp_path):
    documented = (SHIPPED.parent / "docs" / "rules.md").read_text()
    examples = [part.split("```")[0] for part in documented.split("```yaml\n")[1:]]
    ids = [found.id for text in examples for found in load(tmp_path, text).rules]
    assert ids == ["X1001", "X1002"]


def test_every_word_of_the_language_is_in_the_manual():
    documented = (SHIPPED.parent / "docs" / "rules.md").read_text()
    for word in (*FLAGS, *SIDES, *MASKS, *("within=", "beyond=", "after=", "security=", "per=")):
        assert word in documented, word
