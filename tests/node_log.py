"""The log of the node, as a service manager would keep it of standard error."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from bt_node.runtime.logs import set_up_logging


@contextmanager
def node_log(level: str = "DEBUG") -> Iterator[Callable[[], str]]:
    """Set up logging as a process of the node does; yields what reads the log so far."""
    root, ours = logging.getLogger(), logging.getLogger("bt_node")
    before, levels = list(root.handlers), (root.level, ours.level)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    written = io.StringIO()
    with warnings.catch_warnings():
        with patch.object(sys, "stderr", written):
            set_up_logging(level)
        try:
            yield written.getvalue
        finally:
            root.handlers[:] = before
            root.setLevel(levels[0])
            ours.setLevel(levels[1])
            sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
