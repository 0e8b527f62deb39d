"""A Logon read a few accounts at a time: names to indexes, cursors checked, the answer written as it goes. Admits nobody itself."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.buffers cimport OutBuf
from ext.codec cimport Text
from ext.engine cimport Engine
from ext.session cimport Session
from ext.state cimport NONE
from ext.varints cimport BYTES, LONG_BITS, VARINT, Cursor, read_tag, read_text, read_varint, skip_field

from ext.audience import MOVING

cdef enum:
    LOGON_FIELD = 1                    # of ClientMessage
    MOST_ACCOUNTS = 65536
    MOST_TOKEN = 1024
    MOST_ANSWER = 4194304
    MOST_ENTRY = 48                    # octets of one account in the answer
    ANSWER_ACCOUNT = 0x1A              # LogonAck.accounts
    ENTRY_NAME = 0x0A                  # AccountCursor.account; ServerMessage.logon_ack is number 1, too
    MOST_HEAD = 6                      # octets before a message inside of another
    ENTRY_SEQ = 0x10


def logon_of(bytes message) -> bytes | None:
    """The Logon that a ClientMessage is, None when it is anything else, or is written in an unusual way."""
    cdef Cursor cursor = Cursor(<const uint8_t *>message, <const uint8_t *>message + len(message))
    cdef uint32_t field
    cdef int wire_type
    cdef Text body
    if not read_tag(&cursor, &field, &wire_type) or field != LOGON_FIELD or wire_type != BYTES:
        return None
    if not read_text(&cursor, &body) or cursor.at != cursor.end:
        return None
    return (<const char *>body.at)[:body.size]


cdef class LogonReader:
    """One Logon. Raises ValueError when the octets are no Logon.

    fault: None, or (code, field, value, expected) of what is wrong with an account. Accounts of other shards are no fault: they are
    noted in `away`.
    """

    cdef bytes octets
    cdef Cursor cursor
    cdef OutBuf answer                 # the accounts of the LogonAck
    cdef readonly bytes token
    cdef readonly uint32_t count       # of accounts
    cdef readonly bint cancel_on_disconnect
    cdef readonly uint32_t grace_ms
    cdef readonly object fault
    cdef readonly dict away            # "host:port" of another shard -> accounts that live there

    def __init__(self, bytes octets):
        self.octets = octets
        self.token = b""
        self.away = {}
        self.answer = OutBuf(MOST_ANSWER)
        self.cursor = Cursor(<const uint8_t *>octets, <const uint8_t *>octets + len(octets))
        if not self.scan(self.cursor):
            raise ValueError("logon: undecodable bytes")

    cdef bint scan(self, Cursor cursor) except -1:
        """Everything but the accounts, which are only counted."""
        cdef uint32_t field
        cdef int wire_type
        cdef Text text
        while cursor.at < cursor.end:
            if not read_tag(&cursor, &field, &wire_type) or field == 0:
                return False
            if wire_type != BYTES or field > 3:
                if not skip_field(&cursor, field, wire_type, 0):
                    return False
                continue
            if not read_text(&cursor, &text):
                return False
            if field == 1:
                self.token = (<const char *>text.at)[:min(text.size, <uint32_t>MOST_TOKEN + 1)]
            elif field == 2:
                self.count += 1
            elif not self.read_choice(Cursor(text.at, text.at + text.size)):
                return False
        return True

    cdef bint read_choice(self, Cursor cursor) noexcept:
        """CancelOnDisconnect."""
        cdef uint32_t field
        cdef int wire_type
        cdef uint64_t value
        while cursor.at < cursor.end:
            if not read_tag(&cursor, &field, &wire_type) or field == 0:
                return False
            if wire_type != VARINT or field > 2:
                if not skip_field(&cursor, field, wire_type, 0):
                    return False
                continue
            if not read_varint(&cursor, &value, LONG_BITS):
                return False
            if field == 1:
                self.cancel_on_disconnect = value != 0
            else:
                self.grace_ms = <uint32_t>value
        return True

    def step(self, Session session, Engine engine, int most) -> bool:
        """Look at the next accounts, and let the session watch them; True when it is over: every one was looked at, or
        one is wrong and `fault` says how."""
        cdef uint32_t field
        cdef int wire_type
        cdef Text text
        # The whole of it was scanned before: at this level nothing breaks off.
        while self.cursor.at < self.cursor.end and most > 0:
            if not read_tag(&self.cursor, &field, &wire_type):
                break
            if field != 2 or wire_type != BYTES:
                skip_field(&self.cursor, field, wire_type, 0)
                continue
            if not read_text(&self.cursor, &text):
                break
            most -= 1
            self.fault = self.watch(session, engine, Cursor(text.at, text.at + text.size))
            if self.fault is not None:
                return True
        return self.cursor.at == self.cursor.end

    cdef object watch(self, Session session, Engine engine, Cursor cursor):
        """One AccountCursor; None, or what is wrong with it."""
        cdef uint32_t field, index
        cdef int wire_type
        cdef uint64_t seen = 0, newest
        cdef Text name = Text(cursor.at, 0)
        while cursor.at < cursor.end:
            if not read_tag(&cursor, &field, &wire_type) or field == 0:
                return "R1605", "accounts", "undecodable bytes", "an AccountCursor"
            if field == 1 and wire_type == BYTES and read_text(&cursor, &name):
                continue
            if field == 2 and wire_type == VARINT and read_varint(&cursor, &seen, LONG_BITS):
                continue
            if field <= 2 or not skip_field(&cursor, field, wire_type, 0):
                return "R1605", "accounts", "undecodable bytes", "an AccountCursor"
        index = engine.state.find_account(name.at, name.size)
        text = (<const char *>name.at)[:min(name.size, <uint32_t>64)].decode(errors="replace")
        if index == NONE or not engine.audience.is_allowed(session.port, index):
            return None if self.note_elsewhere(session, engine, text) else ("R1001", "accounts", text, "an account of this token")
        if engine.audience.may_trade(session, index):
            return "R1605", "accounts", text, "each account once"
        newest = engine.state.accounts[index].event_seq
        if seen > newest:
            return "R1605", "accounts.last_event_seq", str(seen), f"at most {newest}"
        if not session.watch(index, seen):
            return "R1609", "accounts", text, "an account that fewer sessions watch"
        return None if self.write_entry(name, newest) else ("R1609", "accounts", text, "fewer accounts")

    cdef bint note_elsewhere(self, Session session, Engine engine, str name) except -1:
        """An account of another shard is noted under that one's address, empty when it is not known now; False: there is none."""
        found = None if engine.audience.elsewhere is None else engine.audience.elsewhere(session.port, name.encode())
        if found is None:
            return False
        self.away.setdefault("" if found == MOVING else found.decode(), []).append(name)
        return True

    cdef bint write_entry(self, Text name, uint64_t newest) noexcept:
        """The account's entry in the LogonAck."""
        cdef uint8_t *room = self.answer.reserve(MOST_ENTRY)
        cdef uint8_t *at
        if room == NULL:
            return False
        room[0] = ANSWER_ACCOUNT
        room[2] = ENTRY_NAME
        room[3] = <uint8_t>name.size
        memcpy(room + 4, name.at, name.size)
        at = room + 4 + name.size
        if newest:
            at[0] = ENTRY_SEQ
            at += 1
            while newest >= 0x80:
                at[0] = <uint8_t>(newest | 0x80)
                at += 1
                newest >>= 7
            at[0] = <uint8_t>newest
            at += 1
        room[1] = <uint8_t>(at - room - 2)
        self.answer.commit(at - room)
        return True

    def acknowledge(self, Session session, bytes head) -> bool:
        """Send the LogonAck: its other fields, encoded, then the accounts; written where it leaves from, for it may be long."""
        cdef size_t head_size = len(head), size = head_size + self.answer.size()
        cdef size_t left = size
        cdef uint8_t *room = session.begin_message(size + MOST_HEAD)
        cdef uint8_t *at = room
        if room == NULL:
            return False
        at[0] = ENTRY_NAME
        at += 1
        while left >= 0x80:
            at[0] = <uint8_t>(left | 0x80)
            at += 1
            left >>= 7
        at[0] = <uint8_t>left
        memcpy(at + 1, <const uint8_t *>head, head_size)
        memcpy(at + 1 + head_size, self.answer.head(), self.answer.size())
        session.end_message(at + 1 - room + size)
        self.answer = None
        return True
