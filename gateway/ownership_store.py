"""A shard's record and lease in Redis, each change one script that compares before it sets. It decides nothing else.

`tidegate:<cluster>:shard:<NN>` is a hash with the fields of ownership.Record; it never expires.
`tidegate:<cluster>:lease:<NN>` holds the owner's epoch and expires when the owner stops renewing it.
"""

from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from gateway.ownership import Record

CALL_TIMEOUT_S = 0.5
FIELDS = Record.__struct_fields__

READ = "local function record() return redis.call('HGETALL', KEYS[1]) end\n"

# ARGV: node, epoch known to the node, ttl ms, may it begin without a record, address, control, replication, even though
# a standby is named
START = READ + """
local owner, epoch = redis.call('HGET', KEYS[1], 'owner'), tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if owner and owner ~= ARGV[1] then return record() end
if not owner and ARGV[4] == '0' then return record() end
if owner and redis.call('HGET', KEYS[1], 'standby') ~= '' and ARGV[8] == '0' then return record() end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', math.max(epoch, tonumber(ARGV[2])) + 1, 'standby', '',
  'standby_address', '', 'address', ARGV[5], 'control_address', ARGV[6], 'replication', ARGV[7])
redis.call('SET', KEYS[2], redis.call('HGET', KEYS[1], 'epoch'), 'PX', ARGV[3])
return record()
"""
# ARGV: node, epoch of the owner before it, ttl ms, ignored, address, control, replication
CLAIM = READ + """
if redis.call('HGET', KEYS[1], 'standby') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2]
  or redis.call('EXISTS', KEYS[2]) == 1 then return record() end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', tonumber(ARGV[2]) + 1, 'standby', '', 'standby_address', '',
  'address', ARGV[5], 'control_address', ARGV[6], 'replication', ARGV[7])
redis.call('SET', KEYS[2], tonumber(ARGV[2]) + 1, 'PX', ARGV[3])
return record()
"""
# ARGV: node, epoch, ttl ms
RENEW = READ + """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] and redis.call('HGET', KEYS[1], 'epoch') == ARGV[2] then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
return record()
"""
# ARGV: node, epoch, standby, its address
NAME = READ + """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] and redis.call('HGET', KEYS[1], 'epoch') == ARGV[2] then
  redis.call('HSET', KEYS[1], 'standby', ARGV[3], 'standby_address', ARGV[4]) end
return record()
"""
# ARGV: node, epoch, to, ttl ms, address, control, replication
HAND_OVER = READ + """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] and redis.call('HGET', KEYS[1], 'epoch') == ARGV[2] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'epoch', tonumber(ARGV[2]) + 1, 'standby', '', 'standby_address', '',
    'address', ARGV[5], 'control_address', ARGV[6], 'replication', ARGV[7])
  redis.call('SET', KEYS[2], tonumber(ARGV[2]) + 1, 'PX', ARGV[4]) end
return record()
"""


class StoreError(Exception):
    """Redis did not answer; whether it did what it was asked is not known."""


class Addresses(msgspec.Struct, frozen=True):
    """Where a node listens, host:port each; empty: not there."""

    address: str = ""
    control_address: str = ""
    replication: str = ""


class OwnershipStore:
    """One shard's record. Every call returns the record as it stands afterwards: the caller sees in it what came of it.

    Raises StoreError when Redis cannot be reached in time.
    """

    def __init__(self, url: str, cluster: str, shard: int, ttl_ms: int) -> None:
        self.client = redis.asyncio.from_url(
            url, decode_responses=True, socket_timeout=CALL_TIMEOUT_S, socket_connect_timeout=CALL_TIMEOUT_S
        )
        self.keys = [f"tidegate:{cluster}:shard:{shard:02d}", f"tidegate:{cluster}:lease:{shard:02d}"]
        self.ttl_ms = ttl_ms

    async def close(self) -> None:
        await self.client.aclose()

    async def run(self, script: str, *arguments: Any) -> Record:
        try:
            flat = await self.client.eval(script, len(self.keys), *self.keys, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(str(error) or type(error).__name__) from None
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        return msgspec.convert({name: found[name] for name in FIELDS if name in found}, Record, strict=False)

    async def read(self) -> Record:
        return await self.run(READ + "return record()")

    async def start(
        self, node: str, epoch: int, where: Addresses, *, may_begin: bool, without_standby: bool = False
    ) -> Record:
        """Own a shard that is this node's, or nobody's; the record then names no standby. epoch: of its journal.

        may_begin: also when there is no record, which a node whose journal was last written by another must not.
        without_standby: also when a standby is in step, which may have more of the journal than a node that comes back.
        """
        flags = int(may_begin), *msgspec.structs.astuple(where), int(without_standby)
        return await self.run(START, node, epoch, self.ttl_ms, *flags)

    async def claim(self, node: str, epoch: int, where: Addresses) -> Record:
        """Take over from the owner of `epoch`, as its standby in step, if the lease has run out."""
        return await self.run(CLAIM, node, epoch, self.ttl_ms, 0, *msgspec.structs.astuple(where))

    async def renew(self, node: str, epoch: int) -> Record:
        """Renew the owner's lease."""
        return await self.run(RENEW, node, epoch, self.ttl_ms)

    async def name_standby(self, node: str, epoch: int, standby: str, address: str) -> Record:
        """Say which standby is in step; empty: none."""
        return await self.run(NAME, node, epoch, standby, address)

    async def hand_over(self, node: str, epoch: int, to: str, where: Addresses) -> Record:
        """Make another node the owner, at the owner's own wish."""
        return await self.run(HAND_OVER, node, epoch, to, self.ttl_ms, *msgspec.structs.astuple(where))
