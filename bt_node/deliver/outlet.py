"""A destination as a courier sees it: objects go out, and it can be asked whether it keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bt_node.deliver.peer import EchoOutcome, MayGo, OutgoingFile, Peer, always
from bt_node.deliver.prove import CommitmentDesk, offered, prove
from bt_node.deliver.send import echo, send
from bt_node.domain.proof import Proof, ProofOutcome, Reference
from bt_node.domain.result import SendOutcome


class Outlet(Protocol):
    """Trouble of network or destination is an outcome, never an exception."""

    @property
    def address(self) -> str:
        """Where it is, for an operator; holds no secret."""

    @property
    def ways(self) -> tuple[Proof, ...]:
        """How it may be asked whether it keeps objects, the best way first."""

    def send(
        self, objects: Sequence[OutgoingFile], patience: float = 1.0, may_go: MayGo = always
    ) -> tuple[SendOutcome, ...]:
        """One outcome for each object, in their order; `patience` multiplies how long an answer is waited for.

        `may_go` is asked right before each object leaves.
        """

    def prove(
        self, references: Sequence[Reference], ways: Sequence[Proof], desk: CommitmentDesk
    ) -> tuple[tuple[ProofOutcome, ...], str]:
        """Ask in the first way that it offers; see `bt_node.deliver.prove.prove`."""

    def check(self) -> EchoOutcome:
        """Does it answer us?"""

    def offers(self) -> tuple[Proof, ...]:
        """By which ways it can be asked now."""


class DimseOutlet:
    """A destination that takes C-STORE."""

    ways = (Proof.COMMITMENT, Proof.QUERY)

    def __init__(self, peer: Peer, calling_ae_title: str, timeout_s: float) -> None:
        self._peer, self._calling_ae_title, self._timeout_s = peer, calling_ae_title, timeout_s

    @property
    def address(self) -> str:
        """AE title, host and port."""
        secured = " over TLS" if self._peer.tls else ""
        return f"{self._peer.ae_title} at {self._peer.host}:{self._peer.port}{secured}"

    def send(
        self, objects: Sequence[OutgoingFile], patience: float = 1.0, may_go: MayGo = always
    ) -> tuple[SendOutcome, ...]:
        """C-STORE."""
        return send(self._peer, self._calling_ae_title, objects, self._timeout_s * patience, may_go=may_go)

    def prove(
        self, references: Sequence[Reference], ways: Sequence[Proof], desk: CommitmentDesk
    ) -> tuple[tuple[ProofOutcome, ...], str]:
        """N-ACTION or C-FIND."""
        return prove(self._peer, self._calling_ae_title, references, ways, desk, self._timeout_s)

    def check(self) -> EchoOutcome:
        """C-ECHO."""
        return echo(self._peer, self._calling_ae_title, self._timeout_s)

    def offers(self) -> tuple[Proof, ...]:
        """By negotiation."""
        return offered(self._peer, self._calling_ae_title, self._timeout_s)
