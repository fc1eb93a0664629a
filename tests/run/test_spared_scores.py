"""What is not scored changes no verdict: a map of the embedded model, beside the same with every text scored whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safebasin import study as studies
from safebasin.run import driver
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore


def verdicts(folder: Path) -> list[tuple[Any, ...]]:
    with StudyStore.open(folder) as store, store.reading() as db:
        query = "SELECT response, judge, version, label, success FROM verdicts ORDER BY 1, 2"
        return db.execute(query).fetchall()


def scored_bytes(folder: Path) -> int:
    with StudyStore.open(folder) as store, store.reading() as db:
        return db.execute("SELECT sum(length(nll)) FROM scores").fetchone()[0]


@pytest.mark.slow
def test_verdicts_are_those_of_whole_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = studies.make(
        {
            "model": "world:guild/aligned",
            "device": "cpu",
            "prompts": [{"name": name, "source": f"world:guild/{name}[:8]"} for name in ("harmful", "benign")],
            "axes": [{"range": "-1:1:5", "directions": 1}],
            "decoding": {"max_new_tokens": 32},
        }
    )
    spared = measure(made, tmp_path / "spared")
    monkeypatch.setattr(driver, "scored_until", lambda judges, response: len(response.text))
    whole = measure(made, tmp_path / "whole")
    assert verdicts(spared) == verdicts(whole)
    labels = {label for *_, label, _ in verdicts(whole)}
    assert {"refusal", "complied", "incoherent"} <= labels
    assert scored_bytes(spared) < scored_bytes(whole)
