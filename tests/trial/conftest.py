"""What tests of a comparison share."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from safebasin.records import Response
from safebasin.store.db import StudyStore


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Points of the responses that are decoded and kept."""
    points: list[str] = []
    put = StudyStore.put_responses

    def counted(self: StudyStore, responses: Iterable[Response]) -> None:
        made = tuple(responses)
        points.extend(response.point for response in made)
        put(self, made)

    monkeypatch.setattr(StudyStore, "put_responses", counted)
    return points
