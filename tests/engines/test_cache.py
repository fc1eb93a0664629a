"""What a model may be unable to do is attempted: its errors end the attempt, those of the device and of memory pass."""

from __future__ import annotations

import pytest
import torch

from safebasin.engines.cache import attempt
from safebasin.errors import ModelError


def ended_by(error: BaseException) -> list[str]:
    """What is told of an attempt that ends with an error."""
    told: list[str] = []
    with attempt(told.append):
        raise error
    return told


@pytest.mark.parametrize(
    "error", [TypeError, KeyError, IndexError, AttributeError, RuntimeError, ValueError, AssertionError]
)
def test_a_model_that_cannot_is_told_in_a_line(error: type[Exception]) -> None:
    (said,) = ended_by(error("no room\n  for a cache" + "!" * 300))
    assert said.strip("'\"").startswith("no room")
    assert (len(said), "\n" in said) == (200, False)
    assert ended_by(error()) == [error.__name__]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        ModelError("model must be whole; got a part. Copy it."),
        KeyboardInterrupt(),
    ],
)
def test_what_is_no_fault_of_the_model_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        ended_by(error)
    assert caught.value is error
