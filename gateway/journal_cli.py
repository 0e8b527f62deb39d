"""`tidegate journal dump|verify|replay|compact`: flags and lines. It reads no journal itself."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The journal: every decision and report, in order.")

File = Annotated[Path, typer.Argument(help="A journal directory, or one journal file.")]
FromSeq = Annotated[int, typer.Option("--from-seq", min=0, help="From this frame on.")]
ToSeq = Annotated[int, typer.Option("--to-seq", min=0, help="Up to this frame; 0: to the end.")]


@app.command("dump")
def dump(
    path: File,
    from_seq: FromSeq = 0,
    to_seq: ToSeq = 0,
    kind: Annotated[str, typer.Option("--type", help="Frames of this type only, as ORDER or TRADE.")] = "",
    account: Annotated[str, typer.Option(help="Frames of this account only.")] = "",
) -> None:
    """Print every frame as one line of JSON."""
    from gateway import journal_tool

    journal_tool.dump(path, sys.stdout, journal_tool.Wanted(from_seq, to_seq, kind, account))


@app.command("verify")
def verify(path: File) -> None:
    """Prove the journal whole: segments, lengths, checksums, sequence; and print the SHA-256 of its frames."""
    from gateway import journal_tool

    typer.echo(journal_tool.verify(path))


@app.command("replay")
def replay(path: File, to_seq: ToSeq = 0) -> None:
    """Fold the journal into state and print its hash."""
    from gateway import journal_tool

    typer.echo(journal_tool.replayed(path, to_seq))


@app.command("compact")
def compact(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A journal directory.")],
    keep_days: Annotated[int | None, typer.Option(min=1, help="Days to keep; left out: for ever.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is older than --keep-days.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
) -> int:
    """Compress every whole day before today; one line for each file. Exit code 2 when a day is damaged."""
    from gateway.journal_compact import Compaction

    compaction = Compaction(folder, keep_days, delete, dry_run)
    for line in compaction.run():
        typer.echo(line)
    return 2 if compaction.damaged else 0
