"""Who may speak for a shard, and until when: what one node knows of it. Pure: time and answers are arguments.

The record of a shard (gateway/ownership_store.py) names its owner, the owner's epoch, and the standby that is in step,
if any. Only that standby may take over without a person, and only after two things have run out: the lease that the
owner renews in the store, and the standby's own last grant: each of its answers to the owner's pings says that it will
not take over for so long. So an owner that hears from either of the two knows until when nobody else can own the shard,
and one that hears from neither falls silent in time. While the record names no standby nobody can take over, and the
owner needs no one's leave.

Times are ns of one monotonic clock, each node's own; only durations are compared between nodes.
"""

import enum

import msgspec

NEVER = -(1 << 62)


class Record(msgspec.Struct, frozen=True):
    """A shard's record; empty strings: none."""

    owner: str = ""  # node id
    epoch: int = 0
    address: str = ""  # host:port of order entry, as are the next ones of their own
    control_address: str = ""
    replication: str = ""
    standby: str = ""  # node id of the standby in step
    standby_address: str = ""


class Role(enum.StrEnum):
    WAITING = "waiting"  # neither owner nor standby yet
    STANDBY = "standby"
    OWNER = "owner"
    LOST = "lost"  # another owns the shard: never again, in this process


class Ownership:
    """One node's view of one shard.

    ttl_ns: how long a lease and a grant hold; margin_ns: how much sooner an owner stops.
    """

    def __init__(self, node: str, ttl_ns: int, margin_ns: int) -> None:
        self.node = node
        self.ttl_ns = ttl_ns
        self.margin_ns = margin_ns
        self.role = Role.WAITING
        self.record = Record()
        self.has_named = False  # the record may name a standby: it did, or the answer to naming one never came
        self.lease_until_ns = self.grant_until_ns = NEVER
        self.granted_ns = NEVER

    @property
    def epoch(self) -> int:
        return self.record.epoch

    # --- the owner ---

    def own(self, record: Record, sent_ns: int) -> None:
        """The store made this node the owner; sent_ns: when it was asked."""
        self.role = Role.OWNER
        self.record = record
        self.has_named = bool(record.standby)
        self.lease_until_ns = sent_ns + self.ttl_ns
        self.grant_until_ns = NEVER

    def on_renewed(self, sent_ns: int) -> None:
        """The store renewed the lease, asked at sent_ns."""
        self.lease_until_ns = max(self.lease_until_ns, sent_ns + self.ttl_ns)

    def on_echo(self, ping_ns: int) -> None:
        """The standby answered the ping sent then."""
        self.grant_until_ns = max(self.grant_until_ns, ping_ns + self.ttl_ns)

    def will_name(self) -> None:
        """The store is about to be asked to name a standby: from now on one may be named."""
        self.has_named = True

    def on_named(self, record: Record) -> None:
        """The store's answer to naming a standby, or none."""
        self.record = record
        self.has_named = bool(record.standby)

    def until_ns(self) -> int | None:
        """Until when nothing can be owned by another; None: without end, for nobody may take over."""
        if self.role is not Role.OWNER:
            return NEVER
        if not self.has_named:
            return None
        return max(self.lease_until_ns, self.grant_until_ns) - self.margin_ns

    def lose(self) -> None:
        """Another owns the shard."""
        self.role = Role.LOST

    # --- the standby ---

    def follow(self, record: Record, now_ns: int) -> None:
        """This node follows the owner of the record; not knowing what it granted before, it waits a whole ttl."""
        self.role = Role.STANDBY
        self.record = record
        self.granted_ns = now_ns

    def grant(self, now_ns: int) -> None:
        """It answers a ping: it will not take over within ttl from now."""
        self.granted_ns = now_ns

    def claim_at_ns(self) -> int:
        """When it may ask the store for the shard, once the owner is silent."""
        return self.granted_ns + self.ttl_ns

    def may_claim(self, record: Record, now_ns: int) -> bool:
        """Whether a standby may ask, going by the newest record."""
        return self.role is Role.STANDBY and record.standby == self.node and now_ns >= self.claim_at_ns()
