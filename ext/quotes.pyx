"""Codec of the market data stream; touches bytes and one struct, keeps nothing."""

from ext.wire cimport be32toh, be64toh, htobe32, htobe64, is_sealed, seal


cdef packed struct FrameHeader:
    uint32_t msg_type
    uint32_t body_length

cdef packed struct StatusFrame:
    FrameHeader header
    uint8_t venue
    uint8_t phase
    uint64_t market_time
    uint32_t checksum

cdef packed struct QuoteFrame:
    FrameHeader header
    uint32_t symbol
    uint64_t market_time
    uint8_t phase
    uint8_t suspended
    uint64_t numbers[24]               # prev_close, last_px, volume, turnover, 5 x [bid px, qty], 5 x [ask px, qty]
    uint32_t checksum

cdef packed struct TradeFrame:
    FrameHeader header
    uint32_t symbol
    uint64_t market_time
    uint64_t last_px
    uint64_t last_qty
    uint8_t side
    uint64_t trade_no
    uint32_t checksum

cdef enum:
    MAX_SYMBOL = 999999
    MAX_SIDE = 2
    MAX_PHASE = 8
    MAX_VENUE = 2


cdef inline void put_header(FrameHeader *header, uint32_t msg_type, size_t frame_size) noexcept nogil:
    header.msg_type = htobe32(msg_type)
    header.body_length = htobe32(<uint32_t>(frame_size - sizeof(FrameHeader) - 4))


cdef size_t encode_market_status(uint8_t *dst, const MarketStatus *status) noexcept nogil:
    cdef StatusFrame *m = <StatusFrame *>dst
    put_header(&m.header, MSG_MARKET_STATUS, sizeof(StatusFrame))
    m.venue = status.venue
    m.phase = status.phase
    m.market_time = htobe64(<uint64_t>status.market_time_ns)
    return seal(dst, sizeof(StatusFrame))


cdef size_t encode_quote(uint8_t *dst, const Quote *quote) noexcept nogil:
    cdef QuoteFrame *m = <QuoteFrame *>dst
    cdef int level
    put_header(&m.header, MSG_QUOTE, sizeof(QuoteFrame))
    m.symbol = htobe32(quote.symbol)
    m.market_time = htobe64(<uint64_t>quote.market_time_ns)
    m.phase = quote.phase
    m.suspended = quote.suspended
    m.numbers[0] = htobe64(<uint64_t>quote.prev_close_e4)
    m.numbers[1] = htobe64(<uint64_t>quote.last_px_e4)
    m.numbers[2] = htobe64(<uint64_t>quote.total_volume_shares)
    m.numbers[3] = htobe64(<uint64_t>quote.total_turnover_e4)
    for level in range(5):
        m.numbers[4 + 2 * level] = htobe64(<uint64_t>quote.bid_px_e4[level])
        m.numbers[5 + 2 * level] = htobe64(<uint64_t>quote.bid_qty_shares[level])
        m.numbers[14 + 2 * level] = htobe64(<uint64_t>quote.ask_px_e4[level])
        m.numbers[15 + 2 * level] = htobe64(<uint64_t>quote.ask_qty_shares[level])
    return seal(dst, sizeof(QuoteFrame))


cdef size_t encode_trade(uint8_t *dst, const MarketTrade *trade) noexcept nogil:
    cdef TradeFrame *m = <TradeFrame *>dst
    put_header(&m.header, MSG_TRADE, sizeof(TradeFrame))
    m.symbol = htobe32(trade.symbol)
    m.market_time = htobe64(<uint64_t>trade.market_time_ns)
    m.last_px = htobe64(<uint64_t>trade.last_px_e4)
    m.last_qty = htobe64(<uint64_t>trade.last_qty_shares)
    m.side = trade.side
    m.trade_no = htobe64(trade.trade_no)
    return seal(dst, sizeof(TradeFrame))


cdef inline ssize_t decode_market_status(const uint8_t *frame, MarketStatus *status) noexcept nogil:
    cdef const StatusFrame *m = <const StatusFrame *>frame
    if not 1 <= m.venue <= MAX_VENUE or m.phase > MAX_PHASE:
        return -1
    status.venue = m.venue
    status.phase = m.phase
    status.market_time_ns = <int64_t>be64toh(m.market_time)
    return sizeof(StatusFrame)


