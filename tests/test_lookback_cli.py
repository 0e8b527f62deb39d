"""`tidegate rules explain` and `replay` as a person types them: plugged in as pyproject.toml says, on real journals."""
from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gateway import cli
from tests.rule_desk import BUY, SECOND, RuleDesk, rule_text
from tests.test_whatif import COUNT, burst

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]


@pytest.fixture
def rules(monkeypatch):
    """Runs `tidegate rules ...` with the commands that this source tree plugs in; gives its exit code."""
    monkeypatch.setattr(cli, "entry_points", lambda group: [
        EntryPoint(name, value, group) for name, value in PROJECT.get(group, {}).items()])
    before = len(cli.app.registered_commands), len(cli.app.registered_groups)
    yield lambda *arguments: cli.run(["rules", *map(str, arguments)])
    del cli.app.registered_commands[before[0]:]
    del cli.app.registered_groups[before[1]:]


@pytest.fixture
def desk(tmp_path):
    """A day on which the third order of a burst was stopped by a rule; and a file beside it that allows one more."""
    desk = RuleDesk(tmp_path, COUNT.format(most=2))
    assert burst(desk, 0, 4) == ["", "", "R1403", "R1403"]
    write_rules(tmp_path, COUNT.format(most=2))
    yield desk
    desk.close()


def write_rules(folder: Path, *rules: str) -> Path:
    path = folder / "candidate.yaml"
    path.write_text(rule_text(*rules))
    (folder / "candidate_test.yaml").write_text("schema: 1\ntests:\n- name: t\n")
    return path


def test_explain_names_rule_text_factors_and_quotes(rules, desk, capsys):
    assert rules("explain", "A0000000:o3", "--journal", desk.path) == 0
    text = capsys.readouterr().out
    asked = "rejected", "R1403 ABNORMAL", "R1@1", "rule 1", "doc d", "clause c", "3 > 2", "bid 9.99", "by o"
    for words in (*asked, "approved by p"):
        assert words in text, text


def test_explain_as_json(rules, desk, capsys):
    assert rules("explain", "3", "--journal", desk.path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rule"]["rule"] == "R1@1"
    assert facts["decision"]["value"], facts["decision"]["limit"] == (3, 2)
    (comparison,) = facts["hits"][0]["comparisons"]
    assert (comparison["value"], comparison["limit"], comparison["unit"]) == (3, 2, "count")
    assert facts["hits"][0]["blocked"]
    assert facts["quotes"]["recorded"]["last"] == "10.00 yuan/share"
    assert facts["in_force"]["rule_set"]["by"] == "o"


def test_replay_as_recorded_changes_nothing(rules, desk, capsys):
    assert rules("replay", desk.path) == 0
    printed = capsys.readouterr()
    assert "no order is decided otherwise" in printed.out
    assert printed.err == ""


def test_replay_of_a_candidate(rules, desk, tmp_path, capsys):
    looser = write_rules(tmp_path, COUNT.format(most=3))
    assert rules("replay", desk.path, "--rules", looser) == 0
    text = capsys.readouterr().out
    assert "Newly let through: 2 orders, 1,998.00 yuan" in text
    assert rules("replay", desk.path, "--rules", write_rules(tmp_path, COUNT.format(most=1)), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["differences"]["blocked"]["orders"] == 1
    (order,) = facts["differences"]["blocked"]["first"]
    assert (order["order_id"], order["live"], order["candidate"]) == (2, "passed", "R1403 R1@1")
    assert order["comparisons"][0]["shown"] == "2 > 1"
    assert facts["by_rule"][0]["stopped"] == 3
    assert facts["by_rule"][0]["stopped_live"] == 2


def test_replay_uses_the_rules_of_the_journals_day(rules, desk, tmp_path, capsys):
    path = write_rules(tmp_path, "    valid_from: 2026-11-24\n" + COUNT.format(most=1).strip("\n"))
    assert rules("replay", desk.path, "--rules", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["stopped"] == 0
    assert rules("replay", desk.path, "--rules", path, "--day", "2026-11-24", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stopped"] == 3


def test_a_piped_process_shows_no_progress(desk):
    code = "import typer; from gateway.lookback_cli import replay; typer.run(replay)"
    command = [sys.executable, "-c", code, str(desk.path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "orders judged" in ran.stdout


def wrong_file(desk: RuleDesk) -> str:
    (desk.folder / "other.journal").write_text("x" * 100)
    return str(desk.folder / "other.journal")


def damaged(desk: RuleDesk) -> str:
    octets = bytearray(desk.path.read_bytes()[:desk.journal.end])
    octets[len(octets) // 2] ^= 255
    (desk.folder / "damaged.journal").write_bytes(octets)
    return str(desk.folder / "damaged.journal")


def empty(desk: RuleDesk) -> str:
    (desk.folder / "empty").mkdir()
    other = RuleDesk(desk.folder / "empty")
    return str(other.path)


@pytest.mark.parametrize(("make", "message"), [
    (wrong_file, "not a journal"),
    (damaged, "is changed"),
    (empty, "it has no order"),
    (lambda desk: str(desk.folder / "nowhere"), "expected a journal file or a directory of them"),
])
def test_a_journal_that_cannot_be_used_is_one_line(rules, desk, capsys, make, message):
    path = make(desk)
    capsys.readouterr()
    assert rules("replay", path, "--rules", desk.folder / "candidate.yaml") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_wrong_flags_are_one_line_each(rules, desk, tmp_path, capsys):
    assert rules("replay", desk.path, "--day", "someday") == 2
    assert "--day: got 'someday', expected YYYY-MM-DD" in capsys.readouterr().err
    assert rules("replay", desk.path, "--rules", tmp_path / "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err
    bare = RuleDesk(empty_folder(tmp_path))
    bare.wait(SECOND)
    bare.order(0, BUY)
    assert rules("replay", bare.path) == 2
    assert "no rule set was in force in it; --rules says which to try" in capsys.readouterr().err
    bare.close()


def empty_folder(folder: Path) -> Path:
    (folder / "bare").mkdir()
    return folder / "bare"
