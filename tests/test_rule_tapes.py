"""Reading and playing rule tests: every fault has its line, a wrong expectation is told with what happened."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from risk_rules.errors import RuleErrors
from risk_rules.load import load_rules
from risk_rules.marked import ConfigError
from risk_rules.tapes import load_tests, step_of, steps_of
from risk_rules.test_command import play
from risk_rules.testing import run_file

RULES = """\
schema: 1
rule_set: {id: t, version: 1}
rules:
- id: R1
  version: 1
  name: more than 1,000 shares
  source: {doc: d, clause: c, basis: ours}
  per: account
  on: [order]
  when: "this_shares > 1_000 shares"
  warn_at: 50%
  breach: block
  tests: [big]
"""
HEAD = """\
schema: 1
instruments: [600001 at 10.00]
accounts: [A1, A2 in G1 tags hft]
tests:
- name: big
  tape:
"""
FIRES = """\
  - 09:31:00 A1 buys 500 600001 at 9.99 as o1
  - expect nothing
  - +1 s A1 buys 600 600001 at 9.99
  - expect R1 warn
  - expect accepted
  - +1 s A1 buys 1_100 600001 at 9.99
  - expect blocked R1403 R1
  - expect A1 level L1
  - expect no R1 observed
  - cancel o1
  - o1 is canceled
  - restart
  - +1 s A1 buys 1_100 600001 at 9.99
  - expect blocked
