"""Who may do what on the control port: the control file's people, and the table of roles. It opens no port.

A person has a token (its SHA-256 stands in the file), a certificate's subject, or both, and one role or more.
"""

import hashlib
from pathlib import Path

import msgspec
import yaml

from risk_rules.marked import Document, Field, choice, integer, line_of, matching, quoted, read_text

ROLES = ("viewer", "risk_officer", "risk_approver", "operator")
VIEWER, OFFICER, APPROVER, OPERATOR = ROLES
WATCH = "watch"  # who pushes what changed in the watched folder
RESERVED = (WATCH, "start")
DEFAULT_TTL_MIN = 30

READ = frozenset(ROLES)
SECOND = frozenset({APPROVER})
CHANGE = frozenset({OFFICER, APPROVER})
STOP = frozenset({OFFICER, APPROVER, OPERATOR})
# Which roles may call which method; a method that is not here nobody may call.
ALLOWED: dict[str, frozenset[str]] = {
    "PushRules": frozenset({OFFICER}),
    "RollbackRules": CHANGE,
    "Approve": SECOND,
    "Refuse": CHANGE,
    "Kill": STOP,
    "Unkill": CHANGE,
    "SetLevel": CHANGE,
    "ReleaseLevel": CHANGE,
    "ConfirmSuspended": frozenset({OFFICER}),
    "DenySuspended": CHANGE,
    "CloseTicket": CHANGE,
    "HandOver": frozenset({OPERATOR}),
    "MoveAccount": frozenset({OPERATOR}),
    **dict.fromkeys(
        (
            "DiffRules",
            "GetRules",
            "RulesHistory",
            "ListProposals",
            "ListLevels",
            "ListSuspended",
            "ListTickets",
            "GetExposure",
            "GetAccountState",
            "GetLimits",
            "ExplainOrder",
            "ExplainAccount",
            "Alerts",
            "GetStatus",
            "GetTopology",
        ),
        READ,
    ),
}


class Person(msgspec.Struct, frozen=True):
    name: str
    roles: frozenset[str]
    token_sha256: str | None = None
    subject: str | None = None  # of a client certificate: its common name

    def lacks(self, method: str) -> str | None:
        """None when the person may call it; else the roles of which one is needed."""
        allowed = ALLOWED.get(method, frozenset())
        return None if allowed & self.roles else " or ".join(role for role in ROLES if role in allowed) or "no role"


class ControlFile(msgspec.Struct, frozen=True):
    people: tuple[Person, ...]
    proposal_ttl_min: int

    def by_token(self, token: str) -> Person | None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        return next((person for person in self.people if person.token_sha256 == digest), None)

    def by_subject(self, subject: str) -> Person | None:
        return next((person for person in self.people if person.subject == subject), None)


ROLE = choice({role: number for number, role in enumerate(ROLES)})


def roles_of(document: Document, node: yaml.Node, field: str) -> frozenset[str]:
    numbers = [document.value(item, field, ROLE) for item in document.items(node, field)]
    if not numbers:
        document.fault(node, field, f"at least one of {', '.join(ROLES)}")
    return frozenset(ROLES[number] for number in numbers if number is not None)


PERSON = {
    "name": Field("name", matching(r"[A-Za-z0-9_.\-]{1,32}", "1 to 32 letters, digits, dots, dashes or underscores")),
    "roles": Field("roles", roles_of),
    "token_sha256": Field("token_sha256", matching(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits"), None),
    "subject": Field("subject", matching(r".{1,128}", "the common name of a client certificate"), None),
}


def people_of(document: Document, node: yaml.Node, field: str) -> tuple[Person, ...]:
    """The people; each name, token and subject once, and at least one of token and subject each."""
    taken: dict[tuple[str, str], int] = {}
    people: list[Person] = []
    for at, item in enumerate(document.items(node, field)):
        place = f"{field}[{at}]"
        person = document.struct(Person, item, place, PERSON)
        if person is None:
            continue
        if person.name in RESERVED:
            document.faults.add(
                line_of(item), f"{place}.name", quoted(person.name), "another name: it is Tidegate's own"
            )
        if person.token_sha256 is None and person.subject is None:
            document.faults.add(line_of(item), place, "neither token_sha256 nor subject", "at least one of them")
        for key in ("name", "token_sha256", "subject"):
            value = getattr(person, key)
            first = taken.setdefault((key, value), line_of(item)) if value is not None else line_of(item)
            if first != line_of(item):
                document.faults.add(
                    line_of(item), f"{place}.{key}", quoted(value), f"one of his own (line {first} has it)"
                )
        people.append(person)
    if not people and not document.faults.found:
        document.fault(node, field, "at least one person")
    return tuple(people)


FILE = {
    "schema": Field("schema", choice({"1": 1})),
    "proposal_ttl_min": Field("proposal_ttl_min", integer(1, 1440, "minutes"), DEFAULT_TTL_MIN),
    "people": Field("people", people_of),
}


def load_control_file(path: Path) -> ControlFile:
    """Reads and checks one control file; raises ConfigError with every fault it found."""
    document = Document(path, read_text(path))
    found = document.complete(document.root, "", FILE)
    document.faults.raise_any()
    return ControlFile(people=found["people"], proposal_ttl_min=found["proposal_ttl_min"])
