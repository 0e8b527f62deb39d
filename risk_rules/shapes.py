"""The shape of a rule file as an officer writes it: what the reader accepts and what the JSON Schema for editors says.

Expressions, windows and dates are still text here; load.py gives them meaning.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,31}$"
SPAN = r"^(day|[0-9][0-9_.]* ?(ms|s|min|h))$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$"

Name = Annotated[str, Meta(pattern=NAME, description="a name of letters, digits and underscores")]
Id = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9_.-]{1,23}$",
                         description="a capital letter and 1 to 23 letters, digits, dots, dashes or underscores")]
Line = Annotated[str, Meta(pattern=r"^[^\n\x00]{1,500}$", description="one line of text")]
Expression = Annotated[str, Meta(pattern=r"^[^\x00]+$",
                                 description="an expression over features; see `tidegate rules features`")]
Time = Annotated[str, Meta(pattern=SPAN, description="a time like 1 s, 250 ms, 3 min")]
Date = Annotated[str, Meta(pattern=DATE, description="a date or time in Shanghai, YYYY-MM-DD or YYYY-MM-DD HH:MM")]
Account = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,16}$", description="the id of an account")]
Group = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,16}$", description="the id of a controller group")]
Accounts = Annotated[str, Meta(pattern=r"^(@[A-Za-z_][A-Za-z0-9_]*|[A-Za-z0-9_.-]{1,16}\*?)$",
                               description="@set, the id of an account, or the start of ids and *")]
AccountIds = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,16}\*?$",
                                 description="the id of an account, or the start of ids and *")]
Securities = Annotated[str, Meta(pattern=r"^(@[A-Za-z_][A-Za-z0-9_]*|[0-9]{6}\.(XSHG|XSHE))$",
                                 description="@list, or a security like 600519.XSHG")]
Security = Annotated[str, Meta(pattern=r"^[0-9]{6}\.(XSHG|XSHE)$", description="a security like 600519.XSHG")]
Per = Annotated[str, Meta(pattern=r"^((account|controller)( x (instrument|venue))?|instrument|venue|firm)$",
                          description='whose row: account or controller (also "x instrument" or "x venue"), '
                                      "instrument, venue or firm")]
Event = Literal["order", "cancel", "fill", "canceled", "quote"]
Events = Annotated[list[Event], Meta(min_length=1)]
Number = Annotated[int, Meta(ge=1, le=1_000_000)]
Mask = Literal["no_buy", "no_sell", "no_market", "no_auction", "no_programme", "no_main", "no_star", "no_chinext"]
Level = Literal["L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7"]
Tag = Literal["programme", "hft", "market_maker", "proprietary", "asset_manager", "employee", "insider", "vip",
              "desk1", "desk2", "desk3", "desk4", "desk5", "desk6", "desk7", "desk8"]
Board = Literal["MAIN", "STAR", "CHINEXT"]
Venue = Literal["XSHG", "XSHE"]
Phase = Literal["CLOSED", "OPEN_CALL", "QUIET", "CONTINUOUS", "LUNCH", "CLOSE_CALL", "ENDED"]
Short = Literal["L0", "L1", "L2", "L5", "L6", "L7", "block", "confirm"]
Mode = Annotated[str, Meta(pattern=r"^(off|shadow|enforce|canary\([0-9]{1,2}%\))$",
                           description="off, shadow, canary(5%) or enforce")]
Share = Annotated[str, Meta(pattern=r"^[0-9]{1,2}(\.[0-9]{1,4})?%$", description="a share below 100%, like 90%")]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping of the file: an unknown key is a fault."""


class RuleSetShape(Shape):
    """What this set of rules is called in decisions and alerts."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="1 to 32 letters, digits, dots or dashes")]
    version: Number


class SetShape(Shape):
    """A named set of accounts: those with one of the tags, in one of the groups, or named."""

    tags: list[Tag] = []
    accounts: list[AccountIds] = []
    groups: list[Group] = []


class SourceShape(Shape):
    """Where a rule comes from."""

    doc: Line
    clause: Line
    basis: Literal["published", "vendor", "ours"]


class ScopeShape(Shape):
    """Whom and what a rule is for; what is left out is not narrowed."""

    accounts: list[Accounts] = []
    except_: list[Accounts] = msgspec.field(default_factory=list, name="except")
    venues: list[Venue] = []
    boards: list[Board] = []
    st: Literal["only", "none"] | None = None
    securities: list[Securities] = []
    sides: list[Literal["buy", "sell"]] = []
    phases: list[Phase] = []
    time: Annotated[str, Meta(pattern=r"^[0-9]{2}:[0-9]{2}(:[0-9]{2})?-[0-9]{2}:[0-9]{2}(:[0-9]{2})?$",
                              description='a part of the day like "09:30-14:57"')] | None = None


class MarkShape(Shape):
    """Something to remember: set when its condition holds at one of its events."""

    on: Events
    when: Expression
    gap: Time | None = None
    per: Per | None = None


class StageShape(Shape):
    """What a hit asks for."""

    level: Level | None = None
    mask: list[Mask] = []
    hold: Time | None = None
    instrument_only: bool = False
    block: bool = False
    confirm: bool = False
    sells: bool = False
    throttle: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    ttl: Time | None = None


class EscalateShape(Shape):
    """More hits within a time ask for more."""

    hits: Annotated[int, Meta(ge=1, le=1_000_000)]
    within: Time
    to: Level


class ExemptShape(Shape):
    """Whom the rule does not bind for a while: its hits are recorded, nothing else."""

    until: Date
    reason: Line
    account: Account | None = None
    group: Group | None = None


class RuleShape(Shape):
    """One rule."""

    id: Id
    version: Number
    name: Line
    source: SourceShape
    per: Per
    on: Events
    when: Expression
    breach: Short | StageShape
    mode: Mode = "enforce"
    valid_from: Date | None = None
    valid_to: Date | None = None
    scope: ScopeShape | None = None
    marks: dict[Name, MarkShape] = {}
    let: dict[Name, Expression] = {}
    for_: Time | None = msgspec.field(default=None, name="for")
    warn_at: Share | None = None
    warn: Short | StageShape | None = None
    code: Annotated[str, Meta(pattern=r"^R[0-9]{4}$", description="a reject code like R1403")] = "R1403"
    cool_off: Time = "1 min"
    escalate: EscalateShape | None = None
    exempt: list[ExemptShape] = []
    tests: list[Line] = []


class FileShape(Shape):
    """A file of rules."""

    schema: Literal[1]
    rules: list[RuleShape]
    rule_set: RuleSetShape | None = None
    sets: dict[Name, SetShape] = {}
    securities: dict[Name, list[Security]] = {}
    params: dict[Name, Annotated[str, Meta(description="a constant with its unit")]] = {}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, for editors."""
    schema = msgspec.json.schema(FileShape)
    schema["$defs"]["FileShape"]["properties"]["params"]["additionalProperties"]["type"] = ["string", "number"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tidegate rules", **schema}
