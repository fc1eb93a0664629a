"""The API hands arguments on by name: what it takes is what lies below takes, with the same defaults."""

from __future__ import annotations

import inspect

import pytest

from safebasin import api, audit


def parameters(function: object, *without: str) -> dict[str, object]:
    """Name → default."""
    found = inspect.signature(function).parameters  # pyright: ignore[reportArgumentType]
    return {name: p.default for name, p in found.items() if name not in without}


@pytest.mark.parametrize("name", ["audit", "plan_audit"])
def test_the_api_takes_what_the_audit_takes(name: str) -> None:
    above = ("progress", "track")  # a bar by default, and trackers: what only the API knows of
    assert parameters(getattr(api, name), *above) == parameters(getattr(audit, name), *above)
