"""The device is the one that was asked for, or an error that says what is there."""

from __future__ import annotations

import pytest
import torch

from bt_node.config import ENVIRONMENT_PREFIX
from bt_node.infer.device import (
    PRECISION_VARIABLE,
    DeviceUnavailableError,
    choose_device,
    has_fast_bfloat16,
    use_precision,
    use_threads,
)


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


@pytest.fixture
def processor_with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.mark.parametrize(("name", "bfloat16"), [("auto", True), ("float32", False)])
def test_bfloat16_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, processor_with_bfloat16: None, name: str, bfloat16: bool
) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, "auto")  # put back afterwards
    use_precision(name)
    assert has_fast_bfloat16(torch.device("cpu")) is bfloat16


def test_auto_leaves_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, processor_with_bfloat16: None
) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, "float32")
    use_precision("auto")
    assert not has_fast_bfloat16(torch.device("cpu"))


def test_the_variable_is_the_configurations_own() -> None:
    assert f"{ENVIRONMENT_PREFIX}DEVICE__PRECISION" == PRECISION_VARIABLE
