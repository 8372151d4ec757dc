"""Who gave a command is the process's account, whatever the environment says."""

from __future__ import annotations

import os
import pwd

import pytest

from bt_node.cli.person import actor

ME = pwd.getpwuid(os.getuid()).pw_name


def test_variables_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "dr.innocent")
    assert actor() == f"cli:{ME}"


def test_whom_sudo_names_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert actor() == f"cli:{ME} (sudo: alice)"


@pytest.mark.parametrize("claim", ["a\x1b[2J", "alice)\ncli:bob", "a" * 65, "\udcff", " ", "dr who", "-x", "ä"])
def test_a_claim_that_is_no_account_name_is_not_repeated(monkeypatch: pytest.MonkeyPatch, claim: str) -> None:
    monkeypatch.setenv("SUDO_USER", claim)
    assert actor() == f"cli:{ME} (sudo: no account name)"


def test_a_number_without_an_account_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1_000_540_000)
    assert actor() == "cli:uid 1000540000"
