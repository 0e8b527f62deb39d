"""Small rule files for tests: a good one, changed where a test wants it, and what the loader says of it."""

from pathlib import Path

from risk_rules.load import load_rules
from risk_rules.marked import ConfigError
from risk_rules.rule_types import RuleSet

HEAD = """schema: 1
rule_set: {id: testing, version: 3}
sets:
  makers: {tags: [market_maker]}
  listed: {accounts: [A1, "LT*"], groups: [G1]}
securities: {leaders: ["688981.XSHG", "600519.XSHG"]}
params: {huge: 1_000_000 shares, huge_yuan: 1000万 yuan, dwell: 1 s}
rules:
"""
FIELDS = {
    "version": "1",
    "name": "a rule",
    "source": '{doc: "rules", clause: "§1", basis: ours}',
    "per": "controller x instrument",
    "on": "[order]",
    "when": '"this_shares > huge"',
    "breach": "block",
}


def rule(rule_id: str = "T1", **fields: str | None) -> str:
    """One rule as YAML; a field given as None is left out, `for_` and `except_` are written without the underscore."""
    merged = {**FIELDS, **{name.rstrip("_"): value for name, value in fields.items()}}
    lines = [f"  {name}: {value}" for name, value in merged.items() if value is not None]
    return "\n".join([f"- id: {rule_id}", *lines]) + "\n"


def load(tmp_path: Path, text: str, name: str = "rules.yaml", **options: object) -> RuleSet:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_rules([path], **options)  # type: ignore[arg-type]


def faults(tmp_path: Path, text: str | bytes, **options: object) -> list[str]:
    """What the loader says, file names cut to `rules.yaml`; empty when the file is good."""
    path = tmp_path / "rules.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        load_rules([path], **options)  # type: ignore[arg-type]
    except ConfigError as error:
        return [line.replace(f"{tmp_path}/", "") for line in error.errors]
    return []
