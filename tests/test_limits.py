"""The limits loader: the shipped file, every error message, ranges, sharing, and its speed."""

# ruff: noqa: E501  (the table of messages reads best with one message to a line)
import hashlib
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.codes import ACCOUNT_TAGS, BOARDS, VENUES
from gateway.limits import load_limits
from risk_rules.marked import ConfigError, scaled

SHIPPED = Path(__file__).parent.parent / "risk_rules" / "limits.yaml"
GOOD = """\
schema: 1
rule_set: {id: hard-limits, version: 3}
fees: {commission_rate_pct: 0.025, commission_min_yuan: 5, transfer_rate_pct: 0.001, handling_rate_pct: 0.00341,
       regulatory_rate_pct: 0.002, stamp_rate_pct: 0.05}
boards:
  MAIN: &board
    {buy_min_shares: 100, step_shares: 100, odd_lot_shares: 100, max_limit_shares: 1000000, max_market_shares: 1000000,
     cage_bps: 200, cage_ticks: 10, ord_types: [LIMIT, MARKET_IOC]}
  STAR: *board
  CHINEXT: *board
collars: {OPEN_CALL: {bps: 1000, ticks: 20}, CONTINUOUS: {bps: 500, ticks: 20}, CLOSE_CALL: {bps: 500, ticks: 20}}
market_data: {max_age_ms: 10000}
firm: {gross_limit_yuan: 4000, long_limit_yuan: 2000, short_limit_yuan: 2000.5, capital_limit_yuan: 3000}
groups:
  - {id: G1, gross_limit_yuan: 300, long_limit_yuan: 150, short_limit_yuan: 150}
profiles:
  retail:
    max_qty_shares: 1000
    max_ntl_yuan: 5000
    gross_limit_yuan: 2000
    long_limit_yuan: 1000
    short_limit_yuan: 1000
    position_limit_shares: 10000
    open_orders: 500
    open_orders_per_symbol: 100
    rate_out_per_s: 299
    rate_out_per_day: 19999
    rate_symbol_per_s: 50
    dup_window_ms: 100
    dup_max: 5
    boards: [MAIN, STAR]
    ord_types: [LIMIT]
    restricted: [{symbol: 600000, security_exchange: XSHG, sides: [BUY]}]
accounts:
  - {id: A1, profile: retail, group: G1, shareholder: {XSHG: A100000001, XSHE: 0100000001}, cash_yuan: 1000.25}
  - {id: A2, profile: retail, shareholder: {XSHG: A100000002, XSHE: 0100000002}, cash_yuan: 0, state: FROZEN, dup_max: 9}
  - {ids: LT098-LT101, profile: retail, shareholder: {XSHG: A199999998, XSHE: 0200000001}, cash_yuan: 7, owner_type: 103}
positions:
  - {account: A1, symbol: 600519, security_exchange: XSHG, total_shares: 1000, sellable_shares: 900}
tokens:
  - {token_sha256: HASH, accounts: [A1, LT*], rate_in_per_s: 2000, cancel_rate_in_per_s: 4000, reject_streak_max: 100, reject_latch_ms: 5000}
""".replace("HASH", "ab" * 32)

