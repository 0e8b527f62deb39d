"""Flow: the CSV form, the committed profile, and the generator against both its own rules and the recorded flow."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard

from loadtest.flow import FLOW_DTYPE, FlowError, FlowSymbol, arrays, generate, load_flow, load_profile, read_flow
from loadtest.flow_csv import CANCEL, NEW, to_requests
from loadtest.profile import (
    PROFILE_PATH,
    Profile,
    SymbolDay,
    SymbolShape,
    find_flows,
    find_runs,
    measure,
    measure_shape,
    measure_window,
)
from loadtest.shadow_book import INTENT_DTYPE, ShadowBook
from loadtest.touch import replay_touches
from loadtest.trading_day import CANCEL_WINDOWS_S, OPEN_CLOCK, OPEN_WINDOWS_S

DATA = Path(os.environ.get("TIDEGATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
HEADER = "ts_us,seq,sym,act,side,oid,px,qty,kind"
ORDER = "34200010000,1,600000,N,B,7,9990,300,A"
DAY_S = (33_300, 54_000)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile()


def to_symbol(number: int, price_e4: int, rate_ratio: float | None = None) -> FlowSymbol:
    reference_e4 = max(price_e4 // 100 * 100, 200)
    down_e4, up_e4 = round(reference_e4 * 0.009) * 100, round(reference_e4 * 0.011) * 100
    return FlowSymbol(
        symbol=f"{600_000 + number}",
        reference_price_e4=reference_e4,
        limit_down_e4=down_e4,
        limit_up_e4=up_e4,
        rate_ratio=rate_ratio,
    )


SYMBOLS = [
    to_symbol(number, price_e4) for number, price_e4 in enumerate((52_300, 98_700, 501_200, 18_432_100, 251_000))
]


def collect(profile: Profile, seed: int = 7, **changed: object) -> np.ndarray:
    arguments = {"start_s": 34_200, "end_s": 34_500, "rate_per_s": 200.0, **changed}
    return np.concatenate(list(arrays(profile, SYMBOLS, seed=seed, **arguments)))


# The CSV form.


@pytest.mark.parametrize("suffix", [".csv", ".csv.zst"])
def test_reads_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    text = f"{HEADER}\n{ORDER}\n34200020000,2,600000,C,B,7,9990,300,D\n".encode()
    path = tmp_path / f"flow{suffix}"
    path.write_bytes(zstandard.compress(text) if suffix.endswith("zst") else text)
    requests = list(read_flow(path))
    assert requests[0] == (34_200_010_000, "600000", "N", "B", 7, 99_900, 300)
    assert requests[1] == (34_200_020_000, "600000", "C", "B", 7, 99_900, 300)
    flow = load_flow(path)
    assert flow.symbols == ["600000"]
    assert flow.rows.dtype == FLOW_DTYPE
    assert list(to_requests(flow.rows, flow.symbols)) == requests


@pytest.mark.parametrize(
    ("line", "column", "value", "expected"),
    [
        ("34200010000,1,600000,N,B,7,9990,300", "columns", "8", "9: ts_us,seq"),
        ("-1,1,600000,N,B,7,9990,300,A", "ts_us", "'-1'", "a whole number from 1 to 86400000000"),
        ("86400000001,1,600000,N,B,7,9990,300,A", "ts_us", "'86400000001'", "to 86400000000"),
        ("34200010000,x,600000,N,B,7,9990,300,A", "seq", "'x'", "whole number"),
        ("34200010000,1,60000,N,B,7,9990,300,A", "sym", "'60000'", "6 digits"),
        ("34200010000,1,600000,M,B,7,9990,300,A", "act", "'M'", "N or C"),
        ("34200010000,1,600000,N,X,7,9990,300,A", "side", "'X'", "B or S"),
        ("34200010000,1,600000,N,B,0,9990,300,A", "oid", "'0'", "whole number"),
        ("34200010000,1,600000,N,B,7,9.99,300,A", "px", "'9.99'", "whole number"),
        ("34200010000,1,600000,N,B,7,9990,,A", "qty", "''", "whole number"),
        ("34200010000,1,600000,N,B,7,9990,300,D", "kind", "'D'", "A or P or F for act N"),
        ("34200010000,1,600000,C,B,7,9990,300,D", "oid", "7", "an earlier order"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, line: str, column: str, value: str, expected: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(f"{HEADER}\n{ORDER.replace(',7,', ',6,')}\n{line}\n")
    with pytest.raises(FlowError) as raised:
        list(read_flow(path))
    message = str(raised.value)
    assert message.startswith(f"{path}: line 3: {column}: got {value}, expected ")
    assert expected in message


@pytest.mark.parametrize(
    ("second", "column"),
    [
        (ORDER, "oid"),
        ("34200000000,2,600000,N,B,8,9990,300,A", "ts_us"),
        ("34200020000,2,600000,C,S,7,9990,300,D", "oid"),
    ],
)
def test_a_row_that_contradicts_an_earlier_one_is_named(tmp_path: Path, second: str, column: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(f"{HEADER}\n{ORDER}\n{second}\n")
    with pytest.raises(FlowError, match=f"line 3: {column}: got "):
        list(read_flow(path))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("flow.csv", b"", "line 1: header"),
        ("flow.csv", b"a,b\n1,2\n", "line 1: header: got 'a,b'"),
        ("flow.csv", f"{HEADER}\n".encode(), "got no requests"),
        ("flow.csv", f"{HEADER}\n\xff".encode("latin-1"), "got byte 0xff"),
        ("flow.csv.zst", b"not zstd at all", "not zstd"),
        ("absent/flow.csv", None, "No such file"),
    ],
)
def test_a_file_that_is_not_flow_is_refused(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FlowError, match=expected):
        load_flow(path)


# The profile.


def test_the_committed_profile_is_small_and_loads(profile: Profile) -> None:
    assert PROFILE_PATH.stat().st_size < 40_000
    assert profile.minute_share == pytest.approx(np.array(profile.minute_share) / sum(profile.minute_share), abs=1e-5)
    assert [channel.max_1s for channel in profile.channels] == [16_613, 15_636, 179_220]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.update(colour=1), "unknown field `colour`"),
        (lambda d: d["shapes"][0].update(colour=1), r"unknown field `colour` - at `\$.shapes\[0\]`"),
        (lambda d: d.pop("excitation"), "missing required field `excitation`"),
        (lambda d: d.update(requests="many"), r"Expected `int`, got `str` - at `\$.requests`"),
        (lambda d: d["minute_share"].pop(), "got 249 minutes, expected 250"),
        (lambda d: d["shapes"].clear(), "expected at least one measured symbol"),
        (lambda d: d["excitation"]["delay_s"]["share"].pop(), "expected one more than shares"),
        (lambda d: d["excitation"]["delay_s"]["share"].__setitem__(0, 3.0), "sum to 1"),
        (lambda d: d["excitation"]["delay_s"]["edges"].reverse(), "rising edges"),
        (lambda d: d["excitation"].update(offspring=1.5), "offspring: got 1.5"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, change, expected: str) -> None:
    document = msgspec.json.decode(PROFILE_PATH.read_bytes())
    change(document)
    path = tmp_path / "profile.json"
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(ValueError, match=expected):
        load_profile(path)


def test_an_absent_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        load_profile(tmp_path / "profile.json")


# The generator's rules.


def test_a_seed_decides_everything(profile: Profile) -> None:
    first, again, other = collect(profile), collect(profile), collect(profile, seed=8)
    assert np.array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_requests_and_arrays_are_the_same_flow(profile: Profile) -> None:
    names = [symbol.symbol for symbol in SYMBOLS]
    window = {"start_s": 36_000, "end_s": 36_030, "rate_per_s": 200.0}
    requests = list(generate(profile, SYMBOLS, seed=3, **window))
    assert requests == list(to_requests(collect(profile, seed=3, **window), names))
    assert {request.act for request in requests} == {"N", "C"}


def inside(ts_us: np.ndarray, windows_s: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.any([(ts_us >= first * 1e6) & (ts_us <= last * 1e6) for first, last in windows_s], axis=0)


def test_time_rises_and_breaks_are_kept(profile: Profile) -> None:
    rows = collect(profile, start_s=DAY_S[0], end_s=DAY_S[1], rate_per_s=20.0)
    assert (np.diff(rows["ts_us"]) >= 0).all()
    assert inside(rows["ts_us"], OPEN_WINDOWS_S).all()
    assert inside(rows["ts_us"][rows["act"] == CANCEL], CANCEL_WINDOWS_S).all()
    assert rows["ts_us"].max() < DAY_S[1] * 1e6


def test_a_cancel_names_an_order_that_is_there(profile: Profile) -> None:
    rows = collect(profile, rate_per_s=1000.0)
    live: dict[int, tuple] = {}
    cancels = 0
    for request in to_requests(rows, [symbol.symbol for symbol in SYMBOLS]):
        key = (request.symbol, request.side, request.price_e4, request.qty_shares)
        if request.act == "N":
            assert request.oid not in live
            live[request.oid] = key
            continue
        assert live.pop(request.oid) == key
        cancels += 1
    assert cancels > 0.1 * len(live)


def test_prices_and_sizes_are_valid(profile: Profile) -> None:
    rows = collect(profile, start_s=DAY_S[0], end_s=DAY_S[1], rate_per_s=20.0)
    for index, symbol in enumerate(SYMBOLS):
        mine = rows[rows["symbol"] == index]
        assert len(mine) > 100
        assert (mine["price_e4"] % symbol.tick_e4 == 0).all()
        assert mine["price_e4"].min() >= symbol.limit_down_e4
        assert mine["price_e4"].max() <= symbol.limit_up_e4
        assert (mine["qty_shares"] % 100 == 0).all()
        assert mine["qty_shares"].min() >= 100


@pytest.mark.parametrize(
    ("start_s", "length_s", "rate_per_s"), [(36_000, 5, 20_000.0), (36_000, 60, 2000.0), (34_200, 600, 200.0)]
)
def test_the_rate_is_kept(profile: Profile, start_s: int, length_s: int, rate_per_s: float) -> None:
    rows = collect(profile, start_s=start_s, end_s=start_s + length_s, rate_per_s=rate_per_s)
    assert len(rows) == pytest.approx(length_s * rate_per_s, rel=0.2)


def test_a_channel_peak_comes_on_top(profile: Profile) -> None:
    channel = profile.channels[2]
    rows = collect(profile, start_s=33_900, end_s=35_400, rate_per_s=500.0, channel=channel.name)
    seconds = np.bincount(rows["ts_us"] // 1_000_000 - 34_200)
    wanted = channel.peaks_1s["09:30:00"] / channel.mean_per_s
    assert seconds.argmax() == 0
    assert seconds[0] / 500.0 == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"rate_per_s": 0.0}, "rate_per_s: got 0.0"),
        ({"start_s": 41_500, "end_s": 46_000}, "start_s, end_s: got 41500, 46000"),
        ({"channel": "XSHE 1"}, "channel: got 'XSHE 1', expected one of XSHG 6"),
    ],
)
def test_a_wrong_argument_is_named(profile: Profile, changed: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        collect(profile, **changed)


def test_a_wrong_symbol_is_named() -> None:
    with pytest.raises(ValueError, match="600000: limit_down_e4, reference_price_e4, limit_up_e4: got 11, 10, 12"):
        FlowSymbol(symbol="600000", reference_price_e4=10, limit_down_e4=11, limit_up_e4=12)


def test_the_shadow_book_drops_the_cancel_of_a_traded_order() -> None:
    book = ShadowBook(*(np.array([ticks], np.int64) for ticks in (90, 110, 100)))
    intents = np.zeros(5, INTENT_DTYPE)
    intents["ts_us"], intents["oid"], intents["qty_shares"] = (
        [1, 2, 3, 4, 5],
        [1, 2, 3, 1, 2],
        [100, 100, 100, 100, 100],
    )
    intents["fair_ticks"], intents["pull_ticks"], intents["buy_share"] = 100, 10.0, 0.5
    intents["side_draw"] = [0.9, 0.9, 0.1, 0.0, 0.0]  # two asks at one price, a buy that meets the first, two cancels
    intents["slot"] = [0, 1, -1, 0, 1]
    intents["is_aggressive"][2] = 1
    intents["is_cancel"][3:] = 1
    rows = np.empty(5, FLOW_DTYPE)
    written = book.place(intents, np.arange(5), rows)
    assert list(to_requests(rows[:written], ["600000"])) == [
        (1, "600000", "N", "S", 1, 10_100, 100),
        (2, "600000", "N", "S", 2, 10_100, 100),
        (3, "600000", "N", "B", 3, 10_100, 100),
        (5, "600000", "C", "S", 2, 10_100, 100),
    ]
    assert (book.cancels_tried[0], book.cancels_live[0]) == (2, 1)


# The generator against recorded flow.


@pytest.fixture(scope="module")
def generated(profile: Profile) -> list[list[SymbolDay]]:
    """One generated day of symbols like the measured ones, with the recorded clock's 10 ms ticks."""
    symbols = [to_symbol(number, round(1e6 / s.tick_bps), s.rate_ratio) for number, s in enumerate(profile.shapes)]
    rate_per_s = profile.requests / OPEN_CLOCK.length_s
    blocks = arrays(profile, symbols, seed=11, start_s=DAY_S[0], end_s=DAY_S[1], rate_per_s=rate_per_s)
    rows = np.concatenate(list(blocks))
    rows["ts_us"] -= rows["ts_us"] % 10_000
    parts = [rows[rows["symbol"] == index] for index in range(len(symbols))]
    return [[SymbolDay(part, replay_touches(part), *find_runs(part)) for part in parts]]


