"""Published cases as they would run into this gateway, each with a benign twin: the same business, done properly.

Facts of section 6 of the catalogue; amounts are scaled to yuan and to one account's day where the market was another.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from risk_rules.scenarios.desk import Desk, Ticket
from risk_rules.scenarios.world import MINUTE, stocks
from risk_rules.stage import Client, Security

SSE = tuple(f"{600100 + k}" for k in range(60))
SZSE = tuple(f"{1 + k:06d}" for k in range(60))
PRICE = 20.0


class Case(NamedTuple):
    """A published case, or its twin. caught_by: rules or codes, one of which must say so; never: must not."""

    name: str
    play: Callable[[Desk, Random], None]
    securities: tuple[Security, ...]
    clients: tuple[Client, ...]
    caught_by: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


# --- Knight Capital, 2012-08-01: old code sends child orders without end ---


def knight(desk: Desk, random: Random) -> None:
    """1,480 orders a second, bought at the offer and sold at the bid, for three seconds of the 45 minutes."""
    desk.until("09:30:00")
    for k in range(4_440):
        symbol = SSE[random.randrange(20)]
        ticket = desk.buy("K1", symbol, 100, PRICE + 0.01) if k % 2 else desk.sell("K1", symbol, 100, PRICE - 0.01)
        desk.fill(ticket, PRICE)
        if k == 300:
            desk.complete()
        desk.wait(1 if k % 3 else 0)


def knight_twin(desk: Desk, random: Random) -> None:
    """212 parent orders worked properly: 4,240 children over 45 minutes."""
    desk.until("09:30:00")
    for k in range(4_240):
        symbol = SSE[random.randrange(20)]
        ticket = desk.buy("K1", symbol, 100, PRICE + 0.01) if k % 2 else desk.sell("K1", symbol, 100, PRICE - 0.01)
        desk.fill(ticket, PRICE)
        desk.wait(637)


# --- Everbright, 2013-08-16: 26,082 market orders in two seconds ---


def everbright(desk: Desk, random: Random) -> None:
    desk.until("11:05:08")
    for k in range(2_600):
        desk.buy("E1", SSE[k % 60], 40_000, 0)
        if k == 300:
            desk.complete()
        desk.wait(1 if k % 13 == 0 else 0)


def everbright_twin(desk: Desk, random: Random) -> None:
    """The basket that was meant: 180 names for 36 million yuan, in three seconds."""
    desk.until("11:05:08")
    for k in range(180):
        ticket = desk.buy("E1", SSE[k % 60], 10_000, PRICE)
        desk.fill(ticket, PRICE)
        desk.wait(17)


# --- Citi, 2022-05-02: a basket of 444 billion instead of 58 million ---


def citi(desk: Desk, random: Random) -> None:
    desk.until("08:56:00")
    desk.until("09:30:01")
    for k in range(349):
        desk.sell("C1", SSE[k % 60], 1_000_000, PRICE)
        if k == 6:
            desk.complete()
        desk.wait(10)


def citi_twin(desk: Desk, random: Random) -> None:
    """The basket that was meant, 349 slices of 1.2 million yuan over an hour."""
    desk.until("09:30:01")
    for k in range(349):
        ticket = desk.sell("C1", SSE[k % 60], 60_000, PRICE)
        desk.fill(ticket, PRICE)
        desk.wait(10_000)


# --- Lingjun, 2024-02-19: 2.57 billion sold in the first minute, by many products of one manager ---


def lingjun(desk: Desk, random: Random) -> None:
    desk.until("09:30:00")
    index = {"000001.XSHG": 2886.0, "399001.XSHE": 8957.0}
    for second in range(60):
        for symbol, value in index.items():
            desk.market(symbol, value * (1 - second * 0.00011))
        for k in range(20):
            symbol = (SSE if second > 42 or k % 2 else SZSE)[random.randrange(60)]
            ticket = desk.sell(f"L{k}", symbol, 100_000, PRICE - 0.02)
            desk.fill(ticket, PRICE - 0.02)
        if second == 5:
            desk.complete()
        desk.wait(1_000)


def lingjun_twin(desk: Desk, random: Random) -> None:
    """2.5 billion of sells over four hours, at the market's pace."""
    desk.until("09:30:00")
    for minute in range(236):
        for k in range(5):
            ticket = desk.sell(f"L{(minute + k) % 20}", (SSE if k % 2 else SZSE)[random.randrange(60)], 106_000, PRICE)
            desk.wait(5_000)
            desk.fill(ticket, PRICE)
        desk.wait(MINUTE - 25_000)
        if minute == 118:
            desk.until("13:00:00")