# (what is replaced in GOOD, by what, the whole message with line number)
BAD = [
    ("reject_latch_ms: 5000", "reject_latch_ms: 5000, programme: yes",
     "41: tokens[0].programme: got 'yes', expected one of true, false"),
    ("schema: 1\n", "schema: 2\n", "1: schema: got '2', expected one of 1"),
    ("schema: 1\n", "schema: 1\nshema: 1\n",
     "2: file: got unknown key 'shema', expected one of schema, rule_set, fees, boards, collars, market_data, firm, groups, "
     'strategies, units, profiles, accounts, positions, positions_file, locates, tokens; did you mean "schema"?'),
    ("schema: 1\n", "schema: 1\nschema: 1\n", "2: schema: got the key again, expected it once (the first is on line 1)"),
    ("version: 3", "version: three", "2: rule_set.version: got 'three', expected a whole number from 1 to 1000000000"),
    ("id: hard-limits", "id: hard limits",
     "2: rule_set.id: got 'hard limits', expected 1 to 32 letters, digits, dots or dashes"),
    ("commission_rate_pct: 0.025", "commission_rate_pct: 0.0250001",
     "3: fees.commission_rate_pct: got '0.0250001', expected a percentage from 0 to 10 with at most 5 decimals"),
    ("stamp_rate_pct: 0.05}", "}", "3: fees.stamp_rate_pct: got nothing, expected a percentage from 0 to 10 with at most 5 decimals"),
    ("  CHINEXT: *board\n", "", "6: boards.CHINEXT: got nothing, expected a value"),
    ("  CHINEXT: *board\n", "  CHINXT: *board\n",
     "10: boards: got unknown key 'CHINXT', expected one of MAIN, STAR, CHINEXT; did you mean \"CHINEXT\"?"),
    ("cage_bps: 200", "cage_bps: 0", "8: boards.MAIN.cage_bps: got '0', expected a whole number from 1 to 10000 basis points"),
    ("MARKET_IOC", "MARKET_IOK",
     "8: boards.MAIN.ord_types: got 'MARKET_IOK', expected one of LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, "
     'MARKET_OWN_BEST, MARKET_OPPOSITE_BEST, MARKET_IOC, MARKET_FOK; did you mean "MARKET_IOC"?'),
    ("CLOSE_CALL: {bps: 500, ticks: 20}", "CLOSE_CALL: 500", "11: collars.CLOSE_CALL: got '500', expected a mapping"),
    ("max_age_ms: 10000", "max_age_ms: -1",
     "12: market_data.max_age_ms: got '-1', expected a whole number from 1 to 1000000000"),
    ("gross_limit_yuan: 4000, ", "",
     "13: firm.gross_limit_yuan: got nothing, expected an amount of yuan above 0, at most 100 000 000 000 000, with at "
     "most 4 decimals"),
    ("long_limit_yuan: 2000,", "long_limit_yuan: 0,",
     "13: firm.long_limit_yuan: got '0', expected an amount of yuan above 0, at most 100 000 000 000 000, with at most 4 "
     "decimals"),
    ("long_limit_yuan: 2000,", "long_limit_yuan: 2e9,",
     "13: firm.long_limit_yuan: got '2e9', expected an amount of yuan above 0, at most 100 000 000 000 000, with at most 4 "
     "decimals"),
    ("capital_limit_yuan: 3000", "capital_limit_yuan: [3000]",
     "13: firm.capital_limit_yuan: got a list, expected an amount of yuan above 0, at most 100 000 000 000 000, with at "
     "most 4 decimals"),
    ("groups:\n", "groups:\n  - {id: G1, gross_limit_yuan: 1, long_limit_yuan: 1, short_limit_yuan: 1}\n",
     "16: groups[1].id: got 'G1', expected an id that no other group has"),
    ("    max_qty_shares: 1000\n", "    max_qty_shares: 1000 shares\n",
     "18: profiles.retail.max_qty_shares: got '1000 shares', expected a whole number from 1 to 1000000000000 shares"),
    ("    short_limit_yuan: 1000\n", "",
     "34: accounts[0].short_limit_yuan: got nothing, expected a value here or in profiles.retail"),
    ("boards: [MAIN, STAR]", "boards: [MAIN, BSE]",
     "31: profiles.retail.boards: got 'BSE', expected one of MAIN, STAR, CHINEXT"),
    ("boards: [MAIN, STAR]", "boards: []", "31: profiles.retail.boards: got a list, expected at least one of MAIN, STAR, CHINEXT"),
    ("symbol: 600000", "symbol: 60000", "33: profiles.retail.restricted[0].symbol: got '60000', expected six digits"),
    ("profile: retail, group: G1", "profile: retial, group: G1",
     "35: accounts[0].profile: got 'retial', expected the name of a profile; did you mean \"retail\"?"),
    ("group: G1", "group: G2", "35: accounts[0].group: got 'G2', expected the id of a group"),
    ("XSHG: A100000001, XSHE", "XSHG: 10001, XSHE",
     "35: accounts[0].shareholder.XSHG: got '10001', expected ten digits, or a capital letter and nine digits"),
    ("XSHG: A100000001, XSHE: 0100000001", "XSHE: 0100000001",
     "35: accounts[0].shareholder.XSHG: got nothing, expected ten digits, or a capital letter and nine digits"),
    ("cash_yuan: 1000.25", "cash_yuan: 1000.25001",
     "35: accounts[0].cash_yuan: got '1000.25001', expected an amount of yuan, 0 or more, with at most 4 decimals"),
    ("state: FROZEN", "state: FROSEN",
     "36: accounts[1].state: got 'FROSEN', expected one of NORMAL, SELL_ONLY, CANCEL_ONLY, FROZEN; did you mean \"FROZEN\"?"),
    ("id: A2", "id: A1", "36: accounts[1].id: got 'A1', expected one that is not taken (line 35 has it)"),
    ("XSHG: A100000002", "XSHG: A100000001",
     "36: accounts[1].shareholder.XSHG: got 'A100000001', expected one that is not taken (line 35 has it)"),
    ("{id: A2", "{id: A2, ids: B1-B2", "36: accounts[1]: got both id and ids, expected one of them"),
    ("{id: A2, ", "{", "36: accounts[1]: got neither id nor ids, expected one of them"),
    ("owner_type: 103", "owner_type: 2", "37: accounts[2].owner_type: got '2', expected one of 1, 103, 104"),
    ("owner_type: 103", "tags: [hft, maker]", "37: accounts[2].tags: got 'maker', expected one of programme, hft, market_maker"),
    ("LT098-LT101", "LT101-LT098",
     "37: accounts[2].ids: got 'LT101-LT098', expected a range like LT000001-LT004000: same width, going up, at most "
     "1 000 000 ids of 16 characters"),
    ("LT098-LT101", "LT098-LU101", "37: accounts[2].ids: got 'LT098-LU101', expected a range like LT000001-LT004000"),
    ("account: A1", "account: A3", "39: positions[0].account: got 'A3', expected the id of an account"),
    ("sellable_shares: 900", "sellable_shares: 1001",
     "39: positions[0].sellable_shares: got 1001, expected at most total_shares, 1000"),
    ("positions:\n", "positions_file: nowhere.csv\npositions:\n", "nowhere.csv: file: No such file or directory"),
    ("ab" * 32, "secret", "41: tokens[0].token_sha256: got 'secret', expected 64 lower-case hexadecimal digits"),
    ("[A1, LT*]", "[A1, LX*]",
     "41: tokens[0].accounts: got 'LX*', expected the id of an account, or the start of some"),
    ("[A1, LT*]", "A1", "41: tokens[0].accounts: got 'A1', expected a list"),
    ("groups:\n", "strategies:\n  - {id: grid}\ngroups:\n",
     "15: strategies[0].gross_limit_yuan: got nothing, expected an amount of yuan above 0"),
    ("groups:\n", "strategies: [{id: a, gross_limit_yuan: 1}, {id: a, gross_limit_yuan: 1}]\ngroups:\n",
     "14: strategies[1].id: got 'a', expected an id that no other strategy has"),
    ("dup_max: 9", "unit: U1", "36: accounts[1].unit: got 'U1', expected the id of a trading unit"),
    ("dup_max: 9", "risk_level: C6", "36: accounts[1].risk_level: got 'C6', expected one of C1, C2, C3, C4, C5"),
    ("dup_max: 9", "c1_lowest: true", "36: accounts[1].c1_lowest: got true, expected it with risk_level C1 only"),
    ("dup_max: 9", "price_window_pct: 2",
     "36: accounts[1].price_window_pct: got it without the others, expected all of price_window_pct, price_window_ms, "
     "price_window_ntl_yuan, or none"),
    ("dup_max: 9", "concentration_pct: 0", "36: accounts[1].concentration_pct: got '0', expected a percentage above 0"),
    ("dup_max: 9", "loss_action: STOP", "36: accounts[1].loss_action: got 'STOP', expected one of SELL_ONLY, CANCEL_ONLY"),
    ("positions:\n", "locates:\n  - {account: A3, symbol: 600519, security_exchange: XSHG, shares: 5}\npositions:\n",
     "39: locates[0].account: got 'A3', expected the id of an account"),
    ("positions:\n", "locates:\n" + 2 * "  - {account: A1, symbol: 600519, security_exchange: XSHG, shares: 5}\n" + "positions:\n",
     "40: locates[1]: got a mapping, expected one locate for each account and security"),
    ("fees: {", "fees: {{", "5: syntax: did not find expected ',' or '}', expected YAML"),
]


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        path = tmp_path / "limits.yaml"
        path.write_text(text)
        return load_limits(path)

    return load_text


