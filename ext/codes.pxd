# Every code and enum that crosses a module. Zero is never "pass" in a check result: a Cython noexcept function that raises
# returns 0, and a risk check that broke must not let an order through.

cdef enum RejectCode:
    INTERNAL = 0                       # a check that failed to run
    PASS = 1
    # Who and what state
    R1001_AUTH = 1001
    R1002_STATE = 1002
    R1003_SYMBOL = 1003
    R1004_SESSION = 1004
    R1005_RESTRICTED = 1005
    R1006_ORDTYPE = 1006
    R1007_SUITABILITY = 1007
    # The order itself
    R1101_QTY_FORMAT = 1101
    R1102_MAX_QTY = 1102
    R1103_MAX_NTL = 1103
    R1104_PCT_ADV = 1104
    R1105_TICK = 1105
    R1106_PRICE_LIMIT = 1106
    R1107_CAGE = 1107
    R1108_COLLAR = 1108
    R1109_COLLAR_WIN = 1109
    R1110_MD_STALE = 1110
    # Rates and repeats
    R1201_DUP_ID = 1201
    R1202_DUP_ECON = 1202
    R1203_RATE_IN = 1203
    R1204_RATE_OUT = 1204
    R1205_RATE_SYM = 1205
    R1206_RAET = 1206
    R1207_REJ_BREAK = 1207
    R1208_OPEN_CNT = 1208
    # Money and position
    R1301_CASH = 1301
    R1302_SELLABLE = 1302
    R1303_GROSS = 1303
    R1304_NET = 1304
    R1305_POS_LIMIT = 1305
    R1306_CONC = 1306
    R1307_TURNOVER = 1307
    R1308_LOSS = 1308
    R1309_FIRM_CAP = 1309
    R1310_FRONT_END = 1310
    R1311_CHILD = 1311
    R1312_BASKET = 1312
    # Market conduct and switches
    R1401_SMP = 1401
    R1402_SHORT = 1402
    R1403_ABNORMAL = 1403              # a rule of abnormal-trading surveillance
    R1501_KILL = 1501
    R1502_MANUAL = 1502
    # Tidegate and the exchange
    R1601_VENUE_DOWN = 1601            # the exchange link is down or not yet synchronised
    R1602_VENUE_REJECT = 1602          # the exchange refused the order; text has its reason
    R1603_CAPACITY = 1603              # journal or order store full
    R1604_NOT_FOUND = 1604             # cancel or query of an order that is not there
    R1605_MALFORMED = 1605             # a field is missing, unknown or out of range
    R1606_NOT_OPEN = 1606              # cancel of an order that is no longer open
    R1607_CANCEL_PENDING = 1607        # a cancel of this order is under way
    R1608_NO_STANDBY = 1608            # durability `replica`, and no standby holds the journal
    R1609_OVERLOAD = 1609              # more than this shard can take now: shed before it was judged
    R1610_WRONG_SHARD = 1610           # the account lives at another shard; the text has its address
    R1611_MOVING = 1611                # the account is on its way to another shard
    R1612_QUOTA = 1612                 # this shard's share of a limit that spans shards is used up
    R1613_DISK_FULL = 1613             # the journal's disk is full
    R1614_NOT_OWNER = 1614             # this process does not own the shard, or is handing it over

cdef enum Venue:
    VENUE_NONE = 0
    XSHG = 1
    XSHE = 2
    VENUE_COUNT = 3

cdef enum Side:
    BUY = 1
    SELL = 2

cdef enum OrdType:                     # numbers of order_entry.proto
    LIMIT = 1
    MARKET_BEST5_CANCEL = 2
    MARKET_BEST5_LIMIT = 3
    MARKET_OWN_BEST = 4
    MARKET_OPPOSITE_BEST = 5
    MARKET_IOC = 6
    MARKET_FOK = 7
    ORD_TYPE_COUNT = 8

cdef enum ExecType:
    EXEC_PENDING_NEW = 1
    EXEC_NEW = 2
    EXEC_TRADE = 3
    EXEC_CANCELED = 4
    EXEC_EXPIRED = 5
    EXEC_REJECTED = 6
    EXEC_SUSPENDED = 7

cdef enum OrdStatus:
    STATUS_PENDING_NEW = 1
    STATUS_NEW = 2
    STATUS_PARTIALLY_FILLED = 3
    STATUS_FILLED = 4
    STATUS_CANCELED = 5
    STATUS_EXPIRED = 6
    STATUS_REJECTED = 7
    STATUS_SUSPENDED = 8

cdef enum Phase:                       # trading phases of section 2.4 of the rule catalogue; times are Shanghai time
    PHASE_UNKNOWN = 0
    PHASE_CLOSED = 1                   # before 09:15
    PHASE_OPEN_CALL = 2                # 09:15-09:20, orders and cancels
    PHASE_OPEN_CALL_LOCKED = 3         # 09:20-09:25, orders, no cancels
    PHASE_QUIET = 4                    # 09:25-09:30, nothing
    PHASE_CONTINUOUS = 5               # 09:30-11:30, 13:00-14:57
    PHASE_LUNCH = 6                    # 11:30-13:00
    PHASE_CLOSE_CALL = 7               # 14:57-15:00, orders, no cancels
    PHASE_ENDED = 8                    # after 15:00
    PHASE_COUNT = 9

cdef enum Board:
    BOARD_NONE = 0
    BOARD_MAIN = 1                     # 60xxxx, 00xxxx
    BOARD_STAR = 2                     # 688xxx, 689xxx
    BOARD_CHINEXT = 3                  # 30xxxx
    BOARD_INDEX = 4                    # an index: quoted, never traded
    BOARD_COUNT = 5

cdef enum AccountTag:                  # bits
    TAG_PROGRAMME = 1                  # reported programme trader
    TAG_HFT = 2                        # reported high-frequency trader
    TAG_MARKET_MAKER = 4
    TAG_PROPRIETARY = 8
    TAG_ASSET_MANAGER = 16
    TAG_EMPLOYEE = 32
    TAG_INSIDER = 64
    TAG_VIP = 128
    TAG_DESK1 = 256                    # desk1 to desk8: the broker's own
