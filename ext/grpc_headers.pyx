"""The words of gRPC's header blocks, encoded and decoded. Knows no connection, no stream, no method."""

from binascii import Error as Base64Error
from binascii import a2b_base64
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from ext.nghttp2 cimport NGHTTP2_NV_FLAG_NO_COPY_NAME, NGHTTP2_NV_FLAG_NO_COPY_VALUE, NGHTTP2_NV_FLAG_NONE

cdef enum:
    MAX_TIMEOUT_DIGITS = 8
    MAX_TEXT = 1024                    # characters of a status text: a header block has a limit of its own

cdef str PLAIN = "".join(chr(code) for code in range(0x20, 0x7f) if chr(code) != "%")


cdef nghttp2_nv pair(bytes name, bytes value) noexcept:
    cdef nghttp2_nv nv
    nv.name = <uint8_t *>PyBytes_AS_STRING(name)
    nv.namelen = PyBytes_GET_SIZE(name)
    nv.value = <uint8_t *>PyBytes_AS_STRING(value)
    nv.valuelen = PyBytes_GET_SIZE(value)
    nv.flags = NGHTTP2_NV_FLAG_NONE
    return nv


cdef nghttp2_nv constant(bytes name, bytes value) noexcept:
    cdef nghttp2_nv nv = pair(name, value)
    nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
    return nv


cdef bint is_word(const uint8_t *at, size_t size, const char *word, size_t word_size) noexcept nogil:
    return size == word_size and memcmp(at, word, size) == 0


cdef int64_t timeout_ns(const uint8_t *value, size_t size) noexcept nogil:
    cdef int64_t amount = 0
    cdef size_t i
    if size < 2 or size > MAX_TIMEOUT_DIGITS + 1:
        return -1
    for i in range(size - 1):
        if value[i] < c'0' or value[i] > c'9':
            return -1
        amount = amount * 10 + (value[i] - c'0')
    if value[size - 1] == c'n':
        return amount
    if value[size - 1] == c'u':
        return amount * 1000
    if value[size - 1] == c'm':
        return amount * 1000000
    if value[size - 1] == c'S':
        return amount * 1000000000
    # Minutes and hours of eight digits pass int64's nanoseconds; a century stands for all of them.
    if value[size - 1] == c'M':
        return min(amount, <int64_t>50000000) * 60 * 1000000000
    if value[size - 1] == c'H':
        return min(amount, <int64_t>833333) * 3600 * 1000000000
    return -1


cdef bint is_grpc(const uint8_t *value, size_t size) noexcept nogil:
    cdef size_t length = 16
    if size < length or memcmp(value, b"application/grpc", length) != 0:
        return False
    return size == length or value[length] == c'+' or value[length] == c';'


cdef bytes encode_text(str text):
    return quote_from_bytes(text[:MAX_TEXT].encode("utf-8", "replace"), safe=PLAIN).encode("ascii")


cdef void add_metadata(dict metadata, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size):
    """Add one header: text under a key seen before is joined by a comma, of repeated binary values the last one stays."""
    cdef str key = (<const char *>name)[:name_size].decode("latin-1")
    cdef bytes raw = (<const char *>value)[:value_size]
    if key.endswith("-bin"):
        last = raw.rpartition(b",")[2].strip()
        try:
            metadata[key] = a2b_base64(last + b"=" * ((4 - len(last) % 4) % 4))
        except Base64Error:
            metadata[key] = b""
        return
    text = raw.decode("latin-1")
    metadata[key] = f"{metadata[key]},{text}" if key in metadata else text


def decode_text(bytes octets) -> str:
    """grpc-message -> status text; octets that are not UTF-8 are replaced."""
    return unquote_to_bytes(octets).decode("utf-8", "replace")


def encode_status_text(str text) -> bytes:
    """Status text -> grpc-message: printable ASCII as it is, all else percent-encoded UTF-8."""
    return encode_text(text)


def decode_timeout_ns(bytes octets) -> int:
    """grpc-timeout -> nanoseconds, -1 when malformed; minutes and hours are capped at about a century."""
    return timeout_ns(<const uint8_t *>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
