"""Progress of a long loop: a live bar on a terminal, plain lines elsewhere; and how long the rest will take."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_LINE_EVERY = 10  # steps, where there is no terminal
_RECENT = 0.3  # weight of the newest step in the pace


class Pace:
    """Seconds of a step and of a validation, measured apart, since validations are rare and long."""

    def __init__(self, total: int, done: int, validate_every: int) -> None:
        self._total, self._done, self._every = total, done, validate_every
        self._mark, self._steps = time.monotonic(), 0
        self.step_seconds = 0.0
        self.validation_seconds = 0.0

    def step(self, done: int) -> None:
        """Note that `done` steps are finished."""
        self._done, self._steps = done, self._steps + 1
        spent = self._lap()
        # The first step warms up (memory, compiled kernels): it counts only until there is a second.
        new = 1.0 if self._steps <= 2 else _RECENT
        self.step_seconds += new * (spent - self.step_seconds)

    def validated(self) -> None:
        """Note that a validation has ended."""
        self.validation_seconds = self._lap()

    def left_seconds(self) -> float:
        """Seconds until the last step, validations counted as soon as one was timed."""
        steps = self._total - self._done
        validations = -(-steps // self._every)
        return steps * self.step_seconds + validations * self.validation_seconds

    def _lap(self) -> float:
        now = time.monotonic()
        spent, self._mark = now - self._mark, now
        return spent


def duration(seconds: float) -> str:
    """A length of time for people: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Display:
    """Shows step, loss, the score of the last validation and time left.

    Args:
        total: steps in all.
        done: steps that an earlier run did.
        score: what validations are scored by.
        live: draw a bar; by default where standard output is a terminal.
    """

    def __init__(self, total: int, done: int, *, score: str = "Dice", live: bool | None = None) -> None:
        console = Console(file=sys.stdout)
        self._live = console.is_terminal if live is None else live
        self._total, self._kind, self._score = total, score, "–"
        self._bar = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[score]}  {task.fields[left]}"),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("training", total=total, completed=done, loss="–", score="", left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self._live:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def step(self, done: int, loss: float, pace: Pace) -> None:
        """Show that `done` steps are finished."""
        left = f"{pace.step_seconds:.2f} s/step, {duration(pace.left_seconds())} left"
        self._bar.update(
            self._task, completed=done, loss=f"{loss:.3f}", score=f"{self._kind} {self._score}", left=left
        )
        if not self._live and (done % _LINE_EVERY == 0 or done == self._total):
            print(f"step {done}/{self._total}  loss {loss:.3f}  {left}", flush=True)

    def validation(self, done: int, words: str) -> None:
        """Show the scores of a validation."""
        self._score = words
        self.say(f"step {done}  validation {self._kind}  {words}")
