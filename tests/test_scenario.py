"""What a load run starts from: plans, sources, the files, and the processes that read them."""

import csv
import subprocess
import sys
import time

import numpy as np
import pytest

from ext.codes import REJECT_CODES
from gateway.limits import load_limits
from gateway.reference import load_instruments
from loadtest import sources
from loadtest.hiccup import HiccupMeter
from loadtest.measure import CANCEL_ORDER, NEW_ORDER
from loadtest.plan import BAD_KINDS, SIDE_BUY, SIDE_SELL, make_plan
from loadtest.processes import EXCHANGE, Child, StartError, stages_of
from loadtest.runner import Options, prepare
from loadtest.scenario import write_scenario
from loadtest.scene import FLASHES, SCENE_ACCOUNT, add_scene
from loadtest.schedule import Pace, even_steps
from loadtest.universe import generate_universe

S = 1_000_000_000
UNIVERSE = generate_universe(2)
FLOW_CSV = """ts_us,seq,sym,act,side,oid,px,qty,kind
""" + "".join(
    f"{34_200_000_000 + at * 1000},{at + 1},600536,{'C' if at % 4 == 3 else 'N'},{'BS'[at // 4 % 2]},"
    f"{at + 1 if at % 4 != 3 else at},{51_200 + at % 7 * 10},{300 + at % 3 * 100},{'D' if at % 4 == 3 else 'A'}\n"
    for at in range(4_000)
)


@pytest.fixture
def flow(tmp_path):
    path = tmp_path / "flow.csv"
    path.write_text(FLOW_CSV)
    return path


def plan_from(source, count, accounts=80, lanes=4, bad=0.05):
    return make_plan(source, even_steps(count).astype(np.int64) * 1_000, accounts, lanes, bad, 7)


@pytest.fixture(params=["recorded", "generated", "mixed"])
def source(request, flow):
    if request.param == "recorded":
        return sources.recorded(flow, UNIVERSE, 3_000, 4)
    if request.param == "generated":
        return sources.generated(UNIVERSE, 3_000, 4, 1)
    return sources.mixed(UNIVERSE, 3_000, 4, 1, sources.parse_mix("new=70,cancel=20,cross=8,bad=2"))


def test_every_source_makes_a_sound_plan(source):
    plan = plan_from(source, 3_000)
    cancels = plan.kind == CANCEL_ORDER
    assert len(plan.kind) == 3_000
    assert np.count_nonzero(cancels) > 100
    targets = plan.cancel_of[cancels]
    assert np.all(targets < np.flatnonzero(cancels))
    assert len(set(targets.tolist())) == len(targets)
    assert np.array_equal(plan.account[cancels], plan.account[targets])
    assert np.all(plan.kind[targets] == NEW_ORDER)
    assert not plan.expected_code[targets].any()
    assert {plan.venue[plan.kind == NEW_ORDER].min(), plan.venue.max()} == {1, 2}
    good = (plan.kind == NEW_ORDER) & (plan.expected_code == 0)
    for touch in np.unique(plan.touch):
        share, mine = plan.instruments[touch], good & (plan.touch == touch)
        assert np.all((plan.price_e4[mine] >= share.down_limit_e4) & (plan.price_e4[mine] <= share.up_limit_e4))
        assert not (plan.price_e4[mine] % share.tick_e4).any()
    assert not (plan.order_qty_shares[good] % 100).any()