def test_optional_limits(load):
    plain = load(GOOD)
    assert (plain.strategies, plain.units, plain.locates, plain.firm.loss_limit_e4) == ((), (), (), 0)
    assert (plain.accounts[0].limits.max_adv_bps, plain.accounts[0].traits, plain.accounts[0].unit_index) == (0, 0, -1)
    limits = load(
        GOOD.replace("    max_ntl_yuan", "    max_adv_pct: 2.5\n    loss_limit_yuan: 70\n    loss_action: CANCEL_ONLY\n    max_ntl_yuan")
        .replace("dup_max: 9", "dup_max: 9, max_adv_pct: 1, risk_level: C1, c1_lowest: true, unit: U2")
        .replace("groups:\n", "units: [{id: U1, net_buy_quota_yuan: 5}, {id: U2, net_buy_quota_yuan: 6}]\n"
                 "strategies: [{id: grid, gross_limit_yuan: 1, raet_max: 3}]\ngroups:\n")
        .replace("capital_limit_yuan: 3000", "capital_limit_yuan: 3000, order_value_per_day_yuan: 9"))
    first, second = limits.accounts[:2]
    assert (first.limits.max_adv_bps, first.limits.loss_limit_e4, first.limits.loss_action) == (250, 700_000, 3)
    assert (second.limits.max_adv_bps, second.limits.loss_limit_e4, second.traits, second.unit_index) == (100, 700_000, 12, 1)
    assert (limits.strategies[0].raet_max, limits.strategies[0].raet_window_s) == (3, 60)
    assert limits.firm.order_value_per_day_e4 == 90_000


