"""The device is the one that was asked for, or an error that says what is there."""

from __future__ import annotations

import pytest
import torch

from bt_node.infer.device import DeviceUnavailableError, choose_device, use_threads


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> object:
    def have(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return have


@pytest.mark.parametrize(
    ("name", "count", "chosen"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_a_name_becomes_a_device(gpus, name: str, count: int, chosen: str) -> None:
    gpus(count)
    assert choose_device(name) == torch.device(chosen)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2), ("tpu", 1), ("cuda:x", 1), ("", 1)])
def test_a_device_that_is_not_there_is_an_alarm(gpus, name: str, count: int) -> None:
    gpus(count)
    with pytest.raises(DeviceUnavailableError):
        choose_device(name)


def test_threads_are_set_unless_zero() -> None:
    use_threads(1)
    assert torch.get_num_threads() == 1
    use_threads(0)
    assert torch.get_num_threads() == 1
