"""The shares of all shards in Redis: one script that sums them, and what its callers say and hear. It plans nothing.

Keys: `tidegate:<cluster>:quota:<date>:<scope>`, a hash with the limits and each shard's shares of them; beside it
`:short`, the scopes that some shard would like more of; `:data`, made anew when Redis forgot it; `:present`, with which
data each shard last said all that it holds; `:dead`, the shards that two persons gave up for the day; and the cluster's
shards, `tidegate:<cluster>:shards`. A *run* is one start of Redis with one `:data`: what another was told may be lost.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ext.quota import KINDS
from gateway.quota import Answer, Ask

KEEP_S = 8 * 86_400  # how long a day's hash is kept for people
SHORT_MS = 3_000

RUN = """
local function run_of(key)
  redis.call('SET', key, table.concat(redis.call('TIME'), '.'), 'NX')
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') .. ':' .. redis.call('GET', key)
end
"""

# Every change of a share is this script, and Redis runs one script at a time.
SETTLE = RUN + """
local leases, members, short, dead, present, scope = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1]
local shard, epoch, session, run = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local count, version, holds = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local keep_s, short_ms = tonumber(ARGV[9]), tonumber(ARGV[10])
local function given(at, place) return tonumber(ARGV[7 + 3 * at + place]) end
local kinds, run_now = {KINDS}, run_of(KEYS[6])
local row, is = redis.call('HGETALL', leases), {}
for at = 1, #row, 2 do is[row[at]] = row[at + 1] end
local function number(field) return tonumber(is[field] or '0') end
local function set(field, value)
  if type(value) == 'number' then value = string.format('%.0f', value) end
  is[field] = value
  redis.call('HSET', leases, field, value)
end

-- Only the shard's owner, in its session of this Redis.
if redis.call('HEXISTS', dead, shard) == 1 then return {'DEAD'} end
if epoch < number(shard .. ':epoch') then return {'FENCED'} end
local registers = session == 0
if registers then
  session = number(shard .. ':session') + 1
  set(shard .. ':epoch', epoch)
  set(shard .. ':session', session)
  set(shard .. ':run', run_now)
  redis.call('EXPIRE', leases, keep_s)
elseif session ~= number(shard .. ':session') or epoch ~= number(shard .. ':epoch') or run ~= run_now
    or is[shard .. ':run'] ~= run_now then
  return {'REGISTER'}
end

-- A newer limits file replaces the limits; of two with one version the lower limit holds.
local newer, same = version > number('version'), version == number('version')
if newer then set('version', version) end
for at, kind in ipairs(kinds) do
  local limit, there = given(at, 1), number('limit:' .. kind)
  if newer or (same and limit > 0 and (there == 0 or limit < there)) then set('limit:' .. kind, limit) end
end

-- Has every shard said what it holds in this run? If not, what is recorded may be less than what is in force. It is in
-- doubt when some shard holds shares that it leased in another run; else the day may just have begun.
local shards, said, known, heard, doubt = {}, {}, 0, 0, false
local all = redis.call('HGETALL', present)
for at = 1, #all, 2 do
  said[all[at]] = all[at + 1]
  doubt = doubt or (all[at + 1] ~= run_now and all[at] ~= 'lost')
  if all[at] ~= 'lost' then shards[all[at]] = true end
end
if registers and holds and said[shard] ~= run_now then
  said['lost'] = run_now
  redis.call('HSET', present, 'lost', run_now)
end
doubt = doubt or said['lost'] == run_now
for _, member in ipairs(redis.call('SMEMBERS', members)) do
  if tonumber(member) then shards[string.format('%02d', tonumber(member))] = true end
end
for field in pairs(is) do
  local owner = string.match(field, '^(%d+):epoch$')
  if owner then shards[owner] = true end
end
for owner in pairs(shards) do
  known = known + 1
  if said[owner] == run_now or redis.call('HEXISTS', dead, owner) == 1 then heard = heard + 1 end
end
known = math.max(known, count)
local whole = heard >= known
if whole and said['lost'] then redis.call('HDEL', present, 'lost') end

local amounts, limits, sums, is_short = {}, {}, {}, false
for at, kind in ipairs(kinds) do
  local in_force, wanted = given(at, 2), given(at, 3)
  local limit, others, own = number('limit:' .. kind), 0, shard .. ':' .. kind
  for owner in pairs(shards) do
    if owner ~= shard then others = others + number(owner .. ':' .. kind) end
  end
  local most = limit - others
  if not whole then most = math.min(most, doubt and 0 or math.floor(limit / known)) end
  local amount = math.max(in_force, math.min(wanted, most))
  if registers then amount = math.max(in_force, number(own)) end
  if amount ~= number(own) then set(own, amount) end
  if (amount < wanted and not registers) or others + amount > limit then is_short = true end
  amounts[at], limits[at], sums[at] = amount, limit, others + amount
end
if is_short then
  redis.call('SADD', short, scope)
  redis.call('PEXPIRE', short, short_ms)
end
return {'OK', session, run_now, whole and 1 or 0, number('version'), amounts, limits, sums}
""".replace("KINDS", ", ".join(f"'{kind}'" for kind in KINDS))

# Which run this is, and what some shard is short of. Told by a shard in which run it has registered every scope.
LOOK = RUN + """
local run_now = run_of(KEYS[3])
if ARGV[2] == run_now then redis.call('HSET', KEYS[2], ARGV[1], run_now) end
return {run_now, redis.call('SMEMBERS', KEYS[1])}
"""


class QuotaSettings(msgspec.Struct, frozen=True):
    """Where shares are summed, and who asks. shards: how many the cluster has; its set in Redis may name more."""

    url: str
    cluster: str
    shards: int
    shard: int
    trade_date: int  # YYYYMMDD: shares of another day are void

    @property
    def members_key(self) -> str:
        return f"tidegate:{self.cluster}:shards"

    def key(self, name: str) -> str:
        return f"tidegate:{self.cluster}:quota:{self.trade_date}:{name}"

    @property
    def number(self) -> str:
        return f"{self.shard:02d}"


def settle_call(settings: QuotaSettings, epoch: int, ask: Ask) -> tuple[int, list[str | int]]:
    """How many keys SETTLE takes, keys and arguments."""
    keys: list[str | int] = [settings.key(ask.name), settings.members_key]
    keys += [settings.key(name) for name in ("short", "dead", "present", "data")]
    who: list[str | int] = [ask.name, settings.number, epoch, ask.session, ask.run]
    each: list[str | int] = [amount for row in zip(ask.limits, ask.leased, ask.wanted, strict=True) for amount in row]
    return len(keys), [*keys, *who, settings.shards, ask.version, int(ask.holds), KEEP_S, SHORT_MS, *each]


def look_call(settings: QuotaSettings, registered: str) -> tuple[int, list[str | int]]:
    """The same of LOOK. registered: the run in which every scope was registered; empty: not yet."""
    keys: list[str | int] = [settings.key(name) for name in ("short", "present", "data")]
    return len(keys), [*keys, settings.number, registered]


def answer_of(reply: Sequence[Any]) -> Answer:
    """The script's reply."""
    status = text(reply[0])
    if status != "OK":
        return Answer(status)
    _, session, run, whole, version, amounts, limits, sums = reply
    return Answer(status, session, text(run), bool(whole), version, tuple(amounts), tuple(limits), tuple(sums))


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def look_of(reply: Sequence[Any]) -> tuple[str, set[str]]:
    """(the run, names of the scopes that some shard is short of)"""
    return text(reply[0]), {text(name) for name in reply[1]}