def test_shipped_file_loads():
    limits = load_limits(SHIPPED)
    assert len(limits.accounts) == 4002
    assert limits.fees.commission_rate_e7 == 2500
    assert limits.fees.handling_rate_e7 == 341
    assert limits.sha256 == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


def test_documented_example_loads(load):
    documented = (SHIPPED.parent.parent / "docs" / "limits.md").read_text()
    limits = load(documented.split("```yaml\n")[1].split("```")[0])
    assert [account.id for account in limits.accounts] == ["A1"]


def test_good_file_in_integer_units(load):
    limits = load(GOOD)
    assert limits.rule_set.version == 3
    assert limits.firm.short_limit_e4 == 20_005_000
    assert limits.boards[BOARDS["STAR"]].ord_type_mask == 1 << 1 | 1 << 6
    first, second, *numbered = limits.accounts
    assert (first.cash_e4, first.group_index, first.state, first.owner_type) == (10_002_500, 0, 1, 1)
    assert (second.group_index, second.state, second.limits.dup_max) == (-1, 4, 9)
    assert first.limits.board_mask == 1 << 1 | 1 << 2
    assert first.limits.restricted[0].symbol == 600000
    assert [account.id for account in numbered] == ["LT098", "LT099", "LT100", "LT101"]
    assert numbered[2].shareholder_xshg == "A200000000"
    assert numbered[3].shareholder_xshe == "0200000004"
    assert first.limits is numbered[0].limits
    assert limits.positions[0].venue == VENUES["XSHG"]
    assert limits.tokens[0].account_indexes == (0, 2, 3, 4, 5)


def test_tags_are_bits(load):
    limits = load(GOOD.replace("owner_type: 103", "tags: [hft, market_maker, hft]"))
    assert [account.tags for account in limits.accounts] == [0, 0] + [ACCOUNT_TAGS["hft"] | ACCOUNT_TAGS["market_maker"]] * 4


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[f"{at}" for at in range(len(BAD))])
def test_each_error_names_line_field_value_and_expectation(load, old, new, message):
    assert GOOD.count(old) >= 1
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(old, new, 1))
    assert any(message in error for error in caught.value.errors), caught.value.errors


def test_all_errors_at_once_in_line_order(load):
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace("cage_bps: 200", "cage_bps: x").replace("version: 3", "version: x").replace("XSHG: A1", "XSHG: 1"))
    lines = [int(error.split(":")[1]) for error in caught.value.errors]
    assert lines == sorted(lines)
    assert len(lines) >= 4


def test_long_error_lists_are_cut(load):
    with pytest.raises(ConfigError) as caught:
        load(GOOD + "positions_file: x\n" + "".join(f"extra{at}: 1\n" for at in range(300)))
    assert len(caught.value.errors) == 101
    assert caught.value.errors[-1].endswith("201 more errors")


