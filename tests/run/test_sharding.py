"""Shards: every point in one of them, and joined the same study as on one machine, row for row."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safebasin import study as studies
from safebasin.engines.scripted import ScriptedEngine
from safebasin.errors import StoreError, StudyError
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.run.execute import measure
from safebasin.run.sharding import merge
from safebasin.run.verify import verify
from safebasin.store.db import StudyStore
from safebasin.study.shards import Shard, parse_shard

GUILD = "world:guild/aligned"
ROWS = (
    "SELECT key, text, n_tokens, finish_reason FROM responses ORDER BY key",
    "SELECT response, nll, ends FROM scores ORDER BY response",
    "SELECT response, judge, version, label, success FROM verdicts ORDER BY response, judge, version",
)


def a_study(**given: Any) -> studies.Study:
    axes = [{"range": "-0.5:0.5:5", "directions": 2}]
    return studies.make({"model": GUILD, "limit": 3, "batch_size": 2, "axes": axes, **given})


def rows(folder: Path) -> list[list[Any]]:
    with StudyStore.open(folder) as store, store.reading() as db:
        return [db.execute(query).fetchall() for query in ROWS]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A study of nine points in four shards."""
    root = tmp_path_factory.mktemp("shards")
    made = a_study()
    return [measure(made, root / str(n), engine=ScriptedEngine(model=GUILD), shard=Shard(n, 4)) for n in range(1, 5)]


def copies(shards: list[Path], root: Path) -> list[Path]:
    return [Path(shutil.copytree(folder, root / folder.name)) for folder in shards]


# --- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "of"), [(9, 4), (1, 3), (0, 2), (61, 7), (5, 5)])
def test_shares_are_the_points_each_once_in_order(points: int, of: int) -> None:
    parts = [Shard(n, of).share(range(points)) for n in range(1, of + 1)]
    assert [point for part in parts for point in part] == list(range(points))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "-1/4", "1/0", "1/99999", "a/b", "1/4/2", "٢/٤x"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(StudyError, match="--shard must be I/N with 1 ≤ I ≤ N"):
        parse_shard(text)


def test_batches_and_points_that_are_chosen_on_the_way(tmp_path: Path) -> None:
    for given, said in (
        ({"batch_size": "auto"}, "--batch-size must be given where --shard is"),
        ({"points": "auto"}, "--points must be grid where --shard is given"),
    ):
        axes = {"axes": [{"range": "-0.5:0.5:5", "directions": 2}]}
        regions = {"regions": [{**axes, "points": "auto"}], "axes": None} if "points" in given else {}
        fields = {"model": GUILD, "limit": 3, "batch_size": 2, **axes, **regions}
        fields |= {k: v for k, v in given.items() if k != "points"}
        made = studies.make({k: v for k, v in fields.items() if v is not None})
        with pytest.raises(StudyError, match=said):
            measure(made, tmp_path / "study", engine=ScriptedEngine(model=GUILD), shard=Shard(1, 2))
    assert not (tmp_path / "study").exists()


# --- a shard's folder ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_shard_asks_its_share_and_no_more(shards: list[Path]) -> None:
    asked = []
    for folder in shards:
        with StoredStudy.open(folder) as study:
            assert not study.missing().responses
            asked.append({place.point for place in study.rows.places()})
    assert [len(points) for points in asked] == [2, 2, 2, 3]
    assert len(set.union(*asked)) == 9
    assert ["origin" in points for points in asked] == [True, False, False, False]


@pytest.mark.slow
def test_a_shard_is_verified_as_it_is_and_has_no_statistics(shards: list[Path]) -> None:
    assert verify(shards[1], full=False, note=lambda said: None) == []
    with StoredStudy.open(shards[1]) as study, pytest.raises(StudyError, match=r"got .*2, shard 2/4.*safebasin merge"):
        read_landscape(study)