@pytest.fixture(scope="module")
def paired(profile: Profile, generated: list[list[SymbolDay]]) -> list[tuple[SymbolShape, SymbolShape]]:
    """(recorded, generated) shape of every symbol."""
    mean = profile.requests / profile.symbol_days
    return [(shape, measure_shape(day, mean)) for shape, day in zip(profile.shapes, generated[0], strict=True)]


@pytest.fixture(scope="module")
def recorded() -> Profile:
    paths = find_flows(DATA) if DATA.is_dir() else []
    if not paths:
        pytest.skip(f"no recorded flow below {DATA} (set TIDEGATE_DATA to a directory with flow.csv.zst files)")
    return measure(paths)


def flatten(document: object) -> Iterator[object]:
    if isinstance(document, dict):
        document = list(document.values())
    if not isinstance(document, list):
        yield document
        return
    for entry in document:
        yield from flatten(entry)


def test_the_committed_profile_is_what_the_recorded_flow_gives(profile: Profile, recorded: Profile) -> None:
    committed, fresh = (
        list(flatten(msgspec.to_builtins(msgspec.structs.replace(p, channels=[])))) for p in (profile, recorded)
    )
    assert committed == pytest.approx(fresh, rel=1e-3, abs=1e-5)


def test_cancels_sides_and_aggression_match(paired: list[tuple[SymbolShape, SymbolShape]]) -> None:
    for real, made in paired:
        assert made.cancel_ratio == pytest.approx(real.cancel_ratio, rel=0.15)
        assert made.aggressive_share == pytest.approx(real.aggressive_share, abs=0.06)
        assert made.buy_share == pytest.approx(real.buy_share, abs=0.1)
        assert made.rate_ratio == pytest.approx(real.rate_ratio, rel=0.25)