# --- Mizuho, J-Com, 2005-12-08: price and quantity exchanged ---


def jcom(desk: Desk, random: Random) -> None:
    desk.until("09:31:00")
    desk.complete()
    for _ in range(3):
        desk.sell("B1", SSE[0], 610_000, 1.0)
        desk.wait(1_000)


def jcom_twin(desk: Desk, random: Random) -> None:
    desk.until("09:31:00")
    desk.fill(desk.sell("B1", SSE[0], 100, PRICE), PRICE)


# --- Goldman, 2013-08-20: 16,000 orders at one dollar before the open ---


def goldman(desk: Desk, random: Random) -> None:
    desk.until("09:15:01")
    for k in range(2_000):
        desk.sell("P1", SSE[k % 60], 1_000, PRICE * 0.9)
        if k == 50:
            desk.complete()
        desk.wait(100)


def goldman_twin(desk: Desk, random: Random) -> None:
    """As many orders, priced around the previous close."""
    desk.until("09:15:01")
    for k in range(2_000):
        desk.sell("P1", SSE[k % 60], 1_000, PRICE * (1 + random.randrange(-10, 11) / 1_000))
        desk.wait(100)


# --- 莫建军, 2007-02-16: sixteen buys of which fifteen were withdrawn, and sales into the rise ---


def mo_jianjun(desk: Desk, random: Random) -> None:
    symbol = "000920"
    desk.until("11:11:13")
    sales: list[Ticket | None] = []
    for k, price in enumerate((6.07, 6.10, 6.14, 6.18)):
        desk.market(symbol, price + 0.02, 30_000)
        ticket = desk.buy("M1", symbol, 767_000, price)
        desk.wait(70_000)
        if k >= 2:
            sales.append(desk.sell("M1", symbol, 76_800, price + 0.03))
            desk.fill(sales[-1], price + 0.03)
        desk.cancel(ticket)
        desk.wait(90_000)
    desk.complete()
    desk.until("13:08:30")
    for _ in range(6):
        ticket = desk.buy("M1", symbol, 856_600, 6.19)
        desk.wait(70_000)
        desk.cancel(ticket)
        desk.wait(90_000)


def mo_jianjun_twin(desk: Desk, random: Random) -> None:
    """A buyer of the same sizes who means it: what does not trade at one price is moved to the next."""
    symbol = "000920"
    desk.until("11:11:13")
    for price in (6.07, 6.10, 6.14, 6.18):
        desk.market(symbol, price + 0.02, 900_000)
        ticket = desk.buy("M1", symbol, 767_000, price)
        desk.wait(70_000)
        desk.fill(ticket, price, 600_000)
        desk.cancel(ticket)
        desk.wait(90_000)


# --- 李健, 2015-09-08 to 10: limit-up orders in the call and after, by accounts of relatives ---


def li_jian_first_day(desk: Desk, random: Random) -> None:
    """A limit-up buy in the call that is not filled and withdrawn after the open."""
    desk.until("09:17:00")
    tickets = [desk.buy("J1", "600604", 500_000, 22.0), desk.buy("J2", "600604", 417_100, 22.0)]
    desk.until("09:30:30")
    desk.complete()
    for ticket in tickets:
        desk.cancel(ticket)
        desk.wait(2_000)


