"""Stage 1, from the PACS: C-STORE SCP and durable spool. pynetdicom lives here."""

from bt_node.receive.listener import Listener
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.reconcile import Reconciliation, reconcile
from bt_node.receive.settings import AllowedSource, ListenerSettings
from bt_node.receive.spool import Spool

__all__ = ["AllowedSource", "Listener", "ListenerSettings", "ReceiptBook", "Reconciliation", "Spool", "reconcile"]
