"""The command line: parses flags, hands over, and turns every error into one line. It decides nothing about orders.

Other packages add commands through the entry-point group `tidegate.commands` (a typer app or a function each), and this
one adds to such an app through the group `tidegate.<its name>` (functions): `tidegate rules` belongs to risk_rules, and
that may not import the gateway.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

import risk_rules
from gateway import journal_cli
from gateway.log import logger, start_log, stop_log
from gateway.settings import (
    TRANSPORTS,
    SettingError,
    Settings,
    allow_open_files,
    check_control,
    check_cpu,
    check_durability,
    check_file,
    check_journal,
    check_redis,
    check_tls,
    trading_day,
    venue_addresses,
)
from risk_rules.marked import ConfigError

GROUP = "tidegate.commands"
SHIPPED_LIMITS = Path(risk_rules.__file__).parent / "limits.yaml"

app = typer.Typer(name="tidegate", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Order gate for the Shanghai and Shenzhen exchanges.")
limits_app = typer.Typer(no_args_is_help=True, help="Limits and instruments files.")
app.add_typer(limits_app, name="limits")
app.add_typer(journal_cli.app, name="journal")


@app.callback()
def top(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and the traceback of an unexpected error.")] = False,
) -> None:
    context.obj = debug


@app.command()
def serve(
    context: typer.Context,
    instruments: Annotated[Path, typer.Option(help="CSV of the day's instruments.")],
    venue: Annotated[list[str], typer.Option(help="XSHG=host:port[,mdport]; once for each exchange.")],
    limits: Annotated[Path, typer.Option("--limits", "--config", help="YAML of limits.")] = SHIPPED_LIMITS,
    journal: Annotated[Path, typer.Option(help="Directory of the journal.")] = Path("journal"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="gRPC port; 0 takes a free one.")] = 7001,
    transport: Annotated[str, typer.Option(help="native or grpcio.")] = "native",
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of --tls-cert.")] = None,
    cpu: Annotated[int | None, typer.Option(help="Run on this core alone.")] = None,
    awake: Annotated[bool, typer.Option("--awake", help="Never sleep; needs --cpu, burns that core.")] = False,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the metrics.")] = None,
    control_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the control service.")] = None,
    control: Annotated[Path | None, typer.Option(help="YAML of the people who may use --control-port.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM authority of the control port's callers.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Folder of rule files, where none were approved yet.")] = None,
    watch_rules: Annotated[bool, typer.Option("--watch-rules", help="Push what changes in --rules.")] = False,
    drop_copy: Annotated[bool, typer.Option("--drop-copy", help="Every report into a Redis Stream.")] = False,
    drop_copy_most: Annotated[int, typer.Option(min=0, help="Entries it keeps once acknowledged; 0: all.")] = 0,
    date: Annotated[str, typer.Option(help="Trading day, YYYY-MM-DD; today in Shanghai when left out.")] = "",
    shard: Annotated[int, typer.Option(min=0, max=1295, help="Number of this shard.")] = 0,
    redis: Annotated[str, typer.Option(envvar="TIDEGATE_REDIS", help="redis://host:port of the cluster.")] = "",
    cluster: Annotated[str, typer.Option(help="Name of the cluster, before its keys in Redis.")] = "tidegate",
    shards: Annotated[int, typer.Option(min=1, max=1024, help="Shards of the cluster.")] = 1,
    advertise: Annotated[str, typer.Option(help="Host that clients reach this shard by; --host when left out.")] = "",
    without_standby: Annotated[bool, typer.Option("--without-standby", help="Own it, its standby is gone.")] = False,
    durability: Annotated[str, typer.Option(help="process, disk or replica: what an answer survives.")] = "process",
    replication_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of standbys; 0 takes a free one.")] = 0,
    lease_ms: Annotated[int, typer.Option(min=50, max=60_000, help="Silence after which a standby takes over.")] = 300,
    comp_id: Annotated[str, typer.Option(help="CompID at both exchanges.")] = "TIDEGATE",
    pbu: Annotated[str, typer.Option(help="Participant business unit orders go through.")] = "T00001",
    venue_password: Annotated[str, typer.Option(envvar="TIDEGATE_VENUE_PASSWORD", help="Logon password at XSHE.")] = "",
    max_orders: Annotated[int, typer.Option(min=1000, max=1 << 28, help="Most orders of one day.")] = 1 << 22,
    snapshot_every_s: Annotated[float, typer.Option(min=0, help="Seconds between snapshots; 0: none.")] = 60.0,
    snapshot_every_mb: Annotated[int, typer.Option(min=0, help="Or after so much journal; 0: time alone.")] = 512,
    segment_mib: Annotated[int, typer.Option(min=1, max=65536, help="MiB of one file of a new day's journal.")] = 1024,
) -> None:
    """Serve one shard: gRPC in, risk decisions, both exchanges."""
    given: dict[str, Any] = {name: value for name, value in locals().items() if name in Settings.__struct_fields__}
    if transport not in TRANSPORTS:
        raise SettingError(f"--transport: got {transport!r}, expected one of {', '.join(TRANSPORTS)}")
    check_file("--limits", limits)
    check_file("--instruments", instruments)
    check_tls(tls_cert, tls_key)
    check_cpu(cpu, awake)
    check_durability(durability, redis)
    check_control(control_port, control, tls_cert, tls_client_ca, rules, watch_rules)
    if control is not None:
        import_module("gateway.control_file").load_control_file(control)
    check_redis(redis, cluster, drop_copy=drop_copy, drop_copy_most=drop_copy_most)
    venues = venue_addresses(venue)
    check_journal(journal)
    allow_open_files()
    code = import_module("gateway.serving").serve(Settings(
        **given, venues=venues, trade_date=trading_day(date), segment_bytes=segment_mib << 20, debug=bool(context.obj),
    ))
    if code:
        raise typer.Exit(code)


@limits_app.command("check")
def limits_check(
    limits: Annotated[Path, typer.Argument(help="YAML of limits.")],
    instruments: Annotated[Path | None, typer.Option(help="CSV of instruments, checked as well.")] = None,
) -> None:
    """Check a limits file exactly as the server will."""
    from gateway.limits import load_limits
    from gateway.reference import load_instruments

    loaded = load_limits(limits)
    text = f"{limits}: good: {len(loaded.accounts)} accounts, {len(loaded.groups)} groups, {len(loaded.tokens)} tokens"
    typer.echo(f"{text}, sha256 {loaded.sha256}")
    if instruments is not None:
        typer.echo(f"{instruments}: good: {len(load_instruments(instruments))} instruments")


# --- commands of other packages ---


def plug_in(arguments: Sequence[str]) -> None:
    """Loads the plugged command that is asked for; all that can be loaded when none is named (for the help)."""
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for entry in entry_points(group=GROUP):
        try:
            if asked in (None, entry.name):
                add_command(entry)
        except (ImportError, AttributeError) as error:
            text = f"{entry.name}: the command cannot be loaded: {error}"
            if asked is not None:
                raise SettingError(text) from None
            complain([text], 2)


def add_command(entry: EntryPoint) -> None:
    taken = {group.name for group in app.registered_groups} | {command.name for command in app.registered_commands}
    if entry.name in taken:
        return
    command: Any = entry.load()
    if isinstance(command, typer.Typer):
        add_subcommands(command, entry.name)
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def add_subcommands(command: typer.Typer, name: str) -> None:
    """The commands that others have for an app of this name; its own win."""
    taken = {own.name or own.callback.__name__ for own in command.registered_commands if own.callback}
    for entry in entry_points(group=f"tidegate.{name}"):
        if entry.name not in taken:
            command.command(entry.name)(entry.load())


# --- the guard ---


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code: 0 good, 2 a wrong flag or file, 1 anything else."""
    debug = "--debug" in arguments
    start_log(debug=debug)
    try:
        plug_in(arguments)
        result = app(list(arguments), standalone_mode=False)
    except TyperException as error:
        text = " ".join(error.format_message().split())  # empty when the help was shown for want of a command
        return complain([text] if text else [], error.exit_code)
    except SettingError as error:
        return complain([str(error)], 2)
    except ConfigError as error:
        return complain(error.errors, 2)
    except (typer.Abort, KeyboardInterrupt):
        return complain(["stopped"], 130)
    except Exception as error:
        return unexpected(error, debug)
    finally:
        stop_log()
    return result if isinstance(result, int) else 0


def complain(lines: Sequence[str], code: int) -> int:
    for line in lines:
        typer.echo(f"tidegate: error: {line}", err=True)
    return code


def unexpected(error: Exception, debug: bool) -> int:
    """One line for people; the traceback goes to the log, and only when it was asked for."""
    if debug:
        logger("cli").error("unexpected error", exc_info=error)
    text = " ".join(str(error).split()) or "no text"
    return complain([f"{type(error).__name__}: {text}"], 1)


def main() -> None:
    sys.exit(run(sys.argv[1:]))