def li_jian_third_day(desk: Desk, random: Random) -> None:
    """Four call orders, partly filled, then seven buys at the limit of which there is nothing left to buy."""
    desk.until("09:17:00")
    tickets = [desk.buy(f"J{1 + k % 2}", "600604", 818_000, 22.0) for k in range(4)]
    desk.until("09:25:01")
    for ticket in tickets:
        desk.fill(ticket, 22.0, 362_700)
    desk.wait(1_000)
    desk.market("600604", 22.0, 3_900_000, bid=4_000_000)
    desk.until("09:41:00")
    for k in range(7):
        desk.buy(f"J{1 + k % 2}", "600604", 836_800, 22.0)
        desk.wait(70_000)
        desk.market("600604", 22.0, 10_000, bid=4_000_000 + (k + 1) * 836_800)
    for _ in range(40):
        desk.wait(15_000)
        desk.market("600604", 22.0, 1_000)
        desk.complete()


def li_jian_twin(desk: Desk, random: Random) -> None:
    """Sixty people who all want a stock at its limit, and some who change their minds."""
    desk.until("09:17:00")
    tickets = [desk.buy(f"R{k}", "600604", 100 * random.randrange(1, 80), 22.0) for k in range(60)]
    desk.until("09:25:01")
    for ticket in tickets[:20]:
        desk.fill(ticket, 22.0)
    desk.market("600604", 22.0, 3_900_000, bid=4_000_000)
    desk.until("09:32:00")
    for ticket in tickets[20:40]:
        desk.cancel(ticket)
        desk.wait(1_000)
    for k in range(60):
        desk.buy(f"R{k}", "600604", 100 * random.randrange(1, 80), 22.0)
        desk.wait(5_000)
        desk.market("600604", 22.0, 1_000)


# --- benign days ---


def market_maker(desk: Desk, random: Random) -> None:
    """Two-sided quotes in ten stocks for an hour, renewed every few seconds, some hit."""
    desk.until("09:31:00")
    open_orders: list[Ticket | None] = []
    for _ in range(1_200):
        symbol, away = SSE[random.randrange(10)], random.randrange(1, 4) / 100
        open_orders += [desk.buy("W1", symbol, 5_000, PRICE - away), desk.sell("W1", symbol, 5_000, PRICE + away)]
        if random.random() < 0.2:
            desk.fill(open_orders.pop(), PRICE + away)
        while len(open_orders) > 40:
            desk.cancel(open_orders.pop(0))
        desk.wait(3_000)


def crowd(desk: Desk, random: Random) -> None:
    """Sixty people on an ordinary morning: small orders, half of them filled, a quarter withdrawn."""
    desk.until("09:15:30")
    for _ in range(200):
        desk.buy(
            f"R{random.randrange(60)}",
            SSE[random.randrange(60)],
            100 * random.randrange(1, 50),
            PRICE * (1 + random.randrange(-30, 31) / 1_000),
        )
        desk.wait(2_500)
    desk.until("09:30:00")
    last = dict.fromkeys(SSE, PRICE)
    for _ in range(6_000):
        symbol = SSE[random.randrange(60)]
        last[symbol] *= 1 + random.randrange(-5, 6) / 10_000
        desk.market(symbol, last[symbol], 100 * random.randrange(1, 2_000))
        side = 1 + (random.random() < 0.5)
        ticket = desk.order(
            f"R{random.randrange(60)}",
            side,
            symbol,
            100 * random.randrange(1, 100),
            last[symbol] * (1 + random.randrange(-20, 21) / 10_000),
        )
        what = random.random()
        if what < 0.5:
            desk.fill(ticket, last[symbol])
        elif what < 0.75:
            desk.wait(300)
            desk.cancel(ticket)
        desk.wait(900)


