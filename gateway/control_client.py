"""A person's connection to a control port, for the command line: flags in, one answer or one line of error out."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from gateway.pb import control_pb2_grpc
from gateway.settings import SettingError, check_file

TIMEOUT_S = 60.0
DEFAULT_ADDRESS = "127.0.0.1:7002"

Address = Annotated[str, typer.Option("--at", envvar="TIDEGATE_CONTROL", help="host:port of the control service.")]
Token = Annotated[str, typer.Option(envvar="TIDEGATE_TOKEN", help="Your token; better by the variable.")]
TokenFile = Annotated[Path | None, typer.Option(help="File that holds your token.")]
Authority = Annotated[Path | None, typer.Option("--tls-ca", help="PEM authority of the server's certificate.")]
Certificate = Annotated[Path | None, typer.Option("--tls-cert", help="Your PEM certificate.")]
Key = Annotated[Path | None, typer.Option("--tls-key", help="PEM key of --tls-cert.")]


class Connection:
    """Where the control port is, and as whom to call it."""

    def __init__(
        self,
        address: str,
        token: str,
        token_file: Path | None,
        authority: Path | None,
        certificate: Path | None,
        key: Path | None,
    ) -> None:
        if ":" not in address:
            raise SettingError(f"--at: got {address!r}, expected host:port")
        if (certificate is None) != (key is None) or (certificate is not None and authority is None):
            raise SettingError("--tls-cert: expected --tls-ca, --tls-cert and --tls-key together")
        for flag, path in (
            ("--token-file", token_file),
            ("--tls-ca", authority),
            ("--tls-cert", certificate),
            ("--tls-key", key),
        ):
            if path is not None:
                check_file(flag, path)
        self.address = address
        self.token = token or (token_file.read_text().strip() if token_file else "")
        self.authority, self.certificate, self.key = authority, certificate, key

    def channel(self) -> grpc.Channel:
        if self.authority is None:
            return grpc.insecure_channel(self.address)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.authority.read_bytes(),
            private_key=self.key.read_bytes() if self.key else None,
            certificate_chain=self.certificate.read_bytes() if self.certificate else None,
        )
        return grpc.secure_channel(self.address, credentials)

    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    @contextlib.contextmanager
    def stub(self) -> Iterator[Any]:
        """The service; a call that fails ends the command with one line and exit code 1."""
        with self.channel() as channel:
            try:
                yield control_pb2_grpc.ControlStub(channel)
            except grpc.RpcError as error:
                raise failed(error, self.address) from None

    def call(self, method: str, request: Any) -> Any:
        with self.stub() as stub:
            return getattr(stub, method)(request, metadata=self.metadata(), timeout=TIMEOUT_S)


def failed(error: Any, address: str) -> typer.Exit:
    """Prints what went wrong, and is the exit that goes with it."""
    text = " ".join(str(error.details()).split())
    if error.code() == grpc.StatusCode.UNAVAILABLE and "shard" not in text and "journal" not in text:
        text = f"{address} cannot be reached: {text}"
    typer.echo(f"tidegate: error: {error.code().name}: {text}", err=True)
    return typer.Exit(1)


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a Connection, as one that takes the connection's flags in its place."""
    own = inspect.signature(command, eval_str=True)
    _, *rest = own.parameters.values()
    names = [flag.name for flag in FLAGS]

    @functools.wraps(command)
    def connected(**given: Any) -> None:
        flags = [given.pop(name) for name in names]
        command(Connection(*flags), **given)

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*rest, *FLAGS)]
    connected.__signature__ = own.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    connected.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return connected


FLAGS = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    for name, annotation, default in (
        ("at", Address, DEFAULT_ADDRESS),
        ("token", Token, ""),
        ("token_file", TokenFile, None),
        ("tls_ca", Authority, None),
        ("tls_cert", Certificate, None),
        ("tls_key", Key, None),
    )
)