def test_positions_file_beside_the_limits(tmp_path):
    text = GOOD.replace("positions:\n", "positions_file: p.csv\npositions:\n")
    (tmp_path / "limits.yaml").write_text(text)
    rows = "account,symbol,security_exchange,total_shares,sellable_shares\nA1,000001,XSHE,10,5\nLT100,000001,XSHE,7,7\n"
    (tmp_path / "p.csv").write_text(rows)
    limits = load_limits(tmp_path / "limits.yaml")
    assert [(position.account_index, position.symbol) for position in limits.positions] == [(0, 600519), (0, 1), (4, 1)]
    assert limits.sha256 == hashlib.sha256((text + rows).encode()).hexdigest()
    (tmp_path / "p.csv").write_text(rows + "A1,600519,XSHG,1,1\n")
    with pytest.raises(ConfigError, match=r"p\.csv:4: symbol: got '600519', .* \(limits\.yaml:40 has it\)"):
        load_limits(tmp_path / "limits.yaml")
    (tmp_path / "p.csv").write_text(rows + "LT100,000001,XSHE,7,7\nA1,1,XSHE,1\nA1,1,XSHX,1,1\n")
    with pytest.raises(ConfigError) as caught:
        load_limits(tmp_path / "limits.yaml")
    assert [error.split("/p.csv:")[1] for error in caught.value.errors] == [
        "4: symbol: got '000001', expected one position for each account and security (p.csv:3 has it)",
        "5: row: got 4 cells, expected 5",
        "6: symbol: got '1', expected six digits",
        "6: security_exchange: got 'XSHX', expected one of XSHG, XSHE; did you mean \"XSHG\"?",
    ]


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"\xff\xfe", b"a: [\n", b"a: 1\n---\nb: 1\n", b"\x00", b"[" * 200_000])
def test_what_is_no_limits_file_is_an_error(tmp_path, content):
    path = tmp_path / "limits.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"limits\.yaml"):
        load_limits(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_limits(tmp_path / "none.yaml")


def test_ten_thousand_accounts_load_fast(load):
    rows = "".join(
        f'  - {{id: B{at:06}, profile: retail, shareholder: {{XSHG: A3{at:08}, XSHE: "03{at:08}"}}, cash_yuan: 1}}\n'
        for at in range(10_000))
    start = time.process_time()
    limits = load(GOOD.replace("positions:\n", rows + "positions:\n"))
    assert len(limits.accounts) == 10_006
    assert time.process_time() - start < 3  # about 0.6 s; the bound leaves room for a slow machine


@given(st.integers(0, 10**15), st.integers(0, 4))
def test_scaled_decimals_are_exact(number, decimals):
    text = f"{number}" if decimals == 0 else f"{number // 10**decimals}.{number % 10**decimals:0{decimals}}"
    assert scaled(4, 0, 10**19, "").read(text) == number * 10 ** (4 - decimals)


def faults_of(load_file, path):
    """The errors of a file; none when it loads. Anything but a ConfigError comes through."""
    try:
        assert load_file(path)
    except ConfigError as error:
        return error.errors
    return ()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_broken_file_is_an_error_not_a_traceback(data):
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[at])))
        junk = data.draw(st.sampled_from(["", ":", "{", "]", "-", "#", "&x ", "*board", "\t", "0", "~", '"', "\u00a5", "!!int ", "? "]))
        lines[at] = lines[at][:cut] + junk + lines[at][cut + data.draw(st.integers(0, 5)):]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "limits.yaml"
        path.write_text("\n".join(lines))
        assert all(text.startswith(f"{path}:") for text in faults_of(load_limits, path))


def test_the_shipped_file_is_good_with_and_without_what_it_shows(tmp_path):
    """Lines that begin with `#:` are examples: each must be as good as the rest once the mark is taken away."""
    text = SHIPPED.read_text()
    plain, full = load_limits(SHIPPED), tmp_path / "full.yaml"
    full.write_text(text.replace("#:", ""))
    shown = load_limits(full)
    assert not plain.strategies
    assert (len(shown.strategies), len(shown.units), len(shown.locates)) == (1, 1, 1)
    assert shown.accounts[1].tags
    manual = (SHIPPED.parents[1] / "docs" / "limits.md").read_text()
    table = manual[manual.index("Optional ones") : manual.index("And of an account alone")]
    named = re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|\n)", table)
    missing = [field for field in named if f"{field}:" not in text]
    assert len(named) > 15
    assert not missing, f"docs/limits.md names {missing}; the shipped file shows no example of them"
