"""A PostgreSQL cluster of one's own in a temporary folder, on a Unix socket; it can be restarted in mid-flight."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

_DEBIAN_BINARIES = Path("/usr/lib/postgresql")  # Debian keeps initdb and pg_ctl off the PATH
# Nothing here must survive a power cut, so it need not wait for the disk.
_SETTINGS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=200"


@dataclass(frozen=True)
class PostgresServer:
    """A running cluster whose superuser needs no password on its socket."""

    folder: Path
    call: Callable[..., None] = field(repr=False)

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as an administrator writes it into config.toml."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create_database(self, name: str) -> str:
        """Make an empty database; returns its URL."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def restart(self) -> None:
        """As after a crash: every connection is cut, nothing is put away first."""
        self.call("pg_ctl", "stop", "-w", "-m", "immediate")
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still: its kernel still takes what is sent, and nothing is answered."""
        boss = int((self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])
        os.kill(boss, signal.SIGSTOP)  # first, so that it makes no more of them
        children = Path(f"/proc/{boss}/task/{boss}/children").read_text(encoding="ascii")
        stopped = [boss, *map(int, children.split())]
        try:
            for process in stopped[1:]:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in reversed(stopped):
                os.kill(process, signal.SIGCONT)

    def start(self) -> None:
        self.call(
            "pg_ctl", "start", "-w", "-l", str(self.folder / "server.log"), "-o", f"-k {self.folder} {_SETTINGS}"
        )


def find_initdb(find: Callable[[str], str | None] = shutil.which) -> str:
    """Path of initdb: Debian's newest, else where `find` finds it."""
    newest_first = sorted(_DEBIAN_BINARIES.glob("*/bin/initdb"), key=lambda path: -int(path.parts[-3]))
    found = str(newest_first[0]) if newest_first else find("initdb")
    if not found:
        raise FileNotFoundError("initdb: PostgreSQL is not installed (make peers)")
    return found


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so root runs it as somebody else."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def running_cluster(initdb: str) -> Iterator[PostgresServer]:
    """A fresh cluster, stopped and removed at the end."""
    account = _account()
    binaries = Path(initdb).resolve().parent
    # Not pytest's folder: it is closed to other accounts, and too long for the name of a socket.
    folder = Path(tempfile.mkdtemp(prefix="bt-node-pg-"))
    if account:
        os.chown(folder, account["user"], account["group"])

    def call(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", str(folder / "data"), *arguments]
        log = (folder / "programs.log").open("ab")  # a pipe would stay open in the server that pg_ctl leaves behind
        with log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd=folder, timeout=120, check=False, **account)
        assert done.returncode == 0, (folder / "programs.log").read_text()

    server = PostgresServer(folder, call)
    try:
        call("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            call("pg_ctl", "stop", "-m", "fast")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
