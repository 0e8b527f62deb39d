"""The model's response ladder: levels that bind, levels that step down, orders that wait; from docs/risk.md alone.

A subject is (kind, name, instrument key or None): an account or a group, everywhere or in one instrument, or the firm.
It must not import anything of ext/.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.model_ladder import ORDER_PHASES, UNSEQUENCED, Ask, Check, Verdict, count_last_second
from tests.model_optional import LADDER, WAITS
from tests.model_state import (
    BUY,
    CHINEXT,
    LIMIT,
    MAIN,
    P_CONTINUOUS,
    PASS,
    S_SUSPENDED,
    STAR,
    Account,
    Firm,
    Group,
    Order,
)

if TYPE_CHECKING:
    from tests.model import Model

Subject = tuple[str, str, tuple[int, str] | None]
NO_BUY, NO_SELL, NO_MARKET, NO_AUCTION, NO_PROGRAMME = 1, 2, 4, 8, 16
BOARD_BITS = {MAIN: 256, STAR: 512, CHINEXT: 1024}
ALL_MASKS = 31 + 256 + 512 + 1024
REFUSED, NOTHING = 1605, 0
FIRM: Subject = ("firm", "", None)


@dataclass(frozen=True)
class Standing:
    """Where a subject stands; cool_off_ns: how long its level was set for."""
    level: int = 0
    mask: int = 0
    throttle: int = 0
    until_ns: int = 0
    cool_off_ns: int = 0

    def in_force(self, now_ns: int) -> int:
        return self.level if self.until_ns == 0 or now_ns < self.until_ns else 0


@dataclass(frozen=True)
class Change:
    """What someone asks for."""
    level: int
    mask: int = 0
    throttle: int = 0
    until_ns: int = 0
    by: str = ""
    rule: int = 0


# What binds one order


def subjects_of(account: Account, place: tuple[int, str]) -> list[Subject]:
    own: list[Subject] = [("account", account.name, None), ("account", account.name, place)]
    if account.group is not None:
        own += [("group", account.group.name, None), ("group", account.group.name, place)]
    return own


def bindings(ask: Ask) -> list[tuple[Subject, Standing]]:
    """The levels in force over the order."""
    place = ask.request.exchange, ask.request.symbol
    found = [(s, ask.model.standings.get(s, Standing())) for s in subjects_of(ask.account, place)]
    return [(subject, standing) for subject, standing in found if standing.in_force(ask.now_ns)]


def scope_of(subject: Subject) -> str:
    return "instrument" if subject[2] else subject[0]


def features(ask: Ask) -> int:
    """What a restriction may forbid and this order is."""
    known = ask.known_instrument
    phase = ask.model.venues[ask.request.exchange].phase
    bits = NO_BUY if ask.request.side == BUY else NO_SELL
    bits |= NO_MARKET if ask.request.ord_type != LIMIT else 0
    bits |= NO_AUCTION if phase in ORDER_PHASES - {P_CONTINUOUS} else 0
    bits |= NO_PROGRAMME if ask.port.programme else 0
    return bits | (BOARD_BITS.get(known.board, 0) if known else 0)


def restricted_by_level(ask: Ask) -> Verdict | None:
    """R1002: L5 and L6 stop every order, L4 those its mask names."""
    found = sorted(bindings(ask), key=lambda b: (b[0][2] is not None, b[0][0] == "group"))
    for subject, standing in found:
        if standing.level >= 5:
            return Verdict(standing.level, standing.level, scope_of(subject))
    for subject, standing in found:
        if standing.level == 4 and standing.mask & features(ask):
            return Verdict(standing.mask & features(ask), 4, scope_of(subject))
    return None


def throttled(ask: Ask) -> Verdict | None:
    """R1204: L3, more accepted orders in the last second than the subject may have."""
    for subject, standing in bindings(ask):
        if standing.level == 3 and standing.throttle:
            count = count_last_second(counted(ask.model, subject), ask.now_ns)
            if count >= standing.throttle:
                return Verdict(count + 1, standing.throttle, scope_of(subject))
    return None


def counted(model: Model, subject: Subject) -> list[int]:
    """When the subject's orders were accepted, as far as it counts them: since it, or any group, first had a level."""
    orders = [o for o in model.orders if o.accepted_ns and is_of(o, subject)]
    if subject[0] == "group":
        orders = [o for o in orders if o.counts_for_group]
    elif subject[2] is None:
        orders = [o for o in orders if o.counts_for_account]
    return [o.accepted_ns for o in orders]


def must_confirm(ask: Ask) -> Verdict | None:
    return Verdict(2, 0, "account") if any(standing.level == 2 for _, standing in bindings(ask)) else None


def reason_to_wait(ask: Ask) -> tuple[int, Verdict, Check] | None:
    """Why a person must look first, None when nobody need: a level, then what the order itself is."""
    for code, check in [(1502, must_confirm), *WAITS]:
        verdict = check(ask)
        if verdict is not None:
            return code, verdict, check
    return None


# Levels set, released, run out


