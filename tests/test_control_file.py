"""The control file, and the table of roles against the service itself."""

from pathlib import Path

import pytest
import yaml

from gateway.control_file import ALLOWED, ROLES, Person, load_control_file
from gateway.pb import control_pb2 as api
from risk_rules.marked import ConfigError
from tests.system.limits import token_hash
from tests.system.officers import write_control_file

METHODS = [method.name for method in api.DESCRIPTOR.services_by_name["Control"].methods]
READING = [name for name in METHODS if name.startswith(("Get", "List", "Explain", "Diff"))] + ["Alerts", "RulesHistory"]


def test_every_method_has_its_roles_and_no_other_is_named():
    assert sorted(ALLOWED) == sorted(METHODS)
    assert all(roles and roles <= set(ROLES) for roles in ALLOWED.values())


@pytest.mark.parametrize("method", METHODS)
def test_a_viewer_changes_nothing(method):
    lacking = Person("vera", frozenset({"viewer"})).lacks(method)
    assert (lacking is None) == (method in READING), lacking


def test_an_operator_kills_but_sets_no_rules():
    otto = Person("otto", frozenset({"operator"}))
    assert otto.lacks("Kill") is None
    assert otto.lacks("PushRules") == "risk_officer"
    assert otto.lacks("Approve") == "risk_approver"
    assert otto.lacks("NoSuchMethod") == "no role"


def test_people_by_token_and_subject(tmp_path: Path):
    people = load_control_file(write_control_file(tmp_path / "control.yaml", olga="olga.broker"))
    assert people.by_token("olga").name == people.by_subject("olga.broker").name == "olga"
    assert people.by_token("nobody") is None
    assert people.by_subject("nobody") is None


def person(**change):
    return {"name": "olga", "roles": ["viewer"], "token_sha256": token_hash("olga")} | change


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([], "at least one person"),
        ([person(roles=["vieuer"])], 'did you mean "viewer"?'),
        ([person(roles=[])], "at least one of viewer"),
        ([person(name="watch")], "Tidegate's own"),
        ([person(token_sha256=None)], "token_sha256"),
        ([{"name": "olga", "roles": ["viewer"]}], "neither token_sha256 nor subject"),
        ([person(), person(name="otto")], "token_sha256: got"),
        ([person(), person(token_sha256=token_hash("x"))], "name: got 'olga'"),
        ([person(subject="a"), person(name="b", token_sha256=token_hash("b"), subject="a")], "subject: got 'a'"),
        ([person(password="x")], "unknown key 'password'"),
        ([person(token_sha256="secret")], "64 lower-case hexadecimal digits"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, people, expected):
    path = tmp_path / "control.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "people": people}, sort_keys=False))
    with pytest.raises(ConfigError) as error:
        load_control_file(path)
    assert any(expected in line for line in error.value.errors), error.value.errors
    assert all(line.startswith(f"{path}:") for line in error.value.errors)


@pytest.mark.parametrize(
    "text", ["", "schema: 2\npeople: []", "people: {", "schema: 1\nproposal_ttl_min: 0\npeople: []", "\0"]
)
def test_broken_files(tmp_path: Path, text):
    path = tmp_path / "control.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_control_file(path)
