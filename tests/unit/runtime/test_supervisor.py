"""The two processes of `serve all` do not outlive the one that looks after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bt_node.runtime.process import ends_with_us

_PARENT = """
import sys, time
from bt_node.runtime.supervisor import _Child
children = [_Child(name, [sys.executable, "-c", "import time; time.sleep(600)"]) for name in ("listener", "worker")]
for child in children:
    child.start()
print(*(child.process.pid for child in children), flush=True)
time.sleep(600)
"""


def lives(pid: int) -> bool:
    """A zombie that nobody waited for yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_parent_that_is_killed_leaves_no_child() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            assert len(children) == 2
            assert all(lives(pid) for pid in children)
            parent.send_signal(signal.SIGKILL)
            deadline = time.monotonic() + 20
            while any(lives(pid) for pid in children):
                assert time.monotonic() < deadline, "a child lives on"
                time.sleep(0.05)
        finally:
            for pid in filter(lives, children):
                os.kill(pid, signal.SIGKILL)


def test_a_child_whose_parent_died_before_it_could_ask_for_the_signal_ends_at_once() -> None:
    arrange = ends_with_us()
    child = os.fork()
    if child == 0:  # the parent of what it starts is another than `arrange` was made in
        grandchild = os.fork()
        if grandchild == 0:
            arrange()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == os.EX_UNAVAILABLE