def set_level(model: Model, subject: Subject, change: Change, now_ns: int) -> int:
    """PASS: the level changed; NOTHING: it stands as hard already; REFUSED: a bad request."""
    old = model.standings.get(subject, Standing())
    in_force = old.in_force(now_ns)
    if not is_sound(subject, change, now_ns) or (change.by and change.level < in_force):
        return REFUSED
    if change.level < in_force:
        return NOTHING
    mask, throttle, until_ns = change.mask, change.throttle, change.until_ns
    if in_force:
        mask |= old.mask
        throttle = min(t for t in (throttle, old.throttle) if t) if throttle or old.throttle else 0
        if change.level >= 5 or not until_ns:
            until_ns = 0
        elif old.until_ns:
            until_ns = max(until_ns, old.until_ns)
        elif not (in_force == 1 and change.level > 1):  # a warning without an end keeps no harder level in force
            until_ns = 0
    if change.level == in_force and (mask, throttle, until_ns) == (old.mask, old.throttle, old.until_ns):
        return NOTHING
    model.standings[subject] = Standing(change.level, mask, throttle, until_ns, until_ns - now_ns if until_ns else 0)
    note(model, subject)
    model.tickets += change.level >= 6 and in_force < 6
    enforce(model, subject, change.level, now_ns)
    return PASS


def is_sound(subject: Subject, change: Change, now_ns: int) -> bool:
    return (
        1 <= change.level <= 7
        and (change.level == 7) == (subject == FIRM)
        and change.mask & ~ALL_MASKS == 0
        and (change.level != 4 or change.mask != 0)
        and (change.level != 3 or change.throttle > 0)
        and (change.until_ns == 0 or (change.level < 5 and change.until_ns > now_ns))
        and bool(change.by or change.rule)
    )


def note(model: Model, subject: Subject) -> None:
    """From its first level on, the subject's orders are counted."""
    if subject[0] == "account":
        model.leveled.add(subject[1])
    elif subject[0] == "group":
        model.group_leveled = True


def enforce(model: Model, subject: Subject, level: int, now_ns: int) -> None:
    """L5: suspended orders go. L6, L7: the latch, then everything is cancelled."""
    if level == 5:
        model.deny_all(lambda o: is_of(o, subject))
    elif level > 5 and subject[2] is None:
        model.kill(latch_of(model, subject), now_ns)
    elif level > 5:
        model.cancel_all(now_ns, lambda o: is_of(o, subject))


def is_of(order: Order, subject: Subject) -> bool:
    return subject == FIRM or subject in subjects_of(order.account, (order.request.exchange, order.request.symbol))


def latch_of(model: Model, subject: Subject) -> Account | Group | Firm:
    if subject == FIRM:
        return model.firm
    return model.accounts[subject[1]] if subject[0] == "account" else model.groups[subject[1]]


def step_below(level: int) -> int:
    return {7: 0, 3: 1, 0: 0}.get(level, level - 1)


def release_level(model: Model, subject: Subject, level: int, by: str, approved_by: str, now_ns: int) -> int:
    old = model.standings.get(subject, Standing())
    two = by and approved_by and by != approved_by
    if old.level == 0 or level not in (0, step_below(old.level)) or not by or (old.level >= 6 and not two):
        return REFUSED
    step_to(model, subject, old, level, old.until_ns, old.until_ns - now_ns)
    if old.level >= 6 and subject[2] is None:
        model.unkill(latch_of(model, subject))
    return PASS


def step_to(model: Model, subject: Subject, old: Standing, level: int, until_ns: int, cool_off_ns: int) -> None:
    model.standings[subject] = Standing(
        level, old.mask if level >= 4 else 0, old.throttle if level >= 3 else 0, until_ns if level else 0, cool_off_ns
    )


def on_time(model: Model, now_ns: int) -> None:
    """What is due ends, in the order in which it became due; a level steps down once for each cool-off."""
    for order in sorted(model.suspended_orders, key=lambda o: o.confirm_by_ns):
        if now_ns >= order.confirm_by_ns:
            model.deny(order)
    for subject, old in list(model.standings.items()):
        standing = old
        while standing.level and standing.until_ns and now_ns >= standing.until_ns:
            cool_off_ns = standing.cool_off_ns
            step_to(model, subject, standing, step_below(standing.level), now_ns + cool_off_ns, cool_off_ns)
            standing = model.standings[subject]


# Suspended orders


def confirm(model: Model, order: Order | None, withdraw: bool, now_ns: int) -> int:
    """The code of the answer: PASS, why there was nothing to confirm, or what the order is rejected with now."""
    if order is None:
        return 1604
    if order.status != S_SUSPENDED:
        return 1606
    if now_ns >= order.confirm_by_ns:
        model.deny(order)
        return 1606
    if withdraw:
        model.deny(order)
        return PASS
    return model.judge_again(order, now_ns)


AT = [code for code, _ in LADDER].index(1003)
CHECKS = [*LADDER[:AT], (1002, restricted_by_level), (1204, throttled), *LADDER[AT:]]
SECOND_WAY_DOWN = [(code, check) for code, check in CHECKS if check not in UNSEQUENCED]
