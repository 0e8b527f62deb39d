# Market data from an exchange to the gateway: one TCP stream of frames laid out like the Shenzhen binary ones, big-endian:
#   MsgType u32, BodyLength u32, body, Checksum u32 (sum of every byte before it, mod 256)
# Times are i64 UTC ns, prices i64 1e-4 yuan, quantities i64 shares.
#   390001 MarketStatus  venue u8, phase u8, market_time i64            on connect, on every change, and once a second
#   300111 Quote         symbol u32, market_time i64, phase u8 (0: the market's), suspended u8, prev_close, last_px,
#                        total_volume, total_turnover_e4, 5 x [bid_px, bid_qty], 5 x [ask_px, ask_qty]     (all i64)
#   300191 Trade         symbol u32, market_time i64, last_px, last_qty, side u8 of the aggressor (0: auction), trade_no u64
# In a call auction a Quote's first level holds the indicative price and matched quantity on both sides.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum QuoteMsgType:
    MSG_MARKET_STATUS = 390001
    MSG_QUOTE = 300111
    MSG_TRADE = 300191

cdef struct MarketStatus:
    uint8_t venue
    uint8_t phase
    int64_t market_time_ns

cdef struct Quote:
    uint32_t symbol
    uint8_t phase
    uint8_t suspended
    int64_t market_time_ns
    int64_t prev_close_e4
    int64_t last_px_e4
    int64_t total_volume_shares
    int64_t total_turnover_e4
    int64_t bid_px_e4[5]
    int64_t bid_qty_shares[5]
    int64_t ask_px_e4[5]
    int64_t ask_qty_shares[5]

cdef struct MarketTrade:
    uint32_t symbol
    uint8_t side
    int64_t market_time_ns
    int64_t last_px_e4
    int64_t last_qty_shares
    uint64_t trade_no

# Each encode writes one frame at dst (room for MAX_QUOTE_FRAME bytes) and returns its size. decode_frame reads one frame:
# returns its size, 0 when more bytes are needed, -1 when the frame is malformed (type, length or checksum); msg_type says
# which of the three structs was filled.
cdef enum:
    MAX_QUOTE_FRAME = 256
cdef size_t encode_market_status(uint8_t *dst, const MarketStatus *status) noexcept nogil
cdef size_t encode_quote(uint8_t *dst, const Quote *quote) noexcept nogil
cdef size_t encode_trade(uint8_t *dst, const MarketTrade *trade) noexcept nogil
cdef ssize_t decode_frame(const uint8_t *frame, size_t size, uint32_t *msg_type, MarketStatus *status, Quote *quote,
                          MarketTrade *trade) noexcept nogil
