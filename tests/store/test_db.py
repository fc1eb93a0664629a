"""The database of a study: idempotent, transactional, explains itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safebasin.errors import StoreError
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, Response, Score, System, Verdict
from safebasin.store.connection import explained
from safebasin.store.db import StudyStore
from safebasin.store.integrity import damage, unchecked
from safebasin.store.measurements import StoredMeasurement, put_measurements
from safebasin.store.migrations import MIGRATIONS, pending
from safebasin.study.answered import Answered

DECODING = Decoding(
    stop="verdict", phrases=(("I refuse",), ("No", "Never")), rules=("refusal@1",), template_args=(("a", True),)
)
PROMPT = Prompt(messages=(Message(role="user", content="Weigh the clay."),), source="s", category="c", behavior="b")
POINT = Point.at((DirectionSpec(kind="random"), 0.5))


def response(**changes: object) -> Response:
    base = Response(
        point=POINT.key,
        prompt=PROMPT.id,
        system="default",
        decoding=DECODING.key,
        text="Two pounds.",
        n_tokens=3,
        finish_reason="stop",
        gap=0.25,
    )
    return replace(base, **changes)


@pytest.fixture
def store(tmp_path: Path):
    with StudyStore.open(tmp_path) as opened:
        opened.add_prompts([(PROMPT, 0)])
        opened.add_question(points=[Point(), POINT], systems=[System(name="default")], decoding=DECODING)
        yield opened


def test_rows_come_back_as_they_went_in(store: StudyStore) -> None:
    given_ = response()
    store.put_responses([given_])
    assert list(store.responses()) == [given_]
    assert store.prompts() == {PROMPT.id: PROMPT}
    assert store.decodings() == {DECODING.key: DECODING}
    assert store.done(DECODING.key) == Answered.of([(POINT.key, "default", PROMPT.id)])


def test_inserting_twice_changes_nothing(store: StudyStore) -> None:
    store.put_responses([response()])
    store.put_responses([response(text="another text")])
    assert [r.text for r in store.responses()] == ["Two pounds."]
    verdict = Verdict(response=response().key, judge="j", version="1", label="complied", success=True)
    assert store.put_verdicts([verdict]) == 1
    assert store.put_verdicts([replace(verdict, success=False)]) == 0
    assert [v.success for v in store.verdicts_of([response().key])[response().key]] == [True]


def test_another_version_of_a_judge_is_another_verdict(store: StudyStore) -> None:
    store.put_responses([response()])
    one = Verdict(response=response().key, judge="j", version="1", label="unscored", success=None, reason="why")
    store.put_verdicts([one, replace(one, version="2", success=True, label="complied")])
    assert store.judge_versions() == [("j", "1", 1), ("j", "2", 1)]
    assert store.verdicts_of([response().key])[response().key][0] == one


def test_a_batch_is_one_transaction(store: StudyStore) -> None:
    orphan = response(prompt="no such prompt")
    with pytest.raises(StoreError):
        store.put_responses([response(), orphan])
    assert list(store.responses()) == [], "the good row of a broken batch must not stay"


def test_scores_are_kept_in_single_precision(store: StudyStore) -> None:
    store.put_responses([response()])
    store.put_scores([Score(response=response().key, nll=(0.5, 2.25), ends=(3, 11))])
    (score,) = store.scores([response().key, "another"]).values()
    assert (score.nll, score.ends) == ((0.5, 2.25), (3, 11))
    assert store.scored() == {response().key}
    assert store.scores([]) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.text(alphabet=st.characters(), max_size=30))
def test_any_text_survives_lone_surrogates_included(store: StudyStore, text: str) -> None:
    store.forget(POINT.key, DECODING.key)
    store.put_responses([response(text=text, thinking=text)])
    (back,) = store.responses()
    assert (back.text, back.thinking) == (text, text)


def test_lone_surrogates_survive_in_every_text(tmp_path: Path) -> None:
    odd = "a\ud800"
    prompt = Prompt(messages=PROMPT.messages, source=odd, category=odd, behavior=odd, label=odd)
    with StudyStore.open(tmp_path) as store:
        store.add_prompts([(prompt, 0)])
        store.add_question(points=[], systems=[System(name=odd, text=odd)], decoding=DECODING)
        assert (store.prompts(), damage(store)) == ({prompt.id: prompt}, [])


def test_forget_takes_scores_and_verdicts_along(store: StudyStore) -> None:
    store.put_responses([response(), response(point="origin")])
    for point in (POINT.key, "origin"):
        key = response(point=point).key
        store.put_scores([Score(response=key, nll=(1.0,), ends=(1,), under=under) for under in ("", "p")])
        store.put_verdicts([Verdict(response=key, judge="j", version="1", label="refusal", success=False)])
    store.forget(POINT.key, DECODING.key)
    assert store.counts()["responses"] == store.counts()["scores"] == store.counts()["verdicts"] == 1
    assert store.scored() == store.scored("p") == {response(point="origin").key}
    assert damage(store) == []


def test_near_ties_are_counted(store: StudyStore) -> None:
    store.put_responses([response(), response(point="origin", gap=1e-6)])
    assert store.near_ties(DECODING.key, 1e-3) == 1


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_bytes(b"this is not a database, only clay" * 100)
    with pytest.raises(StoreError, match="undamaged SQLite file"):
        StudyStore.open(tmp_path)


def test_a_full_disk_is_help_and_loses_nothing(store: StudyStore) -> None:
    store.put_responses([response()])
    store._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match="Free space"):
        store.put_responses([response(point="origin", text="x" * 200_000)])
    assert [r.text for r in store.responses()] == ["Two pounds."]


def test_what_to_do_fits_what_is_wrong_with_the_database(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db:
        db.execute("CREATE TABLE t (a)")
        with pytest.raises(StoreError, match=r"no such table: responses'. Move the folder away and map again, or rest"):
            _ask(path, "SELECT * FROM responses")
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            StoreError, match=r"database is locked'. Another process holds it: wait for that, or stop it"
        ):
            _ask(path, "SELECT * FROM t")
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"unable to open database file'. It is no file: move it away, or choose anot"):
        _ask(path, "SELECT * FROM t")


def _ask(path: Path, query: str) -> None:
    with explained(path), closing(sqlite3.connect(path, timeout=0)) as db:
        db.execute(query)


def test_migrations_run_once_and_from_blank(tmp_path: Path) -> None:
    StudyStore.open(tmp_path).close()
    db = sqlite3.connect(tmp_path / "study.sqlite")
    assert pending(db) == []
    assert db.execute("SELECT count(*) FROM migrations").fetchone()[0] == len(MIGRATIONS)
    db.close()
    StudyStore.open(tmp_path).close()


def test_damage_is_found(store: StudyStore) -> None:
    store.put_responses([response()])
    assert damage(store) == []
    store._db.execute("UPDATE responses SET text = text, system = 'default', point = 'origin'")
    assert any("another key" in found for found in damage(store))


def test_a_newer_schema_is_said_to_be_one(tmp_path: Path) -> None:
    StudyStore.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "study.sqlite")) as db, db:
        db.execute("INSERT INTO migrations VALUES ('m999_later')")
    with pytest.raises(StoreError, match=r"m999_later.*update safebasin"):
        StudyStore.open(tmp_path)


CONTENT = {
    "responses": ["text = 'Three pounds.'", "thinking = 'hm'", "n_tokens = 4", "gap = 0.5"],
    "scores": ["nll = zeroblob(8)"],
    "verdicts": ["label = 'refusal'", "success = 0", "grade = 4", "reason = 'so'"],
    "prompts": ["category = 'd'"],
    "meta": ["value = 'other'", "key = 'other'"],
    "points": ["recipe = '[[{}, 0.25]]'"],
    "systems": ["name = 'other'", "text = 'other'"],
    "decodings": ["settings = replace(settings, '512', '513')"],
    "measurements": ["value = 0.5", "error = 0.5", "n = 3", "setting = 't'", "name = 'kl'"],
}


@pytest.mark.parametrize(("table", "change"), [(t, change) for t, changes in CONTENT.items() for change in changes])
def test_content_that_was_replaced_is_seen(store: StudyStore, table: str, change: str) -> None:
    fill(store)
    assert damage(store) == []
    store._db.execute(f"UPDATE {table} SET {change}")
    assert sum(f"a row of {table} (" in found for found in damage(store)) == len(
        store._db.execute(f"SELECT * FROM {table}").fetchall()
    )


@pytest.mark.parametrize("table", ["points", "systems", "decodings"])
def test_what_has_a_key_of_its_content_is_checked_without_a_digest_too(store: StudyStore, table: str) -> None:
    fill(store)
    store._db.execute(f"UPDATE {table} SET {CONTENT[table][-1]}, digest = NULL")
    assert any("under another key" in found for found in damage(store))


def test_two_responses_that_changed_places_are_found_without_a_digest(store: StudyStore) -> None:
    store.put_responses([response(), response(sample=1)])
    assert damage(store) == []
    store._db.execute("UPDATE responses SET sample = 1 - sample, digest = NULL")
    assert sum("under another key" in found for found in damage(store)) == 2


def test_a_folder_of_a_release_without_digests_opens_and_is_said_not_to_be_covered(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "study.sqlite")) as db, db:
        db.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY)")
        for step in MIGRATIONS[:4]:
            step(db)
            db.execute("INSERT INTO migrations VALUES (?)", (step.__name__,))
        db.execute("INSERT INTO meta VALUES ('model', 'org/model')")
        db.execute("INSERT INTO points VALUES ('origin', '[]')")
    with StudyStore.open(tmp_path) as store:
        assert (store.meta("model"), damage(store), unchecked(store)) == ("org/model", [], 2)
        store.set_meta("batch_size", "8")
        assert (damage(store), unchecked(store)) == ([], 0)


def test_a_fact_that_is_set_anew_is_no_damage(store: StudyStore) -> None:
    for value in ("one", "two"):
        store.set_meta("any", value)
        assert (damage(store), unchecked(store)) == ([], 0)


def test_a_flipped_bit_of_a_text_is_seen(store: StudyStore) -> None:
    fill(store)
    text = b"Two pounds."
    for bit in range(0, 8 * len(text), 5):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        store._db.execute("UPDATE responses SET text = ?", (bytes(flipped),))
        assert damage(store), bit
    store._db.execute("UPDATE responses SET text = ?", (text.decode(),))
    assert damage(store) == []


def test_rows_of_a_release_without_digests_are_no_damage_and_get_one_at_the_next_write(store: StudyStore) -> None:
    fill(store)
    for table in CONTENT:
        store._db.execute(f"UPDATE {table} SET digest = NULL")
    assert damage(store) == []
    assert unchecked(store) == sum(store._db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in CONTENT)
    store.set_meta("any", "thing")
    assert (damage(store), unchecked(store)) == ([], 0)
    store._db.execute("UPDATE responses SET text = 'Three pounds.'")
    assert len(damage(store)) == 1


def test_what_does_not_parse_is_help(store: StudyStore) -> None:
    store._db.execute("UPDATE prompts SET messages = 'no JSON'")
    with pytest.raises(StoreError, match=r"what a study wrote.*JSONDecodeError"):
        store.prompts()
    store._db.execute("UPDATE prompts SET batch = 'no number'")
    with pytest.raises(StoreError, match=r"what a study wrote.*whole number"):
        store.batches()
    store._db.execute("UPDATE decodings SET settings = '[]'")
    with pytest.raises(StoreError, match="what a study wrote"):
        store.decodings()


def fill(store: StudyStore) -> None:
    """A row in every table that has digests."""
    store.put_responses([response()])
    store.put_scores([Score(response=response().key, nll=(0.5, 2.25), ends=(3, 11))])
    store.put_verdicts([Verdict(response=response().key, judge="j", version="1", label="complied", success=True)])
    store.set_meta("fact", "one")
    put_measurements(store, [StoredMeasurement(point=POINT.key, name="perplexity", setting="s", value=2.0, n=7)])


def test_of_a_large_file_the_end_and_the_small_tables_are_checked(
    store: StudyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_responses(response(prompt=PROMPT.id, sample=i, text="Two pounds. " * 50) for i in range(100))
    store.close()
    monkeypatch.setattr("safebasin.store.connection._LARGE", 0)
    with StudyStore.open(tmp_path) as again:
        assert len(list(again.responses())) == 100
    path = tmp_path / "study.sqlite"
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])
    with pytest.raises(StoreError, match="undamaged SQLite file"):
        StudyStore.open(tmp_path)


@pytest.mark.parametrize(
    ("table", "column"), [("responses", "text"), ("responses", "thinking"), ("verdicts", "reason")]
)
def test_a_text_that_is_none_is_damage(store: StudyStore, tmp_path: Path, table: str, column: str) -> None:
    """No trouble of the disk: what SQLite calls text can be any bytes."""
    store.put_responses([response()])
    store.put_verdicts([Verdict(response=response().key, judge="j", version="1", label="complied", success=True)])
    store.close()
    with closing(sqlite3.connect(tmp_path / "study.sqlite")) as db, db:
        db.execute(f"UPDATE {table} SET {column} = CAST(x'61ff62' AS TEXT)")
    with StudyStore.open(tmp_path) as again, pytest.raises(StoreError, match="undamaged SQLite file"):
        damage(again)


def test_a_large_file_in_write_ahead_mode_is_opened_beside_who_writes_it(
    store: StudyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safebasin sets no such mode; a tool that was used to look into the file may have left it."""
    store.close()
    monkeypatch.setattr("safebasin.store.connection._LARGE", 0)
    with closing(sqlite3.connect(tmp_path / "study.sqlite")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        with StudyStore.open(tmp_path) as writer:
            writer.put_responses(response(prompt=PROMPT.id, sample=i, text="Two pounds. " * 50) for i in range(100))
            with StudyStore.open(tmp_path) as again:
                assert len(list(again.responses())) == 100


def test_a_digest_comes_with_its_row(store: StudyStore) -> None:
    """And is the one that SQLite finds over what it keeps, whatever the types of its columns."""
    store.put_responses([response(), response(sample=1, gap=None, text="\ud800", broken="nan")])
    key = response().key
    store.put_scores([Score(response=key, nll=(0.5,), ends=(3,)), Score(response=key, nll=(), ends=(), under="p")])
    for grade in (None, 3):
        store.put_verdicts(
            [Verdict(response=key, judge=f"j{grade}", version="1", label="x", success=True, reason="", grade=grade)]
        )
    assert damage(store) == []
    assert unchecked(store) == 0
