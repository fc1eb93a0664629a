"""The plan of a study in a folder: the batch size that the folder keeps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from safebasin import study
from safebasin.run.execute import measure
from safebasin.store.db import StudyStore

GUILD = "world:guild/aligned"


def test_prompts_that_are_added_later_are_asked_in_larger_batches_than_the_first(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"model": GUILD, "judges": ["keyword/peng2024"], "axes": [{"range": "-1:1:3"}]}
    fields |= {"decoding": {"max_new_tokens": 1}, "device": "cpu"}
    for limit in (2, 12):
        measure(study.make({**fields, "limit": limit}), tmp_path / "study")
    with StudyStore.open(tmp_path / "study") as store:
        assert sorted(Counter(store.batches().values()).values()) == [2, 10]