def closing_rebalance(desk: Desk, random: Random) -> None:
    """An index fund that trades a fifth of the closing call of sixty stocks at the last price."""
    desk.until("14:55:00")
    for symbol in SSE:
        desk.market(symbol, PRICE, 1_000_000)
    desk.until("14:57:10")
    tickets = []
    for k, symbol in enumerate(SSE):
        tickets.append(desk.order("I1", 1 + k % 2, symbol, 70_000, PRICE))
        desk.wait(1_000)
    desk.until("15:00:01")
    for ticket, symbol in zip(tickets, SSE, strict=True):
        desk.fill(ticket, PRICE * 1.002)
        desk.market(symbol, PRICE * 1.002, 350_000)


ALL = stocks(
    *(f"{code} {PRICE}" for code in (*SSE, *SZSE)),
    "000920 6.10",
    "600604 20.00",
    "000001.XSHG 2886.00",
    "399001.XSHE 8957.00",
)
FEW = stocks(*(f"{code} {PRICE}" for code in SSE), "600604 20.00", "000920 6.10")
PEOPLE = tuple(Client(f"R{k}") for k in range(60))
PRODUCTS = tuple(Client(f"L{k}", "LJ", ("asset_manager",)) for k in range(20))
SPEED = frozenset({"Z06002", "R1204", "R1311", "P-MINUTE"})
CASES = (
    Case("Knight 2012", knight, FEW, (Client("K1", "", ("proprietary",)),), SPEED),
    Case("Knight, twin", knight_twin, FEW, (Client("K1", "", ("proprietary",)),)),
    Case("Everbright 2013", everbright, FEW, (Client("E1", "", ("proprietary",)),), SPEED),
    Case("Everbright, twin", everbright_twin, FEW, (Client("E1", "", ("proprietary",)),)),
    Case("Citi 2022", citi, FEW, (Client("C1", "", ("programme",)),), frozenset({"P-MINUTE", "R1312", "R1307"})),
    Case("Citi, twin", citi_twin, FEW, (Client("C1", "", ("programme",)),)),
    Case("Lingjun 2024", lingjun, ALL, PRODUCTS, frozenset({"P-MINUTE", "Z06005-SH", "Z06005-SZ"})),
    Case("Lingjun, twin", lingjun_twin, ALL, PRODUCTS),
    Case("J-Com 2005", jcom, FEW, (Client("B1"),), frozenset({"R1106", "R1104", "R1302"})),
    Case("J-Com, twin", jcom_twin, FEW, (Client("B1"),)),
    Case("Goldman 2013", goldman, FEW, (Client("P1", "", ("programme",)),), frozenset({"H-FAR-P", "R1108"})),
    Case("Goldman, twin", goldman_twin, FEW, (Client("P1", "", ("programme",)),)),
    Case("莫建军 2007", mo_jianjun, FEW, (Client("M1"),), frozenset({"P-SPOOF", "Z03202"}), frozenset({"Z06003"})),
    Case("莫建军, twin", mo_jianjun_twin, FEW, (Client("M1"),)),
    Case(
        "李健 2015-09-08",
        li_jian_first_day,
        FEW,
        (Client("J1", "J"), Client("J2", "J")),
        frozenset({"Z03101-L", "Z03101"}),
    ),
    Case(
        "李健 2015-09-10",
        li_jian_third_day,
        FEW,
        (Client("J1", "J"), Client("J2", "J")),
        frozenset({"Z05201", "Z01101"}),
    ),
    Case("李健, twin", li_jian_twin, FEW, PEOPLE),
    Case("market maker's day", market_maker, FEW, (Client("W1", "", ("market_maker",)),)),
    Case("liquidity without the tag", market_maker, FEW, (Client("W1"),)),
    Case("ordinary morning", crowd, FEW, PEOPLE),
    Case("index fund at the close", closing_rebalance, FEW, (Client("I1", "", ("asset_manager",)),)),
)
