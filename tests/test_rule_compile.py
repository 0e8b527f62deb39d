"""The compiler: code that means what the tree means, features and signatures, what the octets hold, hostile octets."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext import program
from ext.program_codes import ABSENT, EVENTS, FILTERS, KEYS, OPS
from risk_rules.code import Emitter, Op
from risk_rules.compile import Compiler
from risk_rules.errors import Problems
from risk_rules.rule_types import FOREVER_NS, RuleSet
from risk_rules.trees import PPM, And, Arithmetic, Compare, Condition, Constant, Load, Or, Use, Value
from tests.rule_files import HEAD, faults, load, rule

NAMES = {code: name for name, code in OPS.items()}
UNDEFINED = None
COMPARED = {
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
}
COMPUTED = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "MUL_PPM": lambda a, b: a * b // PPM,
    "RATIO": lambda a, b: a * PPM // b if b else UNDEFINED,
    "MIN": min,
    "MAX": max,
    "NEG": lambda a, _: -a,
    "ABS": lambda a, _: abs(a),
}


def compiled(rules: RuleSet) -> Compiler:
    compiler = Compiler(Problems())
    for found in rules.rules:
        compiler.add(found)
    return compiler


# --- code means what the tree means ---


def evaluated(value: Value, features: dict[Use, int | None]) -> int | None:
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Load):
        return features[value.use]
    left = evaluated(value.left, features)
    right = evaluated(value.right, features) if value.right is not None else 0
    return UNDEFINED if left is None or right is None else COMPUTED[value.op](left, right)


def holds(condition: Condition, features: dict[Use, int | None]) -> bool:
    if isinstance(condition, Compare):
        left, right = evaluated(condition.left, features), evaluated(condition.right, features)
        return left is not None and right is not None and COMPARED[condition.op](left, right)
    parts = (holds(part, features) for part in condition.parts)
    return all(parts) if isinstance(condition, And) else any(parts)


def run(ops: list[Op], values: list[int | None]) -> bool:
    """The machine in plain words: ops from the first to HIT or MISS."""
    stack: list[int | None] = []
    at = 0
    while True:
        op, name = ops[at], NAMES[ops[at].code]
        at += 1
        if name in ("HIT", "MISS"):
            assert stack == []
            return name == "HIT"
        if name == "JUMP":
            at = op.to
        elif name == "CONST":
            stack.append(op.value)
        elif name == "LOAD":
            stack.append(values[op.a])
        elif name.startswith("UNLESS_LOAD"):
            value = values[op.a]
            at = at if value is not None and COMPARED[name[-2:]](value, op.value) else op.to
        elif name.startswith("UNLESS"):
            right, left = stack.pop(), stack.pop()
            at = at if left is not None and right is not None and COMPARED[name[-2:]](left, right) else op.to
        else:
            right = stack.pop() if name not in ("NEG", "ABS") else 0
            left = stack.pop()
            stack.append(UNDEFINED if left is None or right is None else COMPUTED[name](left, right))
        assert len(stack) <= 16


USES = [Use("sum", "count", "account", f"f{number}", window_ns=number) for number in range(4)]
LEAVES = st.one_of(
    st.builds(Constant, st.integers(-5, 5), st.just("count")),
    st.sampled_from(USES).map(lambda use: Load(use, use)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            Arithmetic,
            st.sampled_from(["ADD", "SUB", "MUL", "MIN", "MAX", "RATIO", "MUL_PPM"]),
            inner,
            inner,
            st.just("count"),
        ),
        st.builds(Arithmetic, st.sampled_from(["NEG", "ABS"]), inner, st.none(), st.just("count")),
    ),
    max_leaves=6,
)
CONDITIONS = st.recursive(
    st.builds(Compare, st.sampled_from(sorted(COMPARED)), VALUES, VALUES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(CONDITIONS, st.lists(st.one_of(st.none(), st.integers(-6, 6)), min_size=4, max_size=4))
def test_code_decides_as_the_tree_does(condition, values):
    ops = Emitter(USES.index, lambda compare: 0).block(condition)
    assert run(ops, values) == holds(condition, dict(zip(USES, values, strict=True)))


def test_the_commonest_comparison_is_one_op(tmp_path):
    code = compiled(load(tmp_path, HEAD + rule())).code
    assert [(NAMES[op.code], op.value, op.to) for op in code] == [
        ("UNLESS_LOAD_GT", 1_000_000, 2),
        ("HIT", 0, 0),
        ("MISS", 0, 0),
    ]


def test_the_warn_stage_is_the_same_code_with_smaller_limits(tmp_path):
    text = HEAD + rule(when='"this_shares > huge and this_yuan > fixed(huge_yuan)"', warn_at="90%")
    compiler = compiled(load(tmp_path, text))
    warn, breach = compiler.rules[0].warn, compiler.rules[0].breach
    assert [compiler.code[warn.code + at].value for at in (0, 1)] == [900_000, 10**11]
    assert [compiler.code[breach.code + at].value for at in (0, 1)] == [1_000_000, 10**11]
    assert [compiler.code[warn.code + at].factor for at in (0, 1)] == [0, 1]


def test_too_deep_a_value_is_refused(tmp_path):
    deep = "this_shares-(" * 20 + "this_shares" + ")" * 20
    assert "needs more than 16 values at once" in faults(tmp_path, HEAD + rule(when=f'"{deep} > 5 shares"'))[0]


# --- features, marks, signatures ---

MARKED = rule(
    marks='{big: {on: [order], when: "this_shares > huge", gap: 5 s, per: controller}}',
    when='"times(big, day, side=same) > 3 and fills(1 min, aggressive, after=big) >= 1"',
    for_="1 min",
    escalate="{hits: 3, within: 10 min, to: L5}",
)


def test_equal_uses_are_one_feature(tmp_path):
    text = HEAD + rule(when='"orders(1 s) > 5"') + rule("T2", when='"orders(1 s, per=controller x instrument) > 9"')
    assert len(compiled(load(tmp_path, text)).feature_records) == 1
    assert (
        len(compiled(load(tmp_path, text + rule("T3", per="account", when='"orders(1 s) > 5"'))).feature_records) == 2
    )


def test_fields_of_features(tmp_path):
    text = HEAD + rule(when='"cancel_shares(3 min, best5, side=same, within=1 s, beyond=5%, per=account) > huge"')
    buy, sell = compiled(load(tmp_path, text)).feature_records
    assert (buy.side, sell.side, buy.key, buy.window_ns) == (1, 2, KEYS["account"], 180 * 10**9)
    assert buy.filters == FILTERS["best5"] | FILTERS["within"] | FILTERS["beyond"]
    assert (buy.within_ns, buy.beyond_ppm, buy.events, buy.mark) == (10**9, 50_000, 1 << EVENTS["canceled"], ABSENT)


def test_marks_of_the_officer_and_of_the_machine(tmp_path):
    compiler = compiled(load(tmp_path, HEAD + MARKED))
    big, since, hits = compiler.mark_records
    assert (big.gap_ns, big.key, big.events, big.code) == (5 * 10**9, KEYS["controller"], 1 << EVENTS["order"], 0)
    assert (since.code, hits.code) == (ABSENT, ABSENT)
    record = compiler.rules[0]
    assert (record.for_mark, record.hit_mark) == (1, 2)
    counted = compiler.feature_records[record.hit_feature]
    assert (counted.mark, counted.window_ns, counted.events) == (2, 600 * 10**9, 1 << EVENTS["mark"])


def test_signatures_stay_while_the_definition_stays(tmp_path):
    before = compiled(load(tmp_path, HEAD + rule("T0", when='"rejects(1 s) > 5"') + MARKED))
    moved = compiled(load(tmp_path, HEAD + MARKED.replace("version: 1", "version: 2").replace("> 3 and", "> 4 and")))
    kept = {record.signature for record in moved.feature_records}
    assert kept < {record.signature for record in before.feature_records}
    changed = compiled(load(tmp_path, HEAD + MARKED.replace("gap: 5 s", "gap: 6 s")))
    assert len({record.signature for record in changed.feature_records} & kept) == 2


def test_a_rule_that_is_off_costs_nothing(tmp_path):
    compiler = compiled(load(tmp_path, HEAD + MARKED.replace("breach: block", "breach: block\n  mode: off")))
    assert (compiler.feature_records, compiler.mark_records, compiler.code, compiler.factors) == ([], [], [], [])
    assert len(compiler.rules) == 1


def test_exceptions_are_exemptions_without_end(tmp_path):
    text = HEAD + rule(scope="{except: [X9]}", exempt="[{group: G2, until: 2026-12-31, reason: agreed}]")
    entries = compiled(load(tmp_path, text)).exempts
    assert [(seed, name) for seed, name, _ in entries] == [(2, "G2"), (1, "X9")]
    assert entries[1][2] == FOREVER_NS


# --- octets ---


def test_names_for_people(tmp_path):
    loaded = load(tmp_path, HEAD + MARKED)
    names = program.names(loaded.program)
    assert names["rule_set"] == {"id": "testing", "version": 3}
    assert names["rules"][0]["source"] == {"doc": "rules", "clause": "§1", "basis": "ours"}
    assert (names["rules"][0]["line"], names["rules"][0]["code"]) == (9, 1403)
    assert [(factor["rule"], factor["text"], factor["op"], factor["limit"]) for factor in names["factors"]] == [
        (1, "big: this_shares", ">", "huge"),
        (1, "times(big, day, side=same)", ">", "3"),
        (1, "fills(1 min, aggressive, after=big)", ">=", "1"),
    ]
    assert "fills(1 min, aggressive, after=big, per=controller x instrument)" in names["features"]
    assert list(names["sources"].values()) == [HEAD + MARKED]
    assert len(names["features"]) == struct.unpack_from("<I", loaded.program, 16)[0]


def test_the_same_files_make_the_same_octets(tmp_path):
    text = HEAD + MARKED + rule("T2", scope='{accounts: ["@listed", B1, B2], except: ["@makers"]}')
    assert load(tmp_path, text).program == load(tmp_path, text).program


def test_an_empty_rule_set_is_a_program(tmp_path):
    assert program.names(load(tmp_path, "schema: 1\nrules: []\n").program)["rules"] == []


@pytest.mark.parametrize("cut", [0, 1, 55, 56, 64, -8, -1])
def test_octets_cut_short_are_refused(tmp_path, cut):
    octets = load(tmp_path, HEAD + MARKED).program
    with pytest.raises(ValueError, match="compiled rule set: "):
        program.validate(octets[:cut])


SOUND: list[bytes] = []


@contextmanager
def suppress_value_error() -> Iterator[list[str]]:
    """What a ValueError inside said, if there was one; anything else goes on."""
    told: list[str] = []
    try:
        yield told
    except ValueError as error:
        told.append(str(error))


def crc32c(octets: bytes) -> int:
    """The plain CRC-32C register, bit by bit, without the final inversion."""
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(16, 1400), st.integers(0, 255)), min_size=1, max_size=4))
def test_hostile_octets_with_a_good_checksum_are_refused_or_sound(tmp_path, edits):
    if not SOUND:
        text = HEAD + MARKED + rule("T2", scope='{accounts: ["@listed"], except: [X9], securities: ["@leaders"]}')
        SOUND.append(load(tmp_path, text).program)
    octets = bytearray(SOUND[0])
    for at, value in edits:
        octets[at] = value
    octets[12:16] = struct.pack("<I", crc32c(bytes(octets[56:])))
    with suppress_value_error() as told:
        program.validate(bytes(octets))
    assert all("compiled rule set: " in text for text in told)


def test_damage_is_told_from_the_checksum(tmp_path):
    octets = bytearray(load(tmp_path, HEAD + rule()).program)
    octets[-9] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        program.validate(bytes(octets))
