"""The trip process: loads the models once, then takes one study after another through its trip.

It may be killed at any moment: it writes to no database and to no file. It ends with its worker, however that ends.

    python -m bt_node.runtime.trip_child CHANNEL LIFELINE      two open file descriptors; the worker starts it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

from bt_node.config import Config
from bt_node.domain.errors import BtNodeError
from bt_node.domain.follow_up import FormerStudy
from bt_node.runtime.channel import Channel, Message
from bt_node.runtime.journey import Journey, Traveller, arrival_to_json, former_from_json, from_json
from bt_node.runtime.logs import set_up_logging

Build = Callable[[Config], Traveller]

_MORE_LIKELY_KILLED = 500  # of 1000: when memory is short, the kernel takes this process and not the database


def main(arguments: Sequence[str], build: Build | None = None) -> None:
    """Serve one worker until it goes; `build` makes the traveller (by default the real one, models loaded)."""
    channel, lifeline = (int(argument) for argument in arguments)
    _live_with(lifeline)
    _leave_signals_to_the_worker()
    _offer_ourselves_to_the_oom_killer()
    with contextlib.suppress(EOFError, OSError):  # the worker is gone
        _serve(Channel(Connection(channel)), build or _real)


def _real(config: Config) -> Traveller:
    from bt_node.runtime.travel import build_trips  # noqa: PLC0415 - torch; a fake needs none

    return build_trips(config)


def _live_with(lifeline: int) -> None:
    """Die when the worker's end of the lifeline closes.

    The kernel then sends SIGIO, whose default ends us also in the middle of a computation that never returns.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _leave_signals_to_the_worker() -> None:
    """Ctrl-C and a service manager's SIGTERM reach the whole group; the worker decides what becomes of the study."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _offer_ourselves_to_the_oom_killer() -> None:
    with contextlib.suppress(OSError, ValueError):  # not Linux, or not allowed: then the kernel chooses by size
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(max(int(score.read_text()), _MORE_LIKELY_KILLED)))


def _serve(channel: Channel, build: Build) -> None:
    config = Config.model_validate(channel.receive()["config"])
    set_up_logging(config.logging.level)
    try:
        traveller = build(config)
    except BtNodeError as error:
        channel.send("unfit", message=str(error))
        return
    channel.send("ready")
    while True:
        request = channel.receive()
        journey: Journey = from_json(Journey, request["journey"])
        plain, contents = arrival_to_json(traveller.travel(journey, _Worker(channel)))
        channel.send("arrival", arrival=plain, contents=len(contents))
        for content in contents:
            channel.send_content(content)


class _Worker:
    """The worker, as a trip sees it. It ends the trip by ending this process, so no check is ever refused."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def check(self) -> None:
        """Go on."""

    def stage_begins(self, stage: str) -> None:
        """A stage begins."""
        self._channel.send("begins", stage=stage)

    def stage_done(self, stage: str, seconds: float) -> None:
        """A stage has ended."""
        self._channel.send("ended", stage=stage, seconds=seconds)

    def former(self, patient_hash: str, before: date) -> FormerStudy | None:
        """Ask the worker, who has the job book."""
        self._channel.send("former?", patient=patient_hash, before=before.isoformat())
        answer: Message = self._channel.receive()
        return former_from_json(answer["former"])


if __name__ == "__main__":
    main(sys.argv[1:])
