"""Which comparisons the tests of a rule would miss: each is made always and then never true; some check must change.

It judges the tests, not the rule: a comparison nobody would miss is untested, or needless.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from risk_rules.compile import compile_rules
from risk_rules.errors import Problems
from risk_rules.rule_types import Rule
from risk_rules.tapes import RuleTest, TapeFile
from risk_rules.testing import Player, RuleSets
from risk_rules.trees import Compare, Condition, Constant, comparisons

FAR = 10**15  # beyond any share of it that a warning takes


class Branch(msgspec.Struct, frozen=True):
    """One comparison forced one way, and whether a test noticed."""

    rule: str
    text: str
    forced: str  # always | never
    noticed: bool


def branches_of(file: TapeFile) -> Iterator[Branch]:
    """Every comparison of every rule, forced both ways. A rule is played alone: others would notice for it."""
    rule_sets = RuleSets(file.rules, file.switch_on)
    seen: set[tuple[str, int]] = set()
    for day in dict.fromkeys(test.day for test in file.tests):
        rules, _ = rule_sets.of(day)
        for rule in rules.rules:
            if (rule.id, rule.version) in seen:
                continue
            seen.add((rule.id, rule.version))
            tests = [test for test in file.tests if test.day == day and is_about(test, rule)]
            usual = outcomes(rule, tests)
            for text, forced, mutant in mutants(rule):
                yield Branch(rule.id, text, forced, any_change(mutant, tests, usual))


def is_about(test: RuleTest, rule: Rule) -> bool:
    """Whether the rule names the test, the test is a twin of one it names (name_below), or its tape names the rule."""
    if any(test.name == name or test.name.startswith(f"{name}_") for name in rule.tests):
        return True
    lines = [part for line in test.tape for part in (line, *line.body)]
    return any(rule.id in line.text.split() for line in lines)


def outcomes(rule: Rule, tests: Sequence[RuleTest]) -> list[list[str]]:
    program, names = compile_rules([rule], ("branches", 1), {}, Problems())
    return [[check.happened for check in Player(test, program, names).play()] for test in tests]


def any_change(mutant: Rule, tests: Sequence[RuleTest], usual: list[list[str]]) -> bool:
    return any(outcomes(mutant, [test]) != [expected] for test, expected in zip(tests, usual, strict=True))


# --- one comparison forced ---


def mutants(rule: Rule) -> Iterator[tuple[str, str, Rule]]:
    """(comparison, always or never, the rule with it forced) for the condition and those of its marks."""
    for forced in ("always", "never"):
        for compare in comparisons(rule.condition):
            condition = with_forced(rule.condition, compare, forced)
            yield compare.text, forced, msgspec.structs.replace(rule, condition=condition)
        for at, mark in enumerate(rule.marks):
            for compare in comparisons(mark.condition):
                changed = msgspec.structs.replace(mark, condition=with_forced(mark.condition, compare, forced))
                marks = (*rule.marks[:at], changed, *rule.marks[at + 1 :])
                yield f"{mark.name}: {compare.text}", forced, msgspec.structs.replace(rule, marks=marks)


def with_forced(condition: Condition, compare: Compare, forced: str) -> Condition:
    if condition is compare:
        left, right = (FAR, 0) if forced == "always" else (0, FAR)
        return replace(compare, op="GE", left=Constant(left, "count"), right=Constant(right, "count"))
    if isinstance(condition, Compare):
        return condition
    return replace(condition, parts=tuple(with_forced(part, compare, forced) for part in condition.parts))