cdef inline ssize_t decode_quote(const uint8_t *frame, Quote *quote) noexcept nogil:
    cdef const QuoteFrame *m = <const QuoteFrame *>frame
    cdef int level
    if be32toh(m.symbol) > MAX_SYMBOL or m.phase > MAX_PHASE or m.suspended > 1:
        return -1
    # No price, quantity or sum of a market is negative: the sign bit of any number condemns the frame.
    for level in range(24):
        if <int64_t>be64toh(m.numbers[level]) < 0:
            return -1
    quote.symbol = be32toh(m.symbol)
    quote.market_time_ns = <int64_t>be64toh(m.market_time)
    quote.phase = m.phase
    quote.suspended = m.suspended
    quote.prev_close_e4 = <int64_t>be64toh(m.numbers[0])
    quote.last_px_e4 = <int64_t>be64toh(m.numbers[1])
    quote.total_volume_shares = <int64_t>be64toh(m.numbers[2])
    quote.total_turnover_e4 = <int64_t>be64toh(m.numbers[3])
    for level in range(5):
        quote.bid_px_e4[level] = <int64_t>be64toh(m.numbers[4 + 2 * level])
        quote.bid_qty_shares[level] = <int64_t>be64toh(m.numbers[5 + 2 * level])
        quote.ask_px_e4[level] = <int64_t>be64toh(m.numbers[14 + 2 * level])
        quote.ask_qty_shares[level] = <int64_t>be64toh(m.numbers[15 + 2 * level])
    return sizeof(QuoteFrame)


cdef inline ssize_t decode_trade(const uint8_t *frame, MarketTrade *trade) noexcept nogil:
    cdef const TradeFrame *m = <const TradeFrame *>frame
    if be32toh(m.symbol) > MAX_SYMBOL or m.side > MAX_SIDE:
        return -1
    if <int64_t>be64toh(m.last_px) < 0 or <int64_t>be64toh(m.last_qty) < 0:
        return -1
    trade.symbol = be32toh(m.symbol)
    trade.market_time_ns = <int64_t>be64toh(m.market_time)
    trade.last_px_e4 = <int64_t>be64toh(m.last_px)
    trade.last_qty_shares = <int64_t>be64toh(m.last_qty)
    trade.side = m.side
    trade.trade_no = be64toh(m.trade_no)
    return sizeof(TradeFrame)


cdef inline size_t frame_size_of(uint32_t msg_type) noexcept nogil:
    if msg_type == MSG_QUOTE:
        return sizeof(QuoteFrame)
    if msg_type == MSG_TRADE:
        return sizeof(TradeFrame)
    if msg_type == MSG_MARKET_STATUS:
        return sizeof(StatusFrame)
    return 0


cdef ssize_t decode_frame(const uint8_t *frame, size_t size, uint32_t *msg_type, MarketStatus *status, Quote *quote,
                          MarketTrade *trade) noexcept nogil:
    cdef const FrameHeader *header = <const FrameHeader *>frame
    cdef size_t expected
    if size < sizeof(FrameHeader):
        return 0
    msg_type[0] = be32toh(header.msg_type)
    expected = frame_size_of(msg_type[0])
    if expected == 0 or be32toh(header.body_length) != expected - sizeof(FrameHeader) - 4:
        return -1
    if size < expected:
        return 0
    if not is_sealed(frame, expected):
        return -1
    if msg_type[0] == MSG_QUOTE:
        return decode_quote(frame, quote)
    if msg_type[0] == MSG_TRADE:
        return decode_trade(frame, trade)
    return decode_market_status(frame, status)


# ---- the same for Python: tests and tools

def encode(str name, dict fields) -> bytes:
    """One frame of a "market_status", "quote" or "trade"; fields are named as in the structs, levels are lists of five."""
    cdef uint8_t dst[MAX_QUOTE_FRAME]
    cdef MarketStatus status
    cdef Quote quote
    cdef MarketTrade trade
    cdef size_t size
    if name == "quote":
        quote = fields
        size = encode_quote(dst, &quote)
    elif name == "trade":
        trade = fields
        size = encode_trade(dst, &trade)
    elif name == "market_status":
        status = fields
        size = encode_market_status(dst, &status)
    else:
        raise ValueError(f"name: {name!r}, expected market_status, quote or trade")
    return dst[:size]


def decode(const uint8_t[::1] octets not None) -> tuple:
    """(size, name, fields) of the first frame; (0, None, None) when more is needed, (-1, None, None) when malformed."""
    cdef MarketStatus status
    cdef Quote quote
    cdef MarketTrade trade
    cdef uint32_t msg_type = 0
    cdef const uint8_t *p = &octets[0] if octets.shape[0] else NULL
    cdef ssize_t size = decode_frame(p, octets.shape[0], &msg_type, &status, &quote, &trade)
    if size <= 0:
        return size, None, None
    if msg_type == MSG_QUOTE:
        return size, "quote", quote
    if msg_type == MSG_TRADE:
        return size, "trade", trade
    return size, "market_status", status
