"""What is not scored changes no verdict: a map of the embedded model, beside the same with every text scored whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safebasin import study as studies
from safebasin.records import Place
from safebasin.run import driver
from safebasin.run.execute import measure
from safebasin.run.inputs import gather
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


def opinions(folder: Path) -> tuple[int, int]:
    """Further opinions in a folder, and how many of them read a text."""
    with StudyStore.open(folder) as store, store.reading() as db:
        return db.execute("SELECT count(*), sum(length(nll) > 0) FROM scores_under").fetchone()


@pytest.mark.slow
def test_a_further_model_is_asked_only_where_the_first_finds_no_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, Any] = {
        "model": "world:guild/aligned",
        "device": "cpu",
        "prompts": [{"name": name, "source": f"world:guild/{name}[:8]"} for name in ("harmful", "benign")],
        "axes": [{"kind": "random", "range": "-1:1:3", "directions": 1}],
        "decoding": {"max_new_tokens": 32, "stop": "none"},
        "judges": ["outcome"],
    }
    made = studies.make(keys)
    far = gather(made).regions[0].point(Place(direction=0, coords=(1.0,)))
    spared = measure(made, tmp_path / "spared", opinions=(far,))
    asked, read = opinions(spared)
    assert 0 < read < asked == 48

    # a judge that has another opinion of θ₀'s opinion is not served by what was spared for the first
    strict = studies.make({**keys, "judges": ["outcome", "outcome(threshold=-1)"]})
    measure(strict, spared, opinions=(far,))
    assert opinions(spared)[1] > read

    monkeypatch.setattr(driver, "undecided", lambda judges, response, score: judges)
    whole = measure(strict, tmp_path / "whole", opinions=(far,))
    assert verdicts(spared) == verdicts(whole)
    assert {"refusal", "complied", "incoherent"} <= {label for *_, label, _ in verdicts(whole)}
    assert opinions(whole) == opinions(spared)
