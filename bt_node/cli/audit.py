"""`bt-node audit`: who did what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bt_node.cli.context import echo, print_json, print_table, state_of
from bt_node.cli.person import actor

if TYPE_CHECKING:  # the short commands must not pay for them
    from bt_node.domain.audit import AuditEntry
    from bt_node.jobs import JobBook

app = typer.Typer(help="The audit trail: who sent, read, deleted and decided what.", no_args_is_help=True)

_AT_ONCE = 500


class Format(StrEnum):
    """How entries are written."""

    XML = "xml"
    JSON = "json"


@app.command("list")
def list_entries(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="The last so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the last entries, newest last. That you looked is an entry too."""
    book = state_of(context).open_book()
    _note_reading(book)
    entries = [_as_dict(entry) for entry in book.latest_audit_entries(limit)]
    if as_json:
        print_json(entries)
        return
    rows = [
        (e["number"], e["at"], e["event"], e["actor"], e["peer"], "\n".join(e["studies"]), e["detail"])
        for e in entries
    ]
    print_table("Audit trail", ("number", "at", "event", "by", "peer", "StudyInstanceUID", "detail"), rows)


@app.command("export")
def export(
    context: typer.Context,
    form: Annotated[
        Format, typer.Option("--format", help="PS3.15 A.5 messages, or the entries as they are.")
    ] = Format.XML,
    output: Annotated[Optional[Path], typer.Option(help="Append to this file; default: print.")] = None,
    syslog: Annotated[str, typer.Option(help="Send to udp://host[:514] or tls://host[:6514] instead.")] = "",
    ca: Annotated[Optional[Path], typer.Option(help="Who signs the syslog receiver's certificate (PEM).")] = None,
    certificate: Annotated[Optional[Path], typer.Option(help="Our certificate for it (PEM).")] = None,
    private_key: Annotated[Optional[Path], typer.Option(help="The certificate's key (PEM).")] = None,
    new: Annotated[bool, typer.Option("--new", help="Only what this receiver was not given before.")] = False,
) -> None:
    """Write or send the trail, oldest entry first. With --new from a timer, a collector always has it."""
    book = state_of(context).open_book()
    if not new:
        _note_reading(book)
    if syslog:
        count = _send(book, syslog, (ca, certificate, private_key), new=new)
    else:
        count = _write(book, form, output, new=new)
    echo(f"{count} entries.", err=True)


@app.command("verify")
def verify(
    context: typer.Context,
    anchor: Annotated[str, typer.Option(help="NUMBER:HASH of an entry that was kept elsewhere.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check that no entry was changed or taken out; prints the anchor to keep elsewhere."""
    found = state_of(context).open_book().verify_audit(_anchor(anchor))
    if as_json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            echo(f"WRONG: {problem}")
        echo(f"{found.entries} entries{'' if found.problems else ', whole and unchanged'}.")
        echo(f"anchor {found.entries}:{found.last_hash}")
    raise typer.Exit(1 if found.problems else 0)


def _anchor(text: str) -> tuple[int, str] | None:
    number, _, digest = text.partition(":")
    if not text:
        return None
    if not number.isdecimal() or not digest:
        raise typer.BadParameter("an anchor is NUMBER:HASH, as `bt-node audit verify` prints it")
    return int(number), digest


def _note_reading(book: JobBook) -> None:
    from bt_node.domain.audit import AuditEvent, AuditRecord  # noqa: PLC0415

    book.note_audit(AuditRecord(AuditEvent.TRAIL_READ, actor()))


def _batches(book: JobBook, after: int) -> Iterator[list[AuditEntry]]:
    while entries := book.audit_entries(after, _AT_ONCE):
        yield entries
        after = entries[-1].number


def _write(book: JobBook, form: Format, output: Path | None, *, new: bool) -> int:
    from bt_node.audit.message import messages  # noqa: PLC0415

    receiver = str(output.absolute()) if output else "standard output"
    count = 0
    with ExitStack() as stack:
        file = stack.enter_context(output.open("a", encoding="utf-8")) if output else None
        for entries in _batches(book, book.exported_until(receiver) if new else 0):
            for entry in entries:
                lines = messages(entry) if form is Format.XML else [json.dumps(_as_dict(entry))]
                typer.echo("\n".join(lines), file=file)
            if file:
                file.flush()
            if new:
                book.note_exported(receiver, entries[-1].number)
            count += len(entries)
    return count


def _send(book: JobBook, url: str, tls_files: tuple[Path | None, ...], *, new: bool) -> int:
    from bt_node.audit.message import is_warning, messages  # noqa: PLC0415
    from bt_node.audit.syslog import Receiver, connected, syslog_message  # noqa: PLC0415

    try:
        receiver = Receiver.of(url)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    context = _tls_context(tls_files)
    count = 0
    for entries in _batches(book, book.exported_until(receiver.name) if new else 0):
        # One connection a batch: what was given to a connection that closed well has arrived.
        with connected(receiver, context) as send:
            for entry in entries:
                for xml in messages(entry):
                    send(syslog_message(entry, xml, warning=is_warning(entry)))
        if new:
            book.note_exported(receiver.name, entries[-1].number)
        count += len(entries)
    return count


def _tls_context(files: tuple[Path | None, ...]) -> Any:
    from bt_node.config import PeerTls  # noqa: PLC0415
    from bt_node.runtime.tls import peer_context  # noqa: PLC0415

    ca, certificate, private_key = (str(file.absolute()) if file else "" for file in files)
    return peer_context(PeerTls(ca=ca, certificate=certificate, private_key=private_key)) if ca else None


def _as_dict(entry: AuditEntry) -> dict[str, Any]:
    from datetime import UTC, datetime  # noqa: PLC0415

    record = entry.record
    return {
        "number": entry.number,
        "at": datetime.fromtimestamp(entry.at, tz=UTC).isoformat(timespec="milliseconds"),
        "event": record.event.value,
        "actor": record.actor,
        "studies": dict(record.studies),
        "peer": record.peer,
        "address": record.address,
        "detail": record.detail,
        "outcome": int(record.outcome),
        "source": entry.source,
        "hash": entry.hash,
    }