def test_the_same_seed_gives_the_same_plan(flow):
    one, two = (plan_from(sources.generated(UNIVERSE, 500, 2, 9), 500) for _ in range(2))
    for name in ("account", "price_e4", "symbol", "expected_code", "cancel_of"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_every_kind_of_bad_order_is_planned(source):
    plan = plan_from(source, 3_000)
    assert set(plan.expected_code.tolist()) - {0} == set(BAD_KINDS.values())
    assert set(BAD_KINDS.values()) <= set(REJECT_CODES)
    assert abs(np.count_nonzero(plan.expected_code) - 150) <= 1


def test_the_abnormal_trader_joins_a_plan_and_every_cancel_still_names_its_order(source):
    plan = plan_from(source, 3_000)
    whole = add_scene(plan, 500_000)
    mine = whole.account == whole.accounts.index(SCENE_ACCOUNT)
    assert np.all(np.diff(whole.planned_ns) >= 0)
    assert np.count_nonzero(whole.kind == CANCEL_ORDER) == np.count_nonzero(plan.kind == CANCEL_ORDER) + FLASHES
    cancels = np.flatnonzero(whole.kind == CANCEL_ORDER)
    targets = whole.cancel_of[cancels]
    assert np.all(whole.account[targets] == whole.account[cancels])
    assert np.all(whole.touch[targets] == whole.touch[cancels])
    assert np.all(whole.planned_ns[cancels[mine[cancels]]] - whole.planned_ns[targets[mine[cancels]]] < S)
    assert np.array_equal(whole.price_e4[~mine], plan.price_e4)
    assert {share.security_exchange for share in (whole.instruments[at] for at in whole.touch[mine])} == {"XSHG"}


def test_an_account_never_meets_itself(source):
    plan = plan_from(source, 3_000, bad=0.0)
    seen = {}
    for at in np.flatnonzero(plan.kind == NEW_ORDER).tolist():
        assert seen.setdefault((plan.account[at], plan.touch[at]), plan.side[at]) == plan.side[at]


def test_the_files_are_read_by_the_gateway_and_cover_every_sell(source, tmp_path):
    plan = plan_from(source, 3_000)
    scenario = write_scenario(tmp_path / "in", UNIVERSE, plan, 80, 4)
    limits = load_limits(scenario.limits)
    assert len(load_instruments(scenario.instruments)) == len(UNIVERSE)
    names = [account.id for account in limits.accounts]
    assert names == [*plan.accounts[:-1], SCENE_ACCOUNT]
    assert len(limits.tokens[0].account_indexes) == len(names)
    held = {(names[row.account_index], row.symbol): row.sellable_shares for row in limits.positions}
    sold = {}
    for at in np.flatnonzero((plan.side == SIDE_SELL) & (plan.expected_code == 0) & (plan.kind == NEW_ORDER)).tolist():
        key = (plan.accounts[plan.account[at]], int(plan.symbol[at]))
        sold[key] = sold.get(key, 0) + int(plan.order_qty_shares[at])
    assert sold
    assert all(held[key] >= qty for key, qty in sold.items())
    with scenario.positions.open() as lines:
        assert next(csv.reader(lines)) == ["account", "symbol", "security_exchange", "total_shares", "sellable_shares"]


def test_recorded_flow_keeps_its_own_prices_on_its_own_instrument(flow):
    source = sources.recorded(flow, UNIVERSE, 2_000, 4)
    own = [at for at, share in enumerate(source.instruments) if share.symbol == "600536"]
    assert own == [0]
    prices = source.rows["price_e4"][source.rows["symbol"] == 0]
    assert set(prices.tolist()) <= {512_000 + step * 100 for step in range(7)}
    assert {share.security_exchange for share in source.instruments} == {"XSHG", "XSHE"}


def test_the_arrival_shape_of_a_flow_can_be_followed(flow):
    _, source, plan = prepare(Options(pace=Pace(1_000, 2 * S), arrivals="flow", flow=flow, accounts=64, lanes=2))
    assert abs(len(plan.planned_ns) - 2_000) <= 2
    assert "600536" in source.description


@pytest.mark.parametrize("text", ["", "new", "new=x", "old=5", "new=10,cancel=20", "cancel=5"])
def test_bad_mixes_say_what_was_expected(text):
    with pytest.raises(sources.SourceError, match="mix"):
        sources.parse_mix(text)


def test_too_short_a_flow_is_refused(tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("".join(FLOW_CSV.splitlines(keepends=True)[:50]))
    with pytest.raises(sources.SourceError, match="at least 400"):
        sources.recorded(path, UNIVERSE, 100, 4)


def test_buyers_and_sellers_both_trade(source):
    plan = plan_from(source, 3_000)
    assert {SIDE_BUY, SIDE_SELL} <= set(plan.side.tolist())


def test_a_process_that_cannot_start_says_why(tmp_path):
    child = Child("exchange XSHG", EXCHANGE, ["XSHG", "--instruments", str(tmp_path / "none.csv")], tmp_path / "log")
    with pytest.raises(StartError, match=r"exchange XSHG did not start: .*none\.csv"):
        child.ready()
    assert child.process.poll() is not None


def test_an_exchange_starts_from_the_files_and_is_ended(tmp_path, flow):
    plan = plan_from(sources.recorded(flow, UNIVERSE, 1_000, 2), 1_000, lanes=2)
    scenario = write_scenario(tmp_path / "in", UNIVERSE, plan, 80, 2)
    child = Child(
        "exchange XSHE", EXCHANGE, ["XSHE", "--instruments", str(scenario.instruments), "--rate", "0"], tmp_path / "log"
    )
    ready = child.ready()
    assert ready["exchange"] == "XSHE"
    child.stop()
    assert child.process.returncode == 0


def test_stages_are_read_from_metrics():
    text = (
        'tidegate_stage_seconds_count{stage="decide"} 200.0\ntidegate_stage_seconds_sum{stage="decide"} 0.0004\n'
        'tidegate_stage_seconds{quantile="0.5",stage="decide"} 1.5e-06\n'
        'tidegate_stage_seconds{quantile="0.99",stage="decide"} 9e-06\ntidegate_other 3\n'
    )
    (stage,) = stages_of(text)
    assert (stage.name, stage.count, stage.p50_us, stage.p99_us) == ("decide", 200, 1.5, 9.0)
    assert stage.mean_us == pytest.approx(2.0)
    assert stages_of("") == []


def test_hiccups_are_measured_asleep():
    meter = HiccupMeter(0)
    before = time.process_time()
    meter.start()
    time.sleep(0.5)
    woke, late = meter.stop()
    assert 50 < len(woke) == len(late) <= 500
    assert late.min() >= 0
    assert time.process_time() - before < 0.25


def test_flags_are_refused_in_one_line():
    for arguments, expected in (
        (["--surge", "fast"], "surge: 'fast', expected RATExDURATION@START"),
        (["--duration", "5"], "expected a number and a unit"),
        (["--target", "nowhere"], "expected HOST:PORT"),
        (["--mix", "new=1,cancel=9"], "mix:"),
        (["--flow", "/nonexistent.csv"], "/nonexistent.csv"),
        (["--arrivals", "sometimes"], "arrivals: 'sometimes', expected one of"),
        (["--target", "127.0.0.1:1", "--duration", "1s"], "127.0.0.1:1: Connection refused"),
    ):
        run = subprocess.run(
            [sys.executable, "-m", "loadtest.load_cli", "run", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert expected in run.stderr, arguments
        assert run.stderr.count("\n") == 1
        assert run.returncode == (1 if "127.0.0.1:1" in arguments else 2)
