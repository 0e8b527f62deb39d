"""The command line: every wrong flag is one line and exit code 2, never a traceback."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from gateway import cli
from gateway.log import logger

ROOT = Path(__file__).parent.parent
LIMITS = ROOT / "risk_rules" / "limits.yaml"
SERVE = ["serve", "--instruments", "INSTRUMENTS", "--venue"]


def tidegate(*arguments):
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture
def instruments(tmp_path):
    path = tmp_path / "instruments.csv"
    path.write_text("symbol,security_exchange\n")
    return str(path)


@pytest.mark.parametrize(("arguments", "message"), [
    (["serve"], "Missing option '--instruments'."),
    (["serve", "--nonsense"], "No such option: --nonsense"),
    (["serve", "--port", "70000"], "Invalid value for '--port'"),
    (["serve", "--port", "http"], "Invalid value for '--port'"),
    (["nonsense"], "No such command 'nonsense'."),
    ([*SERVE, "XSHG"], "--venue: got 'XSHG', expected XSHG=host:port[,mdport]"),
    (["serve", "--instruments", "nowhere", "--venue", "XSHG=h:1"], "--instruments: got 'nowhere', expected a file"),
    ([*SERVE, "XSHG=h:1", "--limits", "nowhere"],
     "--limits: got 'nowhere', expected a file that exists"),
    ([*SERVE, "XSHG=h:1", "--transport", "http"],
     "--transport: got 'http', expected one of native, grpcio"),
    ([*SERVE, "XSHG=h:1", "--cpu", "4096"], "--cpu: got 4096, expected one of"),
    (["limits", "check", "nowhere.yaml"], "nowhere.yaml: file: No such file or directory"),
    (["journal", "verify", "nowhere"], "PATH: got 'nowhere', expected a journal file or a directory of them"),
    (["journal", "dump", "tests/benchmarks"], "PATH: got 'tests/benchmarks', expected a directory with *"),
])
def test_a_wrong_flag_is_one_line(arguments, message, instruments, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert cli.run([instruments if argument == "INSTRUMENTS" else argument for argument in arguments]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if "cannot be loaded" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"tidegate: error: {message}")


def test_the_process_exits_with_the_code():
    ran = tidegate("serve", "--zzz")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "tidegate: error: No such option: --zzz\n")


def test_help_without_a_command():
    ran = tidegate("--help")
    assert ran.returncode == 0
    assert all(word in ran.stdout for word in ("serve", "journal", "limits"))


def test_limits_check_says_what_is_in_the_file():
    ran = tidegate("limits", "check", str(LIMITS))
    assert ran.returncode == 0
    assert "good: 4002 accounts, 1 groups, 2 tokens, sha256 " in ran.stdout


def test_limits_check_prints_every_error(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(LIMITS.read_text().replace("cage_bps: 200", "cage_bps: 0"))
    ran = tidegate("limits", "check", str(bad))
    assert ran.returncode == 2
    assert ran.stderr.count("cage_bps: got '0'") == 3
    assert "Traceback" not in ran.stderr


def unlucky() -> None:
    raise RuntimeError("first line\nsecond line")


@pytest.fixture
def unlucky_command():
    cli.app.command("unlucky")(unlucky)
    yield
    cli.app.registered_commands.pop()


def test_an_unexpected_error_is_one_line(unlucky_command, capfd):
    assert cli.run(["unlucky"]) == 1
    assert capfd.readouterr().err == "tidegate: error: RuntimeError: first line second line\n"


def test_its_traceback_is_logged_with_debug(unlucky_command, capfd):
    assert cli.run(["--debug", "unlucky"]) == 1
    text = capfd.readouterr().err
    assert '"event":"unexpected error"' in text
    assert "Traceback" in text
    assert text.count("\n") == 2


def test_commands_are_plugged_in(monkeypatch, capsys):
    named = {"weather": f"{__name__}:weather", "tide": f"{__name__}:tide_app", "broken": "no_such_module:app"}
    plugged = [EntryPoint(name, value, cli.GROUP) for name, value in named.items()]
    inner = [EntryPoint(name, f"{__name__}:weather", "tidegate.tide") for name in ("weather", "low")]
    groups = {cli.GROUP: plugged, "tidegate.tide": inner}
    monkeypatch.setattr(cli, "entry_points", lambda group: groups[group])
    before = len(cli.app.registered_commands), len(cli.app.registered_groups)
    try:
        assert cli.run(["weather", "5"]) == 0
        assert cli.run(["tide", "high"]) == 3
        assert cli.run(["tide", "low"]) == 4
        assert cli.run(["tide", "weather", "6"]) == 0
        assert cli.run(["broken"]) == 2
        assert cli.run(["--help"]) == 0
    finally:
        del cli.app.registered_commands[before[0]:]
        del cli.app.registered_groups[before[1]:]
    printed = capsys.readouterr()
    assert "wind 5" in printed.out
    assert "wind 6" in printed.out
    assert "broken: the command cannot be loaded: No module named 'no_such_module'" in printed.err


def weather(wind: int) -> None:
    logger("weather").debug("not shown")
    typer.echo(f"wind {wind}")


tide_app = typer.Typer()


@tide_app.command()
def high() -> None:
    raise typer.Exit(3)


@tide_app.command()
def low() -> None:
    raise typer.Exit(4)
