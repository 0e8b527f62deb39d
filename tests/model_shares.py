"""Limits of groups and firm that are divided over shards, in the reference model. Written from docs/limits.md alone."""
from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_state import BUY, Account

if TYPE_CHECKING:
    from tests.model import Model

KINDS = ("gross", "long", "short", "capital", "ordered", "traded")
QUOTA = 1612
Shares = dict[str, tuple[int, ...]]           # "firm" or a group's name -> its shares, by KINDS


def members(model: Model, name: str) -> list[Account]:
    everyone = list(model.accounts.values())
    return everyone if name == "firm" else [a for a in everyone if a.group is model.groups[name]]


def used(model: Model, name: str) -> tuple[int, ...]:
    """What orders are compared with each limit on top of, by KINDS."""
    accounts = members(model, name)
    u = model.usage(accounts)
    net = u.filled_buy - u.filled_sell
    ordered = sum(o.ntl for a in accounts for o in a.orders.values())
    return u.gross, u.open_buy + max(net, 0), u.open_sell + max(-net, 0), u.gross, ordered, u.filled_buy + u.filled_sell


def put_in_force(model: Model, name: str, wanted: tuple[int, ...]) -> None:
    """A share that falls stops at what is used of it. From the first share on every limit is divided; the rest is 0."""
    before = (model.shares or {}).get(name, (0,) * len(KINDS))
    kept = [max(want, min(use, was)) if want < was else want
            for want, use, was in zip(wanted, used(model, name), before, strict=True)]
    model.shares = {**(model.shares or {}), name: tuple(kept)}


def share_of(model: Model, account: Account, scope: str, kind: str) -> int | None:
    """The share of a limit that an order of the account is held to; None: the limit is not divided."""
    if model.shares is None or scope not in ("group", "firm"):
        return None
    name = account.group.name if scope == "group" and account.group else "firm"
    return model.shares.get(name, (0,) * len(KINDS))[KINDS.index(kind)]


def net_kind(side: int) -> str:
    return "long" if side == BUY else "short"