"""


def written(folder: Path, tape: str, head: str = HEAD) -> Path:
    (folder / "r.yaml").write_text(RULES)
    path = folder / "r_test.yaml"
    path.write_text(head + tape)
    return path


def faults(folder: Path, tape: str, head: str = HEAD) -> str:
    with pytest.raises(ConfigError) as caught:
        load_tests(written(folder, tape, head))
    return "\n".join(caught.value.errors)


def test_a_tape_that_is_as_expected(tmp_path):
    report = run_file(load_tests(written(tmp_path, FIRES)))
    assert report.failed == []
    assert report.checks == 7
    assert report.fired == {"R1": {"warn", "breach"}}
    assert play([tmp_path / "r_test.yaml"]) == 0


@pytest.mark.parametrize(
    ("good", "wrong", "happened"),
    [
        ("expect R1 warn", "expect R1 breach", "R1 warn: this_shares = 600 shares (limit 500 shares)"),
        ("expect nothing", "expect R1", "no rule was met"),
        ("expect accepted", "expect nothing", "R1 warn"),
        ("expect accepted", "expect suspended", "was accepted"),
        ("expect blocked R1403 R1", "expect blocked R1204", "was blocked R1403 R1 v=1100 lim=1000"),
        ("expect A1 level L1", "expect A1 level L4", "A1 stands at L1"),
        ("expect no R1 observed", "expect no R1", "R1 warn"),
        ("expect no R1 observed", "expect no R2", "there is no rule R2"),
    ],
)
def test_a_wrong_expectation_says_what_happened(tmp_path, capsys, good, wrong, happened):
    path = written(tmp_path, FIRES.replace(good, wrong, 1))
    report = run_file(load_tests(path))
    assert [check.expected for check in report.failed] == [wrong]
    assert happened in report.failed[0].happened
    assert play([path]) == 1
    assert f"r_test.yaml:{report.failed[0].line}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("09:31:00 A1 bys 100 600001 at 10.00", "r_test.yaml:7"),
        ("A1 buys 100 60001 at 10.00", "expected an order"),
        ("expect R1 maybe", "r_test.yaml:7"),
        ("A9 buys 100 600001 at 10.00", "big: got account A9, expected one of A1, A2"),
        ("A1 buys 100 600002 at 10.00", "got instrument 600002, expected one of 600001.XSHG"),
        ("{repeat: 0, tape: [restart]}", "got '0', expected how often, 1 to 100_000"),
        ("{repeat: 2, every: 1 parsec, tape: [restart]}", "every"),
        ("{repeat: 2, tape: [{repeat: 2, tape: [restart]}]}", "got a mapping"),
    ],
)
def test_a_line_that_cannot_be_read(tmp_path, line, text):
    assert text in faults(tmp_path, f"  - {line}\n")


def test_a_head_that_cannot_be_read(tmp_path):
    assert "tags" in faults(tmp_path, FIRES, HEAD.replace("tags hft", "tags hfft"))
    assert "an instrument" in faults(tmp_path, FIRES, HEAD.replace("600001 at", "60001 at"))
    assert 'did you mean "accounts"' in faults(tmp_path, FIRES, HEAD.replace("accounts:", "acounts:"))
    nobody = HEAD.replace("accounts: [A1, A2 in G1 tags hft]\n", "")
    assert "no instruments or accounts" in faults(tmp_path, FIRES, nobody)
    assert "a name once" in faults(tmp_path, FIRES + "- name: big\n  tape: [restart]\n")


def test_an_order_nobody_placed(tmp_path):
    with pytest.raises(ConfigError, match="line 7: nobody: no such order so far"):
        run_file(load_tests(written(tmp_path, "  - cancel nobody\n  - expect nothing\n")))


def test_a_test_without_expectations_fails(tmp_path):
    assert len(run_file(load_tests(written(tmp_path, "  - restart\n"))).failed) == 1


def test_turns_count_and_keep_their_pace(tmp_path):
    order = "A1 buys 100 600001 at {9.00 + n * 0.01} as o{n}"
    tape = f"  - repeat: 3\n    every: 10 ms\n    tape:\n    - {order}\n  - expect nothing\n"
    test = load_tests(written(tmp_path, tape)).tests[0]
    steps = [step for step, _ in steps_of(test.tape)]
    assert [step.terms["price"] for step in steps if step.kind == "order"] == ["9.01", "9.02", "9.03"]
    assert [step.terms["name"] for step in steps if step.kind == "order"] == ["o1", "o2", "o3"]
    assert [step.after_ns for step in steps if step.kind == "turn"] == [10_000_000] * 3


@given(some.text(max_size=60))
def test_any_line_is_a_step_or_none(text):
    step = step_of(1, text)
    assert step is None or step.text == text.strip()


ANYTHING = some.recursive(
    some.none() | some.integers() | some.text(max_size=12),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
)


@given(ANYTHING)
def test_any_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "any_test.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "tests": content}))
    with suppress(ConfigError):
        assert load_tests(path).path == path


def test_the_example_of_the_manual(tmp_path):
    shipped = Path(__file__).parent.parent
    block = (shipped / "docs" / "rule-tests.md").read_text().split("```yaml\n")[1].split("```")[0]
    for name in ("programme_trading.yaml", "programme_trading_test.yaml"):
        (tmp_path / name).write_text((shipped / "risk_rules" / name).read_text())
    (tmp_path / "manual_test.yaml").write_text(block)
    report = run_file(load_tests(tmp_path / "manual_test.yaml"))
    assert (report.failed, report.checks) == ([], 3)


def test_the_manual_of_a_rules_life_is_true(tmp_path: Path) -> None:
    """The rule and the test of docs/risk.md: what it says is met, and the slip is told as it says."""
    manual = (Path(__file__).parents[1] / "docs" / "risk.md").read_text()
    rule, test = (block.split("```")[0] for block in manual.split("```yaml\n")[1:3])
    (tmp_path / "desk.yaml").write_text(rule)
    (tmp_path / "desk_test.yaml").write_text(test)
    assert play([tmp_path / "desk_test.yaml"]) == play([tmp_path / "desk.yaml"]) == 0
    (tmp_path / "desk.yaml").write_text(rule.replace("order_yuan(1 min", "ordr_yuan(1 min"))
    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path / "desk.yaml"], day=None, root=tmp_path)
    assert [f"my_rules/{line}" for line in caught.value.errors] == [
        line for line in manual.splitlines() if "did you mean" in line
    ]