def test_size_quantiles_match(paired: list[tuple[SymbolShape, SymbolShape]]) -> None:
    for real, made in paired:
        levels = [0.1, 0.25, 0.5, 0.75, 0.9]
        assert made.size_lots.quantiles(levels) == pytest.approx(real.size_lots.quantiles(levels), rel=0.15)


def test_life_quantiles_match_within_a_factor_of_three_on_average(
    paired: list[tuple[SymbolShape, SymbolShape]],
) -> None:
    for real, made in paired:
        ratio = made.life_near_s.quantiles([0.25, 0.5, 0.75, 0.9]) / real.life_near_s.quantiles([0.25, 0.5, 0.75, 0.9])
        assert ratio.min() > 1 / 8
        assert ratio.max() < 3
        assert np.exp(abs(np.log(ratio).mean())) < 3


def test_distances_from_the_touch_match(paired: list[tuple[SymbolShape, SymbolShape]]) -> None:
    """The largest gap between the cumulative shares; orders that better a wide spread are too few when generated."""
    for real, made in paired:
        for ticks in (1, 2, 5, 10, 30, 100, 300, 1000):
            assert made.rest_ticks.cdf(ticks) == pytest.approx(real.rest_ticks.cdf(ticks), abs=0.1)
            assert made.cross_ticks.cdf(ticks) == pytest.approx(real.cross_ticks.cdf(ticks), abs=0.2)
        assert made.rest_ticks.cdf(0) == pytest.approx(real.rest_ticks.cdf(0), abs=0.2)


def test_the_day_keeps_its_shape(profile: Profile, generated: list[list[SymbolDay]]) -> None:
    times_s = np.concatenate([day.rows["ts_us"][day.rows["act"] == NEW] / 1e6 for day in generated[0]])
    minutes = np.bincount((OPEN_CLOCK.from_wall(times_s) // 60).astype(int), minlength=250)[:250]
    real = np.array(profile.minute_share).reshape(-1, 5).sum(axis=1)
    assert np.corrcoef(minutes.reshape(-1, 5).sum(axis=1), real)[0, 1] > 0.95


def test_bursts_match_within_a_factor(profile: Profile, generated: list[list[SymbolDay]]) -> None:
    """The fullest 10 ms and 100 ms are single events of a day: their factor is wide."""
    fanos = []
    for real in profile.windows:
        made = measure_window([generated[0][:1], generated[0][1:]], real.window_s)  # as they were recorded
        factor = 4.0 if real.window_s < 1 else 2.0
        assert real.max_ratio / factor < made.max_ratio < real.max_ratio * factor
        assert real.fano / 3 < made.fano < real.fano * 2
        fanos.append(made.fano)
    assert all(shorter < longer for shorter, longer in pairwise(fanos))
