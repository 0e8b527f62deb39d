"""The store of rule sources and their history: what is written reads back, over a torn line and over days."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rule_store import HISTORY, Entry, RuleStore, StoreError, written

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def in_force(sha256: str, number: int, **fields) -> Entry:
    return Entry(time_ns=number, step="in_force", by="olga", sha256=sha256, number=number, **fields)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.yaml", fullmatch=True), TEXTS, min_size=1, max_size=4))
def test_sources_read_back_octet_by_octet(sources):
    import yaml

    assert yaml.safe_load(written(sources)) == sources


def test_sources_can_be_read_by_people():
    assert "  rules:\n  - id: A\n" in written({"a.yaml": "rules:\n- id: A\n"})


def test_save_and_load(tmp_path: Path):
    store = RuleStore(tmp_path / "rules")
    store.save("ab" * 32, {"a.yaml": "x: 1\r\n\ttab\u4e07\n"})
    assert RuleStore(tmp_path / "rules").load("ab" * 32) == {"a.yaml": "x: 1\r\n\ttab\u4e07\n"}
    with pytest.raises(StoreError, match="cannot be read"):
        store.load("cd" * 32)
    (tmp_path / "rules" / f"{'ef' * 32}.yaml").write_text("- 1")
    with pytest.raises(StoreError, match="expected file names"):
        store.load("ef" * 32)


def test_history_reaches_over_restarts_and_a_torn_line_is_cut(tmp_path: Path):
    store = RuleStore(tmp_path)
    for number, sha256 in enumerate(("a" * 64, "b" * 64, "a" * 64), 1):
        store.append(in_force(sha256, number, reason="\u5f3a\u5236"))
    with store.history.open("ab") as file:
        file.write(b'{"time_ns": 4, "step": "in_f')
    again = RuleStore(tmp_path)
    assert again.entries == store.entries
    again.append(in_force("c" * 64, 4))
    assert [entry.number for entry in RuleStore(tmp_path).entries] == [1, 2, 3, 4]
    assert RuleStore(tmp_path).newest().sha256 == "c" * 64
    assert again.before("c" * 64).sha256 == "a" * 64
    assert again.before("a" * 64).sha256 == "b" * 64
    assert again.before("d" * 64) is None


def test_a_broken_line_is_refused_with_its_number(tmp_path: Path):
    RuleStore(tmp_path).append(in_force("a" * 64, 1))
    with (tmp_path / HISTORY).open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(StoreError, match=f"{HISTORY}:2: "):
        RuleStore(tmp_path)


def test_finding_by_digits(tmp_path: Path):
    store = RuleStore(tmp_path)
    store.append(in_force("abcd" * 16, 1))
    store.append(in_force("abce" * 16, 2))
    assert [entry.number for entry in store.find("abcdabcd")] == [1]
    assert store.find("abc") == []
    assert store.find("ffffffff") == []


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        RuleStore(tmp_path / "file" / "rules")
