"""What a client's calls can end with besides an answer of the gateway. Each says what is certain and what is not."""


class ClientError(Exception):
    """Anything that is not an answer of the gateway."""


class Refused(ClientError):
    """The gateway will not have this client: wrong token, account, or event sequence. Trying again changes nothing.

    code: reject code, empty when only the call's status is known.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NotSent(ClientError):
    """The deadline passed before the request could be sent: the gateway never saw it, and will not."""


class InDoubt(ClientError):
    """The deadline passed after the request was sent: whether the gateway has it is not known. The same request with
    the same cl_ord_id is safe, and finds out."""


class Full(ClientError):
    """As many requests as the client was made for wait for their answers."""


class EventsLost(ClientError):
    """Nobody took the events for too long, and the queue was full. Those before this error were complete; start a new
    client from its `cursors()` to have the rest."""


class Unreachable(ClientError):
    """No shard took the logon of some accounts in time."""


class Closed(ClientError):
    """The client was closed."""
