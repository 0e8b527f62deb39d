"""Who there is, as scopes need it: ids, groups and tags of a limits file. It checks no limit."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from ext.codes import ACCOUNT_TAGS
from risk_rules.marked import ConfigError, Document, read_text
from risk_rules.rule_types import Account

RANGE = re.compile(r"([A-Za-z_.]*)([0-9]{1,15})-\1([0-9]{1,15})")
MOST_ACCOUNTS = 1_000_000


def read_accounts(path: Path) -> list[Account]:
    """The accounts of a limits file. Raises ConfigError when it has none that can be read."""
    document = Document(path, read_text(path))
    found = [account for item in sections(document.root, "accounts") for account in accounts_of(item)]
    if not found:
        raise ConfigError([f"{path}: accounts: got none, expected some"])
    return found


def sections(root: yaml.Node | None, name: str) -> Iterator[yaml.Node]:
    """The items of a list of the file's top mapping."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in pairs:
        if key.value == name and isinstance(value, yaml.SequenceNode):
            yield from value.value


def accounts_of(item: yaml.Node) -> Iterator[Account]:
    """The account of an entry, or the many of its `ids`."""
    pairs = item.value if isinstance(item, yaml.MappingNode) else []
    pairs = [(key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]
    plain = {key.value: value.value for key, value in pairs if isinstance(value, yaml.ScalarNode)}
    tags = 0
    for key, value in pairs:
        if key.value == "tags" and isinstance(value, yaml.SequenceNode):
            tags = sum(ACCOUNT_TAGS.get(tag, 0) for tag in {str(entry.value) for entry in value.value})
    for name in ids_of(plain):
        yield Account(name, plain.get("group", ""), tags)


def ids_of(plain: dict[str, str]) -> list[str]:
    match = RANGE.fullmatch(plain.get("ids", ""))
    if match is None:
        return [plain["id"]] if "id" in plain else []
    first, last, width = int(match[2]), int(match[3]), len(match[2])
    return [f"{match[1]}{number:0{width}}" for number in range(first, min(last, first + MOST_ACCOUNTS) + 1)]
