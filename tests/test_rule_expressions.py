"""The language of conditions: units, types, features' arguments, columns of faults, and what can never hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk_rules.calls import Names
from risk_rules.conditions import faults_of
from risk_rules.errors import Place, Problems
from risk_rules.expressions import Parser
from risk_rules.features import TABLE
from risk_rules.trees import And, Arithmetic, Compare, Condition, Constant, Load, Or, scaled
from risk_rules.units import LITERAL, Quantity, UnitError, parse_quantity, shown

PARAMS = {"huge": Quantity(1_000_000, "shares"), "dwell": Quantity(10**9, "time")}
MARKS = {"big": ("T1@1.big", "controller x instrument")}


def parse(
    text: str,
    key: str = "controller x instrument",
    lets: dict[str, str] | None = None,
    events: tuple[str, ...] = ("order",),
) -> tuple[Condition | None, list[str]]:
    """(condition, faults as `column: message`), unreachable parts included."""
    problems = Problems("T")
    at = {name: (let, lambda column: Place("let", 1, column + 1)) for name, let in (lets or {}).items()}
    parser = Parser(Names(key, events, PARAMS, MARKS), problems, at)
    condition = parser.parse(text, lambda column: Place("", 1, column + 1))
    if condition is not None:
        for compare, message in faults_of(condition):
            problems.add(compare.place() if compare.place else Place(""), message)
    return condition, [line.removeprefix(":1:").replace(" T:", "", 1) for _, line in sorted(problems.errors)]


def good(text: str, **options: object) -> Condition:
    condition, faults = parse(text, **options)  # type: ignore[arg-type]
    assert faults == []
    assert condition is not None
    return condition


def one(text: str, **options: object) -> Compare:
    condition = good(text, **options)
    assert isinstance(condition, Compare)
    return condition


def wrong(text: str, **options: object) -> str:
    _, faults = parse(text, **options)  # type: ignore[arg-type]
    assert len(faults) == 1, faults
    return faults[0]


# --- units ---


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("15", 15, "count"),
        ("300_000 shares", 300_000, "shares"),
        ("30万 shares", 300_000, "shares"),
        ("30万股", 300_000, "shares"),
        ("1亿 yuan", 10**12, "yuan"),
        ("1.5亿元", 15 * 10**11, "yuan"),
        ("1000万 yuan", 10**11, "yuan"),
        ("2%", 20_000, "ratio"),
        ("50 bps", 5_000, "ratio"),
        ("500 ppm", 500, "ratio"),
        ("1 s", 10**9, "time"),
        ("250 ms", 25 * 10**7, "time"),
        ("3 min", 18 * 10**10, "time"),
        ("2 h", 72 * 10**11, "time"),
        ("12.50 yuan/share", 125_000, "price"),
        ("12.5元/股", 125_000, "price"),
        ("0.5%", 5_000, "ratio"),
        ("-3%", -30_000, "ratio"),
    ],
)
def test_quantities_are_exact(text, value, unit):
    assert parse_quantity(text) == Quantity(value, unit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 shares", "finer than 1 share"),
        ("0.00001 yuan", "finer than 0.0001 yuan"),
        ("0.00001%", "finer than 1 ppm"),
        ("99999999999亿 yuan", "too large"),
        ("5 lots", "unknown unit `lots`"),
        ("yuan", "no number"),
        ("", "no number"),
    ],
)
def test_what_is_no_quantity(text, message):
    with pytest.raises(UnitError, match=message):
        parse_quantity(text)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["count", "shares", "yuan", "price", "ratio", "time"]))
def test_what_is_shown_reads_back(value, unit):
    text = shown(value, unit).replace(" ns", "0 ns")
    if unit == "time" and " ns" in text:
        return
    assert parse_quantity(text) == Quantity(value, unit)


def test_a_unit_ends_where_the_word_ends():
    match = LITERAL.match("3 minutes")
    assert match is not None
    assert match["unit"] is None


# --- trees ---


def test_comparison_of_a_feature_with_a_parameter():
    compare = one("fill_shares(3 min, side=same) > huge")
    assert isinstance(compare.left, Load)
    assert (compare.left.use.side, compare.left.on_sell.side) == (1, 2)
    assert compare.left.use.window_ns == 180 * 10**9
    assert (compare.op, compare.right) == ("GT", Constant(1_000_000, "shares"))
    assert (compare.text, compare.limit) == ("fill_shares(3 min, side=same)", "huge")


def test_a_constant_on_the_left_is_turned_round():
    assert one("100 < orders(1 s)") == one("orders(1 s) > 100")
    assert good("5 < orders(1 s) < 9") == good("orders(1 s) > 5 and orders(1 s) < 9")


def test_not_is_pushed_down_to_the_comparisons():
    assert good("not orders(1 s) > 5") == good("orders(1 s) <= 5")
    assert good("not (orders(1 s) > 5 or fills(1 s) < 3)") == good("orders(1 s) <= 5 and fills(1 s) >= 3")
    assert good("not not this_aggressive") == good("this_aggressive")
    assert good("not this_aggressive") == Compare("LT", one("this_aggressive").left, Constant(1, "flag", True))
    assert isinstance(good("not (orders(1 s) > 5 and fills(1 s) < 3)"), Or)
    assert isinstance(good("orders(1 s) > 5 and fills(1 s) > 3 and rejects(1 s) > 2"), And)


def test_products_keep_the_unit_of_what_is_multiplied():
    share = one("own_best5_shares(side=same) > 30% * best5_shares(side=same)").right
    assert isinstance(share, Arithmetic)
    assert (share.op, share.unit) == ("MUL_PPM", "shares")
    assert one("fill_shares(1 s) > huge * 2").right == Constant(2_000_000, "shares")
    assert one("fill_shares(1 s) > huge * 50%").right == Constant(500_000, "shares")


def test_rise_and_fall_are_never_negative():
    assert one("rise(1 min) > 2%").left.op == "MAX"
    assert "always true" in wrong("fall(1 min) >= 0")


def test_lets_are_inlined_and_a_bare_zero_fits_every_unit():
    assert good("s > 50%", lets={"s": "ratio(cancels(day), orders(day))"}) == good(
        "ratio(cancels(day), orders(day)) > 50%"
    )
    assert good("s and fill_yuan(day) > 0", lets={"s": "orders(1 s) > 5"})
    assert wrong("a > 5", lets={"a": "b", "b": "a"}).endswith("`let` a -> b -> a goes in a circle")


def test_the_row_of_a_feature_is_the_rules_unless_it_says_another():
    def key(text: str, of: str = "controller x instrument") -> str:
        return one(text, key=of).left.use.key

    assert key("orders(1 s) > 1") == "controller x instrument"
    assert key("orders(1 s, per=account x venue) > 1") == "account x venue"
    assert key("market_shares(1 s) > huge") == "instrument"
    assert key("market_shares(1 s) > huge", "controller x venue") == "venue"
    assert key("market_shares(1 s, security=000001.XSHG) > huge") == "fixed"
    assert key("open_shares(side=buy) > huge", "account") == "account x instrument"
    assert key("age(big) > 1 s") == "controller x instrument"
    assert "of whom?" in wrong("open_shares > huge", key="firm")


def test_only_the_limit_side_is_scaled_and_nothing_fixed():
    condition = good("fill_shares(1 min) > huge and fills(1 min) < 5 and orders(1 s) > fixed(10) and rejects(1 s) >= 3")
    limits = [part.right.value for part in scaled(condition, 900_000).parts]
    assert limits == [900_000, 5, 10, 2]


@pytest.mark.parametrize(
    "text",
    [
        "times(big, day, side=same) > 3",
        "age(big) < 5 min",
        "fills(30 min, after=big) > 0",
        "orders(phase, beyond=5%) >= 1",
        "cancels(dwell, best5, within=dwell) > 3",
        "fill_yuan(1 min, aggressive, side=same) > 1亿 yuan",
        "this_aggressive == true",
        "fill_shares(day, self) > 10% * market_shares(day)",
        "abs(move(1 min)) > 1%",
        "max(orders(1 s), fills(1 s), 3) > 5",
        "high(5 min) - low(5 min) > 1.00 yuan/share",
        "time_of_day > 14 h + 57 min",
        "fills(1 s, aggressive=true) > 3",
        "is_at_limit(side=opposite) or not is_at_limit(side=same)",
        "-move(1 min) > 1%",
        "sent_per_s > 299",
    ],
)
def test_what_the_language_takes(text):
    assert good(text)


def test_every_feature_of_the_table_can_be_used():
    for feature in TABLE:
        needs = {"mark": "big", "window": "1 min"}
        arguments = ", ".join(needs[need] for need in feature.needs)
        text = f"{feature.name}({arguments})" if arguments else feature.name
        load = one(text if feature.unit == "flag" else f"{text} > {text} + {text}").left
        assert load.unit == feature.unit


# --- faults ---


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fill_yuan(1 s) > huge", "1: compares yuan with shares"),
        ("fill_shares(1 s) > 5", "1: compares shares with count"),
        ("cancel_rati(day) > 50%", "1: unknown feature `cancel_rati`: did you mean `cancel_yuan`?"),
        ("orders(1 s) > 5 lots", "17: unknown unit `lots`"),
        ("orders(1 s) > 5 shres", "17: unknown unit `shres`: did you mean `shares`?"),
        ("orders > 5", "1: `orders` has no window: expected 100 ms to 30 min, phase or day"),
        ("orders(31 min) > 5", "8: the window of `orders` is 31 min: expected 100 ms to 30 min, phase or day"),
        ("orders(50 ms) > 5", "8: the window of `orders` is 50 ms: expected 100 ms to 30 min, phase or day"),
        ("orders(5) > 5", "8: the window of `orders`, 100 ms to 30 min, phase or day: got 5, a count, expected a time"),
        (
            "orders(dwel) > 5",
            "8: unknown name `dwel` for the window of `orders`, 100 ms to 30 min, phase or day: did you mean `dwell`?",
        ),
        (
            "orders(1 s, sid=same) > 5",
            "13: `orders` takes no `sid=`, only `orders(window, side=, per=, aggressive, passive, "
            "at_limit, best5, beyond=, after=)`: did you mean `side`?",
        ),
        (
            "orders(1 s, side=sam) > 5",
            "18: side: got `sam`, expected one of buy, sell, same, opposite: did you mean `same`?",
        ),
        ("fills(1 s, after=bg) > 5", "18: unknown mark `bg`: did you mean `big`?"),
        ("orders(1 s, aggressive, passive) > 5", "25: no order is both aggressive and passive"),
        ("big > 5", "1: `big` is a mark: use times(big, day), age(big) or after=big"),
        (
            "ratio(orders(1 s), fills(1 s))",
            "1: `ratio(orders(1 s), fills(1 s))` is a ratio, not a condition: compare it",
        ),
        ("ratio(orders(1 s), 0) > 5%", "20: divides by zero"),
        ("ratio(order_yuan(1 s), huge) > 5%", "1: `ratio` of yuan and shares: expected one unit"),
        ("orders(1 s) / 5 > 3", "1: there is no division: use ratio(a, b)"),
        (
            "order_yuan(1 s) * order_yuan(1 s) > 3",
            "1: multiplies yuan by yuan: expected a count or a ratio on one side",
        ),
        ("order_yuan(1 s) + huge > 3 yuan", "1: adds shares to yuan"),
        ("orders(1 s) > 5 if 1 else 2", "1: `if` is not part of the language"),
        ("(lambda: 1) > 5", "2: `lambda` is not part of the language"),
        ("orders(1 s).x > 5", "1: a dot is not part of the language"),
        ("orders(1 s)[0] > 5", "1: an index is not part of the language"),
        ('"a" > 5', "1: expected a number with its unit, a parameter or a feature"),
        ("orders(1 s) > 中", "15: `中` is not part of the language"),
        ("orders(1 s) >", "14: cannot be read from here on"),
        ("  orders(1 s) > 5 yuan", "3: compares count with yuan"),
        ("fixed(orders(1 s)) > 5", "1: `fixed` keeps a constant from being scaled, and this is none"),
        ("5 > 3", "1: compares two constants: it is always true or always false"),
        ("this_aggressive > 3", "1: compares flag with count"),
        ("orders(1 s) in 5", "16: expected one of < <= > >= == !="),
        ("orders(1 s, side=same, aggressive) > 3", "34: names like `aggressive` come before those with `=`"),
        ("", "1: an empty expression"),
    ],
)
def test_faults_name_their_column(text, fault):
    assert wrong(text) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("orders(1 s) >= 0", "1: `orders(1 s) >= 0` is always true"),
        ("orders(1 s) < 0", "1: `orders(1 s) < 0` is always false"),
        ("orders(1 s) > 5 and orders(1 s) < 3", "21: unreachable: `orders(1 s) < 3` contradicts `orders(1 s) > 5`"),
        ("orders(1 s) > 5 and orders(1 s) < 6", "21: unreachable: `orders(1 s) < 6` contradicts `orders(1 s) > 5`"),
        ("orders(1 s) > 5 or orders(1 s) <= 5", "1: one branch of the `or` always holds"),
        (
            "orders(1 s) > 5 and (fills(1 s) > 3 or orders(1 s) == 2)",
            "40: unreachable branch: `orders(1 s) == 2` contradicts `orders(1 s) > 5`",
        ),
        ("orders(1 s) == orders(1 s)", "1: `orders(1 s) == orders(1 s)` is always true"),
        ("time_of_day > 25 h", "1: `time_of_day > 25 h` is always false"),
        ("ratio(fills(1 s), orders(1 s)) < 0%", "1: `ratio(fills(1 s), orders(1 s)) < 0%` is always false"),
    ],
)
def test_what_can_never_hold_or_always_does(text, fault):
    assert wrong(text) == fault


def test_a_ratio_is_not_taken_to_be_at_most_one_and_moves_may_be_negative():
    assert good("ratio(fills(1 s), orders(1 s)) > 150%")
    assert good("move(1 min) < 0 or move(1 min) > 2%")
    assert good("orders(1 s) > 5 and orders(2 s) < 3")


def test_several_faults_are_told_at_once():
    _, faults = parse("fill_yuan(1 s) > huge and ordrs(1 s) > 5 or not (this_shares > 5 yuan)")
    assert len(faults) == 3


def test_this_order_means_nothing_at_a_quote():
    assert "also judged `on` quotes" in wrong("this_shares > huge", events=("order", "quote"))
    assert good("time_of_day > 14 h", events=("quote",))


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text):
    parse(text)


PIECES = [
    "orders(1 s)",
    "huge",
    "5",
    "50%",
    "3 min",
    "and",
    "or",
    "not",
    "(",
    ")",
    ">",
    "<",
    "==",
    "ratio(",
    ",",
    "fixed(",
    "this_shares",
    "+",
    "*",
    "-",
    "times(big, day)",
    "side=same",
    "1亿元",
    "a.b",
    "day",
    "per=account x venue",
    "  ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_no_order_of_words_breaks_the_parser(pieces):
    condition, faults = parse(" ".join(pieces))
    assert (condition is None) <= bool(faults)
