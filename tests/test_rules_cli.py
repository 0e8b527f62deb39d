"""`tidegate rules`: exit codes, what goes where, and files that are not there."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import risk_rules
from ext.codes import ACCOUNT_TAGS
from gateway import cli
from gateway.limits import load_limits
from risk_rules.accounts import read_accounts
from risk_rules.features import TABLE
from risk_rules.marked import ConfigError
from tests.rule_files import HEAD, rule

SHIPPED_LIMITS = Path(risk_rules.__file__).parent / "limits.yaml"


@pytest.fixture(autouse=True)
def _plugged(monkeypatch):
    entry = EntryPoint("rules", "risk_rules.cli:rules", "tidegate.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry] if group == "tidegate.commands" else [])


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def tidegate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(["rules", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_is_plugged_in():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["tidegate.commands"]["rules"] == "risk_rules.cli:rules"


def test_good_files(capsys, tmp_path):
    one, two = (
        written(tmp_path / "a.yaml", HEAD + rule()),
        written(tmp_path / "b.yaml", HEAD + rule("T2", mode="shadow")),
    )
    code, out, err = tidegate(capsys, "check", one, two)
    assert code == 0
    assert "good: testing version 3: 2 rules (1 enforce, 1 shadow), sha256 " in out
    assert err.count("names no test (warning)") == 2
    assert tidegate(capsys, "check", str(tmp_path))[0] == 0


def test_wrong_files_name_every_place(capsys, tmp_path):
    path = written(tmp_path / "a.yaml", HEAD + rule(when='"cancel_rati(day) > 50%"') + rule("T2", per="acount"))
    code, out, err = tidegate(capsys, "check", path, str(tmp_path / "missing.yaml"))
    assert (code, out) == (1, "")
    assert f"{path}:15:10: T1: unknown feature `cancel_rati`: did you mean `cancel_yuan`?" in err
    assert "missing.yaml:1:1: file: No such file or directory" in err
    assert "Traceback" not in err


def test_a_far_looser_limit_needs_to_be_meant(capsys, tmp_path):
    before = written(tmp_path / "before.yaml", HEAD + rule())
    after = written(tmp_path / "after.yaml", HEAD + rule(when='"this_shares > huge * 10"'))
    code, out, err = tidegate(capsys, "check", after, "--previous", before)
    assert code == 3
    assert "looser" in out
    assert "T1: this_shares >: 1_000_000 shares -> 10_000_000 shares: 10 times looser or more: --allow-loosening" in err
    assert tidegate(capsys, "check", after, "--previous", before, "--allow-loosening")[0] == 0
    assert tidegate(capsys, "check", before, "--previous", after)[0] == 0


def test_rules_are_held_against_the_accounts_there_are(capsys, tmp_path):
    limits = written(
        tmp_path / "limits.yaml", "accounts:\n- {ids: LT001-LT003, group: G1, tags: [hft, vip]}\n- {id: B1}\n"
    )
    nobody = written(tmp_path / "a.yaml", HEAD + rule(scope="{accounts: [LT004]}"))
    code, _, err = tidegate(capsys, "check", nobody, "--limits-accounts", limits)
    assert code == 1
    assert "T1: its scope matches none of the 4 accounts" in err
    somebody = written(tmp_path / "b.yaml", HEAD + rule(scope='{accounts: ["LT*"]}'))
    assert tidegate(capsys, "check", somebody, "--limits-accounts", limits)[0] == 0
    known = {account.id: account for account in read_accounts(Path(limits))}
    assert known["LT002"].tags == ACCOUNT_TAGS["hft"] | ACCOUNT_TAGS["vip"]
    assert (known["LT002"].group, known["B1"].group, known["B1"].tags) == ("G1", "", 0)


def test_accounts_are_read_as_the_server_reads_them(tmp_path):
    read = {account.id: account for account in read_accounts(SHIPPED_LIMITS)}
    loaded = load_limits(SHIPPED_LIMITS)
    groups = [group.id for group in loaded.groups]
    assert set(read) == {account.id for account in loaded.accounts}
    for account in loaded.accounts:
        group = groups[account.group_index] if account.group_index >= 0 else ""
        assert (read[account.id].group, read[account.id].tags) == (group, account.tags)


def test_days(capsys, tmp_path):
    path = written(tmp_path / "a.yaml", HEAD + rule(valid_to="2026-07-06"))
    assert "0 rules" in tidegate(capsys, "check", path, "--day", "2026-07-06")[1]
    assert "1 rules" in tidegate(capsys, "check", path, "--day", "2026-07-05")[1]
    code, _, err = tidegate(capsys, "check", path, "--day", "tomorrow")
    assert (code, "--day: got 'tomorrow', expected YYYY-MM-DD" in err) == (1, True)


def test_features_for_people_and_for_machines(capsys):
    code, out, _ = tidegate(capsys, "features")
    assert code == 0
    assert all(feature.name in out for feature in TABLE)
    rows = json.loads(tidegate(capsys, "features", "--json")[1])
    assert [row["name"] for row in rows] == [feature.name for feature in TABLE]
    assert rows[0]["unit"] == "count"


def test_schema(capsys, tmp_path):
    code, out, _ = tidegate(capsys, "schema")
    assert (code, json.loads(out)["title"]) == (0, "Tidegate rules")
    path = tmp_path / "schema.json"
    assert tidegate(capsys, "schema", "--out", str(path))[0] == 0
    assert path.read_text() == out
    code, _, err = tidegate(capsys, "schema", "--out", str(tmp_path / "no" / "schema.json"))
    assert code == 2
    assert "No such file" in err


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "- " * 100_000,
        "accounts: &a [*a]",
        "? [a]\n: b\naccounts:\n- {? [x] : y, id: [1]}\n- [1]\n- {ids: A1-A}",
        "",
    ],
)
def test_accounts_of_odd_files(tmp_path, text):
    with pytest.raises(ConfigError, match=r"limits\.yaml"):
        read_accounts(Path(written(tmp_path / "limits.yaml", text)))
