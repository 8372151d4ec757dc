"""Several hosts on network namespaces: python -m bench.trials.hosts (root, Linux; nothing leaves this machine)

Two namespaces, each with its own address and a worker; database, listener, spool and PACS on the third host. First
one host is cut off (its link goes down) while its worker has a job, then the worker of the other one is killed
(SIGKILL) while it has one, then the link comes back. In the end: nothing lost, nothing twice, nothing stuck.
Where no namespace may be made the trial fails and says so; continuous integration in unprivileged containers does
not run it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.cluster import find_initdb, running_cluster
from bench.trials.harness import TITLE, Verdict, Worker, is_over, judge, make_study, plan, send, study_uid, wait
from bt_node.deliver.peer import Peer
from bt_node.jobs import JobBook, open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

HOSTS = ("bt-a", "bt-b")


@dataclass(frozen=True)
class Host:
    """A namespace with one link to ours."""

    name: str
    ours: str  # our address on the link
    theirs: str

    @property
    def inside(self) -> tuple[str, ...]:
        """The beginning of a command that runs there."""
        return ("ip", "netns", "exec", self.name)

    def link(self, state: str) -> None:
        """Pull the plug, or put it back."""
        ip("link", "set", f"{self.name}-0", state)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def host(name: str, number: int) -> Iterator[Host]:
    """A namespace with addresses of 10.77.NUMBER.0/24."""
    made = Host(name, f"10.77.{number}.1", f"10.77.{number}.2")
    outer, inner = f"{name}-0", f"{name}-1"
    ip("netns", "add", name)
    try:
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        ip("addr", "add", f"{made.ours}/24", "dev", outer)
        ip("link", "set", outer, "up")
        ip("-n", name, "addr", "add", f"{made.theirs}/24", "dev", inner)
        ip("-n", name, "link", "set", inner, "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "route", "add", "default", "via", made.ours)
        yield made
    finally:
        ip("netns", "del", name)


@contextmanager
def relay(target: tuple[str, int] | str, address: str) -> Iterator[int]:
    """Let the hosts reach what listens on our loopback, or on a Unix socket; gives the port."""
    server = socket.create_server((address, 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            each.close()

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
            ours = socket.socket(family)
            ours.connect(target)
            for pair in ((client, ours), (ours, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def holder(book: JobBook, number: int) -> str:
    """The worker that has the job of a study."""
    try:
        return str(book.view(study_uid(number))["worker"] or "")
    except Exception:  # noqa: BLE001 - not received yet
        return ""


def run(folder: Path) -> Verdict:
    with ExitStack() as stack:
        server = stack.enter_context(running_cluster(find_initdb()))
        hosts = [stack.enter_context(host(name, number)) for number, name in enumerate(HOSTS, start=1)]
        url = server.create_database("hosts")
        pacs = stack.enter_context(FakePacs(TITLE))
        spool = {"spool": str(folder / "shared" / "spool")}
        told = folder / "shared" / "behaviour"
        told.mkdir(parents=True)
        (told / "default").write_text("sleep 0.5")
        slow = plan(pacs, database={"url": url}, storage=spool)
        node = stack.enter_context(NodeProcess(folder / "node", slow, "listener"))
        node.wait_until_listening(TITLE)
        book = stack.enter_context(_open(url))
        crew = []
        for each in hosts:
            database = stack.enter_context(relay(f"{server.folder}/.s.PGSQL.5432", each.ours))
            archive = stack.enter_context(relay(("127.0.0.1", pacs.port), each.ours))
            # A connection into a network that swallows everything must not wait for the kernel's quarter of an hour.
            patience = "connect_timeout=3&tcp_user_timeout=3000&keepalives_idle=1&keepalives_interval=1"
            there = plan(pacs, database={"url": f"postgresql://postgres@{each.ours}:{database}/hosts?{patience}"},
                         storage=spool, delivery={"timeout_seconds": 3})  # fmt: skip
            reached = replace(there, destinations={"pacs": Peer(TITLE, each.ours, archive)})
            process = NodeProcess(folder / each.name, reached, "worker")
            worker = Worker(process, inside=each.inside).start()
            stack.callback(worker.stop)
            wait(lambda: worker.is_up, f"the worker of {each.name} is up")  # noqa: B023
            crew.append(worker)
        _cut_and_kill(node, book, hosts, crew, folder)
        return judge(node, pacs, range(6))


def _cut_and_kill(node: NodeProcess, book: JobBook, hosts: list[Host], crew: list[Worker], folder: Path) -> None:
    for number in range(2):
        send(node, make_study(folder / "studies", number))
    wait(lambda: all(holder(book, number) for number in range(2)), "both hosts have a job")
    hosts[0].link("down")
    print(f"{hosts[0].name} is cut off", flush=True)
    send(node, make_study(folder / "studies", 2))
    wait(lambda: all(is_over(book, study_uid(number)) for number in range(3)), "the other host does it all", 120.0)
    send(node, make_study(folder / "studies", 3))
    wait(lambda: holder(book, 3), "the other host has a job")
    assert crew[1].process is not None
    crew[1].process.kill()
    print(f"{hosts[1].name} is killed", flush=True)
    hosts[0].link("up")
    print(f"{hosts[0].name} is back", flush=True)
    for number in (4, 5):
        send(node, make_study(folder / "studies", number))
    wait(lambda: all(is_over(book, study_uid(number)) for number in range(6)), "the first host does the rest", 180.0)
    crew[1].process.wait()
    crew[1].process = None


@contextmanager
def _open(url: str) -> Iterator[JobBook]:
    book = open_book(url)
    try:
        yield book
    finally:
        book.close()


def main() -> None:
    print(describe_machine())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        verdict = run(Path(scratch))
    print(f"{verdict}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(verdict.problems))


if __name__ == "__main__":
    main()
