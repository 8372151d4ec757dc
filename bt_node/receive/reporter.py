"""Brings reports of storage commitment on associations of our own, to sources that have a place for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from pydicom import uid
from pynetdicom import AE, build_role

from bt_node.receive.commitment import event_type
from bt_node.receive.negotiation import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
)
from bt_node.receive.promises import Promise, Promises
from bt_node.receive.references import References, report_data_set
from bt_node.receive.settings import ListenerSettings, ReportTo

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 1800.0
_TRIES = 60  # a day at the longest pause; then the requester asks again
_SYNTAXES = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian]


class _SilentError(Exception):
    """A requester cannot be reached, or does not answer."""


class Reporter:
    """One thread that sleeps until a report is owed."""

    def __init__(
        self, settings: ListenerSettings, promises: Promises, is_under_way: Callable[[Promise], bool]
    ) -> None:
        self._settings = settings
        self._promises = promises
        self._is_under_way = is_under_way
        self._places: Mapping[str, ReportTo] = {
            source.ae_title.strip(): source.report_to for source in settings.sources if source.report_to is not None
        }
        self._tries: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Look for reports that an earlier life left, then wait."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End; what is owed stays owed."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """A report is owed."""
        self._wake.set()

    def _run(self) -> None:
        pause: float | None = None
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                pause = self._bring_all()
            except Exception as error:  # noqa: BLE001 - the edge of this thread
                _log.error("reports of storage commitment: %s", type(error).__name__)
                pause = _FIRST_PAUSE_S

    def _bring_all(self) -> float | None:
        """Try each report that is due; seconds until the next one is, None where nothing is owed."""
        silent: set[str] = set()  # each costs its timeouts once a round, however many reports it is owed
        for promise in self._promises.owed():
            if self._stopping.is_set() or self._is_under_way(promise):
                continue
            place = self._places.get(promise.requester.strip())
            if place is None:
                _log.warning("%s gets no report: it has no report_port in [[sources]]", promise.requester)
                self._done(promise)
            elif self._not_before.get(promise.path, 0) <= time.monotonic():
                if promise.requester in silent:
                    self._put_off(promise)
                elif not self._bring(promise, place):
                    silent.add(promise.requester)
        waiting = self._not_before.values()
        return max(min(waiting) - time.monotonic(), 0.1) if waiting else None

    def _bring(self, promise: Promise, place: ReportTo) -> bool:
        """Try one report. False: its requester is silent."""
        answers = True
        try:
            if send_report(self._promises.report(promise), place, self._settings, promise.requester):
                self._done(promise)
                return True
        except _SilentError:
            answers = False
        except Exception as error:  # noqa: BLE001 - the book or the network; it is tried again
            _log.warning("a report to %s failed: %s", promise.requester, type(error).__name__)
        self._put_off(promise)
        return answers

    def _put_off(self, promise: Promise) -> None:
        tries = self._tries[promise.path] = self._tries.get(promise.path, 0) + 1
        if tries >= _TRIES:
            _log.error("%s did not take a report of storage commitment; it is given up", promise.requester)
            self._done(promise)
        else:
            pause = min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S)
            self._not_before[promise.path] = time.monotonic() + pause

    def _done(self, promise: Promise) -> None:
        self._promises.forget(promise)
        self._tries.pop(promise.path, None)
        self._not_before.pop(promise.path, None)


def send_report(report: References, place: ReportTo, settings: ListenerSettings, called: str) -> bool:
    """N-EVENT-REPORT on a new association, as SCP of storage commitment; whether the peer took it.

    Raises:
        _SilentError: there is no association, or no answer.
    """
    entity = AE(ae_title=settings.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.acse_timeout = entity.network_timeout = entity.dimse_timeout = settings.network_timeout_seconds
    entity.connection_timeout = settings.acse_timeout_seconds
    entity.add_requested_context(STORAGE_COMMITMENT, _SYNTAXES)
    association = entity.associate(
        place.host,
        place.port,
        ae_title=called,
        ext_neg=[build_role(STORAGE_COMMITMENT, scp_role=True)],
        tls_args=None if place.tls is None else (place.tls, place.host),
    )
    if not association.is_established:
        raise _SilentError
    try:
        status, _ = association.send_n_event_report(
            report_data_set(report), event_type(report), STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        if "Status" not in status:
            raise _SilentError
        return int(status.Status) == 0
    finally:
        association.release()
