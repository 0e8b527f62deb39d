"""A slow, independent codec for fixed-width exchange messages, driven by the exchange's tables as text; tests only."""

import ctypes
import mmap
import struct
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

SHANGHAI = timezone(timedelta(hours=8))
FORMATS = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "i32": "i",
    "i64": "q",
    "price": "q",
    "quantity": "q",
    "amount": "q",
    "date": "I",
    "ntime": "Q",
}

symbols = st.integers(1, 999_999)
sides = st.integers(1, 2)
shares = st.integers(0, 10**12)
prices = st.integers(0, 10**12)


def texts(width: int):
    return st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=width)


def table(layout: str) -> list[tuple[str, str]]:
    """ "Name type, Name type" -> [(name, struct format)]."""
    fields = [field.split() for field in layout.replace("\n", " ").split(",")]
    return [(name, FORMATS.get(kind) or f"{kind[1:]}s") for name, kind in fields]


def pack_body(layout: str, values: dict) -> bytes:
    """The body with every field of the table; a field without a value is blank or zero."""
    out = b""
    names = [name for name, _ in table(layout)]
    assert set(values) <= set(names), set(values) - set(names)
    for name, form in table(layout):
        value = values.get(name, "" if form.endswith("s") else 0)
        out += struct.pack(">" + form, value.encode().ljust(int(form[:-1])) if form.endswith("s") else value)
    return out


def unpack_body(layout: str, body: bytes) -> dict:
    values = struct.unpack(">" + "".join(form for _, form in table(layout)), body)
    return {
        name: value.decode().rstrip() if isinstance(value, bytes) else value
        for (name, _), value in zip(table(layout), values, strict=True)
    }


def shanghai(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone(SHANGHAI)


def date_number(time_ns: int) -> int:
    return int(shanghai(time_ns).strftime("%Y%m%d"))


def clock_number(time_ns: int, digits: int) -> int:
    """HHMMSS and `digits` digits of the second's fraction."""
    return int(shanghai(time_ns).strftime("%H%M%S") + f"{time_ns % 10**9:09d}"[:digits])


def sealed(octets: bytes) -> bytes:
    return octets + struct.pack(">I", sum(octets) % 256)


class Fence:
    """Octets that end exactly where readable memory ends: reading one octet further kills the test run."""

    def __init__(self) -> None:
        self.room = mmap.mmap(-1, 2 * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.room))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0

    def hold(self, octets: bytes) -> memoryview:
        begin = mmap.PAGESIZE - len(octets)
        view = memoryview(self.room)[begin : mmap.PAGESIZE]
        view[:] = octets
        return view
