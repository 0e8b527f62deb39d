"""What `tidegate serve` was asked for, as one struct, each flag checked.

It opens nothing but the files it checks, and loads none of them.
"""

import os
import re
import resource
import ssl
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import msgspec

from ext.codes import VENUES

TRANSPORTS = ("native", "grpcio")
DURABILITIES = ("process", "disk", "replica")
SHANGHAI = timezone(timedelta(hours=8))
REDIS_URL = re.compile(r"(rediss?://[^/\s]+(/\d+)?|unix://\S+)")
CLUSTER = re.compile(r"[A-Za-z0-9_\-]{1,32}")


class SettingError(Exception):
    """A flag whose value cannot be used; the text is one line: flag, value, expected."""


class VenueAddress(msgspec.Struct, frozen=True):
    """Where one exchange listens; market_data_port 0: it sends no quotes."""

    venue: int  # codes.Venue
    host: str
    port: int
    market_data_port: int


class Settings(msgspec.Struct, frozen=True):
    limits: Path
    instruments: Path
    journal: Path  # a directory, made when missing
    host: str
    port: int
    transport: str  # one of TRANSPORTS
    venues: tuple[VenueAddress, ...]
    tls_cert: Path | None
    tls_key: Path | None
    cpu: int | None  # the core to run on alone
    awake: bool  # never sleep on the sockets: for a core of its own
    metrics_port: int | None  # None: no metrics
    trade_date: int  # YYYYMMDD
    shard: int  # 0 to 1295
    comp_id: str  # who we are to both exchanges
    pbu: str
    venue_password: str  # XSHE only
    max_orders: int  # of one day
    debug: bool
    control_port: int | None = None  # None: no control process
    control: Path | None = None  # the control file
    tls_client_ca: Path | None = None  # of the control port's callers
    rules: Path | None = None  # folder of rule files
    watch_rules: bool = False
    snapshot_every_s: float = 60.0  # 0: no snapshots
    snapshot_every_mb: int = 512  # of journal, when that comes first; 0: time alone decides
    drop_copy: bool = False
    drop_copy_most: int = 0  # entries that stay in the stream once acknowledged; 0: all
    redis: str = ""  # URL; empty: one shard, and every account is at home in it
    cluster: str = "tidegate"  # the name before its keys in Redis
    shards: int = 1  # of the cluster
    advertise: str = ""  # host that others reach this one by; empty: host
    durability: str = "process"  # one of DURABILITIES: what an acknowledged order survives
    replication_port: int = 0  # where standbys connect; 0: a free one
    lease_ms: int = 300  # how long an owner may be silent before its standby takes over
    segment_bytes: int = 1 << 30  # of one journal file


def venue_address(text: str) -> VenueAddress:
    """XSHG=host:port[,mdport]."""
    expected = "expected XSHG=host:port[,mdport] or XSHE=host:port[,mdport]"
    name, _, address = text.partition("=")
    if name not in VENUES:
        raise SettingError(f"--venue: got {text!r}, {expected}")
    address, _, market_data = address.partition(",")
    host, _, port = address.rpartition(":")
    if not host or not is_port(port) or (market_data and not is_port(market_data)):
        raise SettingError(f"--venue: got {text!r}, {expected}, ports from 1 to 65535")
    return VenueAddress(VENUES[name], host.strip("[]"), int(port), int(market_data or 0))


def venue_addresses(texts: list[str]) -> tuple[VenueAddress, ...]:
    """At least one address, one for each exchange at most."""
    venues = tuple(venue_address(text) for text in texts)
    if not venues:
        raise SettingError("--venue: got none, expected at least one exchange, XSHG=host:port[,mdport]")
    if len({venue.venue for venue in venues}) < len(venues):
        raise SettingError(f"--venue: got {', '.join(texts)}, expected each exchange once")
    return venues


def is_port(text: str) -> bool:
    return text.isdecimal() and text.isascii() and 0 < int(text) <= 65535


def check_cpu(cpu: int | None, awake: bool = False) -> None:
    if awake and cpu is None:
        raise SettingError("--awake: got no --cpu, expected the core that this process alone may burn")
    allowed = os.sched_getaffinity(0)
    if cpu is not None and cpu not in allowed:
        raise SettingError(f"--cpu: got {cpu}, expected one of {', '.join(map(str, sorted(allowed)))}")


def allow_open_files() -> None:
    """As many connections as the machine grants: the usual soft limit of 1,024 open files is for desktops."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def check_durability(durability: str, redis: str) -> None:
    if durability not in DURABILITIES:
        raise SettingError(f"--durability: got {durability!r}, expected one of {', '.join(DURABILITIES)}")
    if durability == "replica" and not redis:
        raise SettingError("--durability: got 'replica' and no --redis, expected both: owner and standby meet there")


def check_file(flag: str, path: Path) -> None:
    if not path.is_file():
        raise SettingError(f"{flag}: got '{path}', expected a file that exists")


def check_tls(cert: Path | None, key: Path | None) -> None:
    """Both or neither, and a pair that belongs together."""
    if cert is None and key is None:
        return
    if cert is None or key is None:
        missing = "--tls-cert" if cert is None else "--tls-key"
        raise SettingError(f"{missing}: got nothing, expected a file: --tls-cert and --tls-key go together")
    check_file("--tls-cert", cert)
    check_file("--tls-key", key)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise SettingError(f"--tls-cert: got '{cert}' with key '{key}', expected a PEM pair: {error}") from None


def check_control(
    port: int | None, control: Path | None, cert: Path | None, client_ca: Path | None, rules: Path | None, watch: bool
) -> None:
    """The flags of the control port and of the rules, one against the other."""
    if (port is None) != (control is None):
        missing = "--control" if control is None else "--control-port"
        raise SettingError(f"{missing}: got nothing: --control-port and --control go together")
    if control is not None:
        check_file("--control", control)
    if client_ca is not None:
        check_file("--tls-client-ca", client_ca)
    if client_ca is not None and (cert is None or port is None):
        raise SettingError("--tls-client-ca: got no --tls-cert or no --control-port, expected both with it")
    if rules is not None and not rules.is_dir():
        raise SettingError(f"--rules: got '{rules}', expected a folder that exists")
    if watch and (rules is None or port is None):
        raise SettingError("--watch-rules: got no --rules or no --control-port, expected both with it")


def check_redis(url: str, cluster: str, *, drop_copy: bool = False, drop_copy_most: int = 0) -> None:
    """The flags of Redis, and of what needs it."""
    if url and not REDIS_URL.fullmatch(url):
        raise SettingError("--redis: expected redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix://PATH")
    if not CLUSTER.fullmatch(cluster):
        raise SettingError(f"--cluster: got {cluster!r}, expected 1 to 32 letters, digits, dashes or underscores")
    if drop_copy and not url:
        raise SettingError("--drop-copy: got no --redis, expected where the reports go")
    if drop_copy_most and not drop_copy:
        raise SettingError(f"--drop-copy-most: got {drop_copy_most} and no --drop-copy, expected it with that")


def check_journal(path: Path) -> None:
    """A directory that can be written to, or that can be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--journal: got '{path}', expected a directory: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingError(f"--journal: got '{path}', expected a directory that can be written to")


def trading_day(text: str) -> int:
    """YYYY-MM-DD as YYYYMMDD; empty: today in Shanghai."""
    try:
        day = date.fromisoformat(text) if text else datetime.now(SHANGHAI).date()
    except ValueError:
        raise SettingError(f"--date: got {text!r}, expected YYYY-MM-DD") from None
    return day.year * 10_000 + day.month * 100 + day.day
