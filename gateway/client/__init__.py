"""Tidegate for Python programs: orders in, every report out exactly once, whichever shard has the account and whatever
fails.

docs/client.md shows how. Imports nothing of the gateway but its messages.
"""

from gateway.client.client import Client
from gateway.client.errors import (
    ClientError,
    Closed,
    EventsLost,
    Full,
    InDoubt,
    NotSent,
    Refused,
    Unreachable,
)
from gateway.client.requests import DONE
from gateway.client.session_state import Patience

__all__ = [
    "DONE",
    "Client",
    "ClientError",
    "Closed",
    "EventsLost",
    "Full",
    "InDoubt",
    "NotSent",
    "Patience",
    "Refused",
    "Unreachable",
]
