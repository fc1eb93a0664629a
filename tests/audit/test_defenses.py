"""An audit under a defense of inference: part of both models, and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from safebasin.audit import audit
from safebasin.catalog import lookup
from safebasin.store.db import StudyStore

PLUGIN = Path(__file__).parents[1] / "plugin_package" / "src"
ALIGNED = "world:guild/aligned"


@pytest.mark.slow
def test_a_defense_is_part_of_both_models_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))
    from safebasin_kiln import ROWS

    every = (*lookup.BUILTIN, *(replace(row, name=f"safebasin-kiln/{row.name}") for row in ROWS))
    monkeypatch.setattr(lookup, "rows", lambda: every)
    steer = "safebasin-kiln/steer(strength=0.2)"
    options = {"decoding": {"max_new_tokens": 16}, "defenses": [steer]}
    found = audit(ALIGNED, ALIGNED, out=tmp_path / "out", limit=2, options=options)
    assert f"Both models were asked under {steer}, as part of them." in found.verdict.notes
    with StudyStore.open(tmp_path / "out" / "line") as store:
        assert {decoding.defenses for decoding in store.decodings().values()} == {(f"{steer}@1",)}
