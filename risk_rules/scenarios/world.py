"""Stocks and accounts of the flows, and sizes they share."""

from risk_rules.stage import Client, Security, e4, full_symbol

MINUTE = 60_000
LARGE, HUGE, HUGE_ST = 300_000, 1_000_000, 500_000


def stocks(*texts: str) -> tuple[Security, ...]:
    """`600001 5.00`, `600009 ST 2.00`."""
    parts = [text.split() for text in texts]
    return tuple(Security(full_symbol(part[0]), e4(part[-1]), "ST" in part) for part in parts)


SECURITIES = stocks(
    "600001 5.00",
    "600002 100.00",
    "600009 ST 2.00",
    "600010 ST 100.00",
    "600011 ST 10.00",
    "600519 100.00",
    "000002 10.00",
    "300001 5.00",
    "300002 20.00",
    "688001 50.00",
    "609999 10.00",
    "609998 ST 5.00",
    "000001.XSHG 3000.00",
    "000688.XSHG 1000.00",
    "399001.XSHE 9000.00",
    "399106.XSHE 2000.00",
    "399006.XSHE 2000.00",
)
CLIENTS = (
    Client("A1", "G1"),
    Client("A2", "G1"),
    Client("B1"),
    Client("F1", "F", ("asset_manager",)),
    Client("F2", "F", ("asset_manager",)),
    Client("P1", "", ("programme",)),
)


def lots(shares: float) -> int:
    """Rounded up to whole lots."""
    return -int(-shares // 100) * 100
