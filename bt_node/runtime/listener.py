"""The listener process: receives, writes down, and never touches a model."""

from __future__ import annotations

import logging
import socket
import threading

from bt_node.config import Config, Source
from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.jobs import open_book
from bt_node.receive.listener import Listener
from bt_node.receive.settings import AllowedSource, ListenerSettings, ReportTo
from bt_node.runtime.alerts import RefusalAlerts, note_stopped
from bt_node.runtime.disk_guard import why_paused
from bt_node.runtime.own_spool import own_spool
from bt_node.runtime.process import stop_on_signals
from bt_node.runtime.pulse import Pulse
from bt_node.runtime.tls import listener_context, peer_context

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0


def listener_settings(config: Config) -> ListenerSettings:
    """The configuration's words for the receive stage.

    Raises:
        TlsError: a certificate or key of [listener.tls] cannot be used.
    """
    settings = config.listener
    return ListenerSettings(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        # The same after a restart, so that it forgets the associations that its former life had open.
        name=f"{socket.gethostname()}:{settings.port}",
        sources=tuple(_allowed(source) for source in config.sources),
        accept_unknown_sources=settings.accept_unknown_sources,
        max_associations=settings.max_associations,
        max_associations_per_source=settings.max_associations_per_source,
        acse_timeout_seconds=settings.association_timeout_seconds,
        dimse_timeout_seconds=settings.network_timeout_seconds,
        network_timeout_seconds=settings.network_timeout_seconds,
        max_pdu_bytes=settings.max_pdu_bytes,
        max_instance_bytes=settings.max_object_mib * 1024**2,
        tls=listener_context(settings.tls),
    )


def _allowed(source: Source) -> AllowedSource:
    place = ReportTo(source.query_host or source.host, source.report_port, peer_context(source.query_tls))
    return AllowedSource(source.ae_title, source.host, place if source.report_port else None)


def run_listener(config: Config, stopping: threading.Event | None = None) -> None:
    """Receive until asked to stop. Blocks.

    Raises:
        Alarm: port taken, schema not current, spool not writable.
    """
    stopped = stopping or threading.Event()
    if stopping is None:
        stop_on_signals(stopped)
    book = open_book(config.database.url)
    spool = own_spool(config, book)
    settings = listener_settings(config)
    listener = Listener(settings, spool, book, RefusalAlerts(book, settings.name).refused)
    listener.start()
    book.note_audit(AuditRecord(AuditEvent.STARTED, settings.name, detail="listener"))
    logger.info("listening as %s on %s:%d", config.listener.ae_title, config.listener.host, listener.port)
    try:
        with Pulse(spool.root, "listener", lambda: why_paused(spool)) as pulse:
            while not stopped.wait(_BEAT_SECONDS):
                if listener.is_listening:
                    pulse.beat()
    finally:
        listener.stop()
        note_stopped(book, settings.name, "listener")
        book.close()
    logger.info("listener stopped")
