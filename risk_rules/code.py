"""Conditions to bytecode: one forward pass, comparisons that jump, the commonest ones fused. Knows no rule."""

from collections.abc import Callable

import msgspec

from ext.program_codes import LIMITS, OPS
from risk_rules.trees import And, Arithmetic, Compare, Condition, Constant, Load, Use, Value

FUSED = ("GT", "GE", "LT", "LE")


class Op(msgspec.Struct):
    """One instruction, as in program.pxd; `to` counts from the beginning of its block."""

    code: int
    value: int = 0
    to: int = 0
    factor: int = 0
    a: int = 0
    b: int = 0


class TooDeep(ValueError):
    """An expression that needs more than the machine's stack."""


class Emitter:
    """Emits the code of one condition: falls through to HIT when it holds, jumps to MISS when it does not."""

    def __init__(self, feature_of: Callable[[Use], int], factor_of: Callable[[Compare], int]) -> None:
        self.feature_of = feature_of
        self.factor_of = factor_of
        self.ops: list[Op] = []
        self.labels: list[int] = []  # label -> position
        self.depth = 0

    def block(self, condition: Condition) -> list[Op]:
        miss = self.label()
        self.condition(condition, miss)
        self.emit("HIT")
        self.place(miss)
        self.emit("MISS")
        for op in self.ops:
            if op.code == OPS["JUMP"] or op.code >= OPS["UNLESS_GT"]:
                op.to = self.labels[op.to]
        return self.ops

    # --- positions ---

    def label(self) -> int:
        self.labels.append(-1)
        return len(self.labels) - 1

    def place(self, label: int) -> None:
        self.labels[label] = len(self.ops)

    def emit(self, name: str, value: int = 0, to: int = 0, factor: int = 0, a: int = 0, b: int = 0) -> None:
        self.ops.append(Op(OPS[name], value, to, factor, a, b))

    # --- conditions ---

    def condition(self, condition: Condition, miss: int) -> None:
        if isinstance(condition, Compare):
            self.comparison(condition, miss)
        elif isinstance(condition, And):
            for part in condition.parts:
                self.condition(part, miss)
        else:
            self.alternatives(condition.parts, miss)

    def alternatives(self, parts: tuple[Condition, ...], miss: int) -> None:
        """Each but the last jumps to the end when it holds, to the next when not."""
        hit = self.label()
        for part in parts[:-1]:
            following = self.label()
            self.condition(part, following)
            self.emit("JUMP", to=hit)
            self.place(following)
        self.condition(parts[-1], miss)
        self.place(hit)

    def comparison(self, compare: Compare, miss: int) -> None:
        left, right = compare.left, compare.right
        factor = self.factor_of(compare)
        is_plain = isinstance(left, Load) and left.use == left.on_sell and isinstance(right, Constant)
        if is_plain and compare.op in FUSED:
            assert isinstance(left, Load)
            assert isinstance(right, Constant)
            self.emit(f"UNLESS_LOAD_{compare.op}", right.value, miss, factor, self.feature_of(left.use))
            return
        self.value(left)
        self.value(right)
        self.depth -= 2
        self.emit(f"UNLESS_{compare.op}", to=miss, factor=factor)

    # --- values ---

    def value(self, value: Value) -> None:
        """Leaves the value on the stack."""
        if isinstance(value, Arithmetic):
            self.value(value.left)
            if value.right is not None:
                self.value(value.right)
                self.depth -= 1
            self.emit(value.op)
            return
        self.depth += 1
        if self.depth > LIMITS["stack"]:
            raise TooDeep(f"the expression needs more than {LIMITS['stack']} values at once")
        if isinstance(value, Constant):
            self.emit("CONST", value.value)
        elif value.use == value.on_sell:
            self.emit("LOAD", a=self.feature_of(value.use))
        else:
            self.emit("LOAD_SIDE", a=self.feature_of(value.use), b=self.feature_of(value.on_sell))