def test_a_folder_that_a_shard_left_without_a_response_is_free_for_a_whole_run(tmp_path: Path) -> None:
    class Stopping(ScriptedEngine):
        """An engine that is stopped at its n-th batch."""

        left = 0

        def generate(self, *asked: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().generate(*asked)

    engine, folder = Stopping(model=GUILD), tmp_path / "study"
    for shard, batches in ((Shard(1, 2), 0), (None, 2)):
        engine.left = batches
        with pytest.raises(KeyboardInterrupt):
            measure(a_study(), folder, engine=engine, shard=shard)
    measure(a_study(), folder, engine=ScriptedEngine(model=GUILD))
    with StoredStudy.open(folder) as study:
        assert study.plan.shard is None
        assert not study.missing().responses
    with pytest.raises(StoreError, match="--shard must be left out, as this study folder was begun"):
        measure(a_study(), folder, engine=ScriptedEngine(model=GUILD), shard=Shard(1, 2))


def test_a_folder_goes_on_with_its_own_shard(shards: list[Path], tmp_path: Path) -> None:
    (copy,) = copies(shards[1:2], tmp_path)
    before = rows(copy)
    measure(a_study(), copy, engine=ScriptedEngine(model=GUILD), shard=Shard(2, 4))
    assert rows(copy) == before
    for shard, said in ((Shard(3, 4), "3/4"), (None, "none")):
        with pytest.raises(StoreError, match=f"--shard must be 2/4, as this study folder was begun; got '{said}'"):
            measure(a_study(), copy, engine=ScriptedEngine(model=GUILD), shard=shard)
    whole = measure(a_study(), tmp_path / "whole", engine=ScriptedEngine(model=GUILD))
    with pytest.raises(StoreError, match="--shard must be left out, as this study folder was begun; got '1/2'"):
        measure(a_study(), whole, engine=ScriptedEngine(model=GUILD), shard=Shard(1, 2))


# --- joined ----------------------------------------------------------------------------------------------------------


def test_joined_in_any_order_they_are_the_study_of_one_machine(shards: list[Path], tmp_path: Path) -> None:
    whole = measure(a_study(), tmp_path / "whole", engine=ScriptedEngine(model=GUILD))
    joined = merge([shards[n] for n in (2, 0, 3, 1)], tmp_path / "joined")
    assert rows(joined) == rows(whole)
    with StoredStudy.open(joined) as study, StoredStudy.open(whole) as other:
        assert replace(read_landscape(study), name="whole") == read_landscape(other)
        assert not any(vars_of(study.missing()))
    assert [f for f in verify(joined, full=False, note=lambda said: None) if "landscape.json" not in f] == []
    # And it goes on as a study of one machine does: nothing is left to be asked.
    measure(a_study(), joined, engine=ScriptedEngine(model=GUILD, reply=lambda *_: pytest.fail("asked again")))


def vars_of(missing: Any) -> list[Any]:
    return [missing.responses, missing.scores, sum(missing.verdicts.values()), missing.measurements, missing.traces]


@pytest.mark.slow
def test_what_does_not_belong_together(shards: list[Path], tmp_path: Path) -> None:
    other = measure(a_study(limit=4), tmp_path / "other", engine=ScriptedEngine(model=GUILD), shard=Shard(4, 4))
    three = measure(a_study(), tmp_path / "three", engine=ScriptedEngine(model=GUILD), shard=Shard(3, 3))
    sized = measure(a_study(batch_size=3), tmp_path / "sized", engine=ScriptedEngine(model=GUILD), shard=Shard(4, 4))
    whole = measure(a_study(), tmp_path / "whole", engine=ScriptedEngine(model=GUILD))
    for given, said in (
        (shards[:3], "must be all 4 shards; got 'shard 4/4 missing'"),
        ([*shards, shards[1]], "shard 2/4 must be given once"),
        ([*shards[:3], other], r"other \(4/4\), which differs from .* in its prompts"),
        ([*shards[:2], three], r"three \(3/3\), which differs from .* in its number of shards"),
        ([*shards[:3], sized], r"sized \(4/4\), which differs from .* in its batch size"),
        ([*shards[:3], whole], "what is merged must be folders of shards; got .*whole"),
        ([*shards[:3], tmp_path / "nothing"], "study folder must be a folder with a study.sqlite"),
    ):
        with pytest.raises(StoreError, match=said):
            merge(given, tmp_path / "joined")
        assert not (tmp_path / "joined").exists()
    with pytest.raises(StoreError, match="-o must be a folder without a study"):
        merge(shards, whole)


def test_a_shard_that_is_not_done(shards: list[Path], tmp_path: Path) -> None:
    given = copies(shards, tmp_path)
    with sqlite3.connect(given[2] / "study.sqlite") as db:
        for table in ("verdicts", "scores"):
            db.execute(f"DELETE FROM {table} WHERE response = (SELECT min(key) FROM responses)")
        db.execute("DELETE FROM responses WHERE key = (SELECT min(key) FROM responses)")
    with pytest.raises(StoreError, match="shard 3/4 must be done; got '1 rows that are missing"):
        merge(given, tmp_path / "joined")


def test_the_same_prompt_with_another_content_is_refused(shards: list[Path], tmp_path: Path) -> None:
    given = copies(shards, tmp_path)
    with StudyStore.open(given[1]) as store, store.transaction() as db:
        db.execute("UPDATE prompts SET category = ?, digest = NULL WHERE id = (SELECT min(id) FROM prompts)", (b"new",))
    with pytest.raises(StoreError, match=r"got '1 prompts of .* that differ from those of the shards before it'"):
        merge(given, tmp_path / "joined")


def test_a_machine_that_calibrated_otherwise_is_judged_by_the_test_of_the_first(
    shards: list[Path], tmp_path: Path
) -> None:
    given = copies(shards, tmp_path)
    with StudyStore.open(given[3]) as store:
        tests = json.loads(store.meta("language") or "")
        tests[""]["threshold"] = 3.0
        store.set_meta("language", json.dumps(tests))
        with store.transaction() as db:
            db.execute("UPDATE verdicts SET version = version || 'x', digest = NULL WHERE judge = 'outcome'")
    joined = merge(given, tmp_path / "joined")
    with StoredStudy.open(joined) as study:
        assert not sum(study.missing().verdicts.values())
        with StudyStore.open(given[0]) as first:
            assert study.store.meta("language") == first.meta("language")
