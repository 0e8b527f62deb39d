"""Redis as this project uses it: names of keys, and a connection that tries once and says so. Decides nothing."""

from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

ANSWER_S = 2.0  # a Redis that takes longer is away
AWAY = (RedisError, OSError, TimeoutError)  # what a call raises when Redis cannot be asked


def connect(url: str, answer_s: float = ANSWER_S) -> "redis.asyncio.Redis":
    """One connection, made at the first call and again at the next one after it broke; answers are octets."""
    return redis.asyncio.Redis.from_url(
        url,
        single_connection_client=True,
        socket_timeout=answer_s,
        socket_connect_timeout=answer_s,
        retry=Retry(NoBackoff(), 0),
    )


def key(cluster: str, *parts: str | int) -> str:
    """tidegate:<cluster>:<part>:...; a shard's number has two digits at least."""
    words = (f"{part:02d}" if isinstance(part, int) else part for part in parts)
    return ":".join(("tidegate", cluster, *words))


def place(url: str) -> str:
    """Where it is, without the password: for logs and errors."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def reason_of(error: BaseException) -> str:
    """One line for the log."""
    return " ".join(str(error).split()) or type(error).__name__

