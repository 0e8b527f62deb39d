"""Quantities as officers write them: `300_000 shares`, `30万股`, `2%`, `3 min`. Exact: integers only, never rounded."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MOST = 2**62  # what sums of a few such amounts may reach and still fit an int64


@dataclass(frozen=True)
class Quantity:
    """A constant: money in 1e-4 yuan, ratios in ppm, times in ns. A fixed one is not scaled by `warn_at`."""

    value: int
    unit: str
    fixed: bool = False


class UnitError(ValueError):
    """A literal that is no quantity: what is wrong with it, and the unit that was meant."""

    def __init__(self, text: str, meant: str = "") -> None:
        super().__init__(text)
        self.meant = meant


SCALES: dict[str, tuple[str, int]] = {
    "": ("count", 1),
    "shares": ("shares", 1), "share": ("shares", 1), "股": ("shares", 1),
    "yuan": ("yuan", 10_000), "元": ("yuan", 10_000),
    "yuan/share": ("price", 10_000), "元/股": ("price", 10_000),
    "%": ("ratio", 10_000), "bps": ("ratio", 100), "ppm": ("ratio", 1),
    "ms": ("time", 10**6), "s": ("time", 10**9), "min": ("time", 60 * 10**9), "h": ("time", 3600 * 10**9),
}
UNIT_WORDS = tuple(name for name in SCALES if name)
MULTIPLES = {"": 1, "万": 10_000, "亿": 10**8}
SMALLEST = {"count": "1", "shares": "1 share", "yuan": "0.0001 yuan", "price": "0.0001 yuan/share", "ratio": "1 ppm",
            "time": "1 ns"}
LITERAL = re.compile(
    r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)"
    r"(?:[ \t]*(?P<multiple>[万亿]))?"
    r"(?:[ \t]*(?P<unit>yuan/share(?![A-Za-z0-9_])|元/股|[股元%]"
    r"|(?:shares|share|yuan|bps|ppm|ms|min|s|h)(?![A-Za-z0-9_])))?")
WORD_AFTER = re.compile(r"[ \t]*(?P<word>[^\W\d_]\w*)")
NO_UNITS = {"and", "or", "not", "x", "if", "else", "in", "is", "for"}  # words that may follow a bare number


def quantity_of(match: re.Match[str]) -> Quantity:
    """The quantity of a match of LITERAL. Raises UnitError when it is too fine or too large to be kept exactly."""
    return exact(match["number"], match["multiple"] or "", match["unit"] or "")


@lru_cache(4096)
def exact(number: str, multiple: str, unit_word: str) -> Quantity:
    """A number of a unit; the same few come again and again in a rule set."""
    unit, scale = SCALES[unit_word]
    value = Fraction(number.replace("_", "")) * MULTIPLES[multiple] * scale
    text = f"{number[:40]}{multiple} {unit_word}".strip()
    if value.denominator != 1:
        raise UnitError(f"`{text}` is finer than {SMALLEST[unit]}")
    if value >= MOST:
        raise UnitError(f"`{text}` is too large")
    return Quantity(int(value), unit)


def parse_quantity(text: str) -> Quantity:
    """One literal and nothing else, with an optional minus. Raises UnitError."""
    bare = text.strip()
    sign = -1 if bare.startswith("-") else 1
    bare = bare.removeprefix("-").strip()
    match = LITERAL.match(bare)
    if match is None:
        raise UnitError(f"`{text}` is no number with a unit")
    rest = bare[match.end():].strip()
    if rest:
        raise UnitError(f"unknown unit `{rest}`", rest)
    quantity = quantity_of(match)
    return Quantity(sign * quantity.value, quantity.unit)


SHOWN = {
    "yuan": ((10**12, "亿 yuan"), (10**8, "万 yuan"), (10**4, " yuan")),
    "price": ((10**4, " yuan/share"),),
    "ratio": ((10**4, "%"),),
    "time": ((3600 * 10**9, " h"), (60 * 10**9, " min"), (10**9, " s"), (10**6, " ms"), (1, " ns")),
}


def shown(value: int, unit: str) -> str:
    """A value as people write it: 20000 ppm -> 2%, 180000000000 ns -> 3 min."""
    if unit not in SHOWN:
        return f"{value:_} shares" if unit == "shares" else f"{value:_}"
    sizes, amount = SHOWN[unit], abs(value)
    fitting = ((scale, name) for scale, name in sizes if amount >= scale and amount % scale == 0)
    scale, name = next(fitting, sizes[-1])
    whole, part = divmod(amount, scale)
    text = f"{whole:_}" + (f".{part:0{len(str(scale)) - 1}}".rstrip("0") if part else "")
    return f"{'-' if value < 0 else ''}{text}{name}"
