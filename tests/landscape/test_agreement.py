"""Agreement of stored judges and labels, over a small mapped study; and asking, resumed without asking twice."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.judge_server import Action, error, ok, serving
from safebasin import api, catalog
from safebasin.errors import PromptError, StudyError, UnknownName, UsageError
from safebasin.judges import load_judge
from safebasin.judges.apply import judge_all
from safebasin.judges.rubric import PolicyRubric, StrongRejectRubric
from safebasin.landscape.agreement import LABELS, agree
from safebasin.landscape.last_plan import read_last_plan
from safebasin.records import Point, Prompt, Response, Score, Verdict
from safebasin.run.execute import measure
from safebasin.run.judging import judge_stored
from safebasin.run.progress import Tick
from safebasin.store import folder as folders
from safebasin.store.db import StudyStore

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = api.make_study(
        "world:guild/base",
        limit=10,
        directions=1,
        range="-1:1:3",
        max_new_tokens=40,
        judge=["keyword/peng2024", "outcome", "oracle"],
        stop="none",
    )
    return measure(study, tmp_path_factory.mktemp("study"))


@pytest.fixture
def folder(mapped: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    import shutil

    return Path(shutil.copytree(mapped, tmp_path / "study"))


def verdicts(folder: Path, judge: str) -> dict[str, Verdict]:
    with StudyStore.open(folder) as store:
        found = store.verdicts_of(r.key for r in store.responses())
    return {key: v for key, rows in found.items() for v in rows if v.judge == judge}


def labeled(folder: Path, path: Path, rows: list[tuple[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows])
    return path


@pytest.mark.slow
def test_judges_are_compared_where_both_have_spoken(mapped: Path) -> None:
    found = agree(mapped)
    assert found.judges == ("keyword/peng2024", "outcome", "oracle")
    assert len(found.pairs) == 3
    pair = next(p for p in found.pairs if (p.first, p.second) == ("keyword/peng2024", "oracle"))
    keyword, oracle = verdicts(mapped, "keyword/peng2024"), verdicts(mapped, "oracle")
    both = [k for k in keyword if None not in (keyword[k].success, oracle[k].success)]
    differ = sorted(k for k in both if keyword[k].success != oracle[k].success)
    assert pair.success.n == len(both)
    assert pair.n_missing == found.n_responses - len(both)
    assert pair.accuracy.value == pytest.approx(1 - len(differ) / len(both))
    assert [d.response for d in pair.disagreements] == differ
    assert all((d.first, d.second) == (keyword[d.response].label, oracle[d.response].label) for d in pair.disagreements)
    assert sum(map(sum, pair.outcomes.counts)) == len(both)
    assert found.n_responses == 30


@pytest.mark.slow
def test_the_truth_as_labels_makes_a_perfect_judge_of_the_oracle(mapped: Path, tmp_path: Path) -> None:
    truth = {k: v for k, v in verdicts(mapped, "oracle").items() if v.success is not None}
    path = labeled(mapped, tmp_path / "labels.csv", [(k, v.label) for k, v in truth.items()])
    found = agree(mapped, judges=["oracle", "keyword/peng2024"], labels=path)
    assert found.labels is not None
    assert len(found.labels.success) == len(truth)
    assert found.n_unlabeled == 30 - len(truth)
    pair = next(p for p in found.pairs if (p.first, p.second) == (LABELS, "oracle"))
    assert pair.accuracy.value == 1
    assert pair.disagreements == ()
    oracle, keyword = found.on_labels
    assert (oracle.judge, oracle.sensitivity.value, oracle.specificity.value) == ("oracle", 1, 1)
    whole = oracle.rates[0]
    assert whole.corrected.value == pytest.approx(whole.judged.value)
    assert [rate.prompts for rate in keyword.rates][1:] == ["harmful"]
    n = keyword.specificity.n
    keyed = verdicts(mapped, "keyword/peng2024")
    right = sum(not keyed[k].success for k, v in truth.items() if not v.success)
    assert keyword.specificity.value == pytest.approx(right / n)
    with StudyStore.open(mapped) as store:
        origin = [keyed[r.key].success for r in store.responses(point=Point().key)]
    rate = keyword.rates[1]
    assert (rate.judged.n, rate.judged.n_missing) == (len(origin), 0)
    assert rate.judged.value == pytest.approx(sum(map(bool, origin)) / len(origin))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_labels_in_other_forms_and_what_they_miss(mapped: Path, tmp_path: Path, ending: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = sorted(verdicts(mapped, "oracle"))
    values = [True, False, "yes", "no", 1, 0, "harmful", "refusal", None, "unscored"]
    rows = [{"id": key, "label": value} for key, value in zip(keys, values, strict=False)]
    rows.append({"id": "of another study", "label": True})
    path = tmp_path / f"labels.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "label": str(row["label"])} for row in rows]), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    labels = agree(mapped, labels=path).labels
    assert labels is not None
    assert [labels.success.get(key) for key in keys[:10]] == [True, False] * 4 + [None, None]
    assert (labels.n_rows, labels.n_unknown, labels.n_empty) == (11, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,label\nnobody,yes\n",
            "must be of responses of this study; got '1 rows, 1 unknown ids, 0 without a label'",
        ),
        ("", "must be of responses of this study; got '0 rows"),
        ("name,label\nx,yes\n", "row 1 of labels.csv must be a row with 'id'"),
        ("id\nx\n", "row 1 of labels.csv must be a row with 'label'"),
        ("id,label\n{key},perhaps\n", "label of row 1 of labels.csv must be yes, no or one of refusal"),
        ("id,label\n{key},yes\n{key},no\n", "row 2 of labels.csv must be the only label of its response"),
        ("id,label\n{prompt},yes\n", r"id of row 1 of labels.csv must be one response's \(3 answer it\)"),
        ("id,label\n{key}\n", "labels labels.csv must be a regular table; got 'row 1 with another number of cells"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(mapped: Path, tmp_path: Path, text: str, message: str) -> None:
    with StudyStore.open(mapped) as store:
        response = next(iter(store.responses()))
    path = tmp_path / "labels.csv"
    path.write_text(text.format(key=response.key, prompt=response.prompt))
    with pytest.raises(PromptError, match=message):
        agree(mapped, labels=path)


def test_what_there_is_nothing_to_compare_with(mapped: Path) -> None:
    with pytest.raises(StudyError, match="judges to compare must be two or more"):
        agree(mapped, judges=["oracle"])
    with pytest.raises(StudyError, match="judge must be one whose verdicts are stored here"):
        agree(mapped, judges=["oracle", "guard/wildguard"])


def test_the_ids_are_those_of_the_export(mapped: Path, tmp_path: Path) -> None:
    api.export_study(mapped, tmp_path / "rows.jsonl", format="jsonl")
    ids = {json.loads(line)["id"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()}
    assert ids == set(verdicts(mapped, "oracle"))


# --- asking ------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx2")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-guild")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


QI = "rubric/qi2023(model=elder, base_url={url}, attempts=1, parallel=2)"


def judged(folder: Path, url: str, *, name: str = QI) -> int:
    judge = load_judge(name.format(url=url))
    with folders.writer(folder), StudyStore.open(folder) as store:
        plan, _ = read_last_plan(store)
        return judge_stored(store, plan, [judge])[judge.name]


@pytest.mark.slow
@pytest.mark.usefixtures("endpoint")
def test_an_interrupted_judge_goes_on_without_asking_twice(folder: Path) -> None:
    broken = [True]

    def answer(body: dict[str, Any], nth: int) -> Action:
        return error(401) if broken[0] and len(server.bodies) > 12 else ok("#thescore: 5")

    with serving(answer) as server:
        with pytest.raises(UsageError, match="OPENAI_API_KEY"):
            judged(folder, server.url)
        name = f"rubric/qi2023(model=elder, base_url={server.url})"
        kept = verdicts(folder, name)
        assert len(kept) >= 12
        refused = len(server.bodies) - 12
        broken[0] = False
        assert judged(folder, server.url) == 30 - len(kept)
        assert len(server.bodies) - refused == len(set(server.asked()))
        cost = api.judging_cost(folder, [name])[name]
        assert cost.requests == len(server.bodies)
        assert judged(folder, server.url) == 0
    assert {v.grade for v in verdicts(folder, name).values()} <= {5.0, 1.0}


@pytest.mark.slow
@pytest.mark.usefixtures("endpoint")
def test_what_got_no_reply_is_asked_again_and_what_could_not_be_read_is_not(folder: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Action:
        number = list(dict.fromkeys(server.asked())).index(body["messages"][-1]["content"])
        if number % 3 == 1:
            return ok("I would rather not say.")
        return error(503) if number % 3 == 2 and nth == 0 else ok("#thescore: 1")

    with serving(answer) as server:
        judged(folder, server.url)
        name = f"rubric/qi2023(model=elder, base_url={server.url})"
        first, asked = verdicts(folder, name), len(server.bodies)
        lost = [k for k, v in first.items() if v.reason.startswith("no reply: HTTP 503")]
        unread = {k for k, v in first.items() if "I would rather not say." in v.reason}
        assert lost
        assert unread
        judged(folder, server.url)
        again = verdicts(folder, name)
    assert len(server.bodies) - asked == len({server.asked()[i] for i in range(asked, len(server.bodies))})
    assert {again[k].label for k in lost} == {"refusal"}
    assert {k for k, v in again.items() if v.label == "unscored"} == unread
    assert len(again) == len(first) == 30


@pytest.mark.slow
@pytest.mark.usefixtures("endpoint")
def test_score_and_rate_come_from_the_stored_grades(folder: Path) -> None:
    def answer(body: dict[str, Any], nth: int) -> Action:
        digit = 1 + list(dict.fromkeys(server.asked())).index(body["messages"][-1]["content"]) % 5
        return ok(f"#thescore: {digit}")

    with serving(answer) as server:
        judged(folder, server.url)
        name = f"rubric/qi2023(model=elder, base_url={server.url})"
    graded = api.read_grades(folder, name)
    assert (graded[0].region, graded[0].direction) == ("", -1)
    assert len(graded) == 3
    stored = verdicts(folder, name)
    grades = [v.grade for v in stored.values() if v.grade is not None]
    assert sum(g.score.value * g.score.n for g in graded if g.score.value) == pytest.approx(sum(grades))
    assert sum(g.rate.value * g.rate.n for g in graded if g.rate.value) == pytest.approx(grades.count(5))
    with pytest.raises(StudyError, match="judge must be one that grades"):
        api.read_grades(folder, "outcome")


class Sevens:
    """A plugin's judge that grades every response alike."""

    name, version, monotone, phrases = "guild/tens(strict=true)", "1", False, ()

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        return Verdict(
            response=response.key, judge=self.name, version="1", label="complied", success=True, reason="", grade=7.0
        )


@pytest.mark.parametrize("scale", [None, "0 to 10", "ten"])
def test_the_scale_of_a_judge_is_what_its_row_says(
    folder: Path, scale: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[Tick] = []
    with folders.writer(folder), StudyStore.open(folder) as store:
        plan, _ = read_last_plan(store)
        assert judge_stored(store, plan, [Sevens()], progress=ticks.append) == {Sevens.name: 30}
        assert {(tick.stage, tick.done) for tick in ticks} == {("judge", 30)}
        assert judge_stored(store, plan, [Sevens()], progress=ticks.append) == {Sevens.name: 0}
        assert ticks == [tick for tick in ticks if tick.fresh], "what was judged before is no progress"
    if scale is not None:
        row = catalog.Row(
            kind="judge", name="guild/tens", target="a:b", summary="", source="", facts=(("grades", scale),)
        )
        monkeypatch.setattr(catalog.lookup, "rows", lambda: (row,))
    if scale == "ten":
        with pytest.raises(UnknownName, match="must be like '1 to 5'; got 'ten'"):
            api.read_grades(folder, Sevens.name)
        return
    score = api.read_grades(folder, Sevens.name)[0].score
    assert score.value == 7
    assert score.low is not None
    assert score.high is not None
    assert (score.low < 7 < score.high) == (scale is not None)


def test_the_scale_of_a_rubric_begins_with_the_grade_of_a_response_that_says_nothing() -> None:
    forms = {
        "rubric/qi2023": PolicyRubric(template="", max_tokens=1, policy=""),
        "rubric/strongreject": StrongRejectRubric(template="", max_tokens=1),
    }
    for name, form in forms.items():
        said = catalog.get("judge", name).fact("grades")
        assert said is not None
        assert float(said.partition(" to ")[0]) == form.lowest


@pytest.mark.slow
@pytest.mark.usefixtures("endpoint")
def test_harm_is_asked_about_only_where_it_complied(folder: Path) -> None:
    with serving(lambda *_: ok("#thescore: 5")) as server:
        name = f"outcome(harm=rubric/qi2023(model=elder, base_url={server.url}))"
        estimate = api.estimate_judging(folder, [name])[name]
        assert server.bodies == []
        judged(folder, server.url, name="outcome(harm=rubric/qi2023(model=elder, base_url={url}))")
    plain = verdicts(folder, "outcome")
    split = verdicts(folder, name)
    complied = {k for k, v in plain.items() if v.label == "complied"}
    assert complied
    assert {k for k, v in split.items() if v.label == "harmful"} == complied
    assert all(split[k].label == plain[k].label for k in plain.keys() - complied)
    assert len(server.bodies) == estimate.requests <= len(complied)


def test_a_judge_may_answer_in_any_order_and_leave_out_what_is_lost(answering: Callable[..., list[Verdict]]) -> None:
    found = answering(["a", "cut", "lost", "b", "cut"])
    assert len({v.response for v in found}) == 4
    assert sorted((v.label, v.reason) for v in found) == [
        ("harmful", "a"),
        ("harmful", "b"),
        ("unscored", "cut"),
        ("unscored", "cut"),
    ]


@pytest.fixture
def answering() -> Callable[..., list[Verdict]]:
    from safebasin.protocols import Cost
    from safebasin.records import Message

    prompt = Prompt(messages=(Message(role="user", content="?"),))

    class Asked:
        name, version, monotone, phrases, spent = "asked", "1", False, (), Cost()

        def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
            return next(iter(self.judge_many([(prompt, response, score)])))

        def judge_many(self, items: Any) -> Any:
            for _, r, _ in reversed(list(items)):
                if r.text != "lost":
                    yield Verdict(
                        response=r.key, judge="asked", version="1", label="harmful", success=True, reason=r.text
                    )

        def estimate(self, items: Any) -> Cost:
            return Cost()

    def run(texts: list[str]) -> list[Verdict]:
        rows = [
            Response(
                point="o",
                prompt=prompt.id,
                system="d",
                decoding=str(i),
                text=text,
                n_tokens=1,
                finish_reason="loop" if text == "cut" else "stop",
            )
            for i, text in enumerate(texts)
        ]
        return list(judge_all(Asked(), {prompt.id: prompt}, rows, {}))

    return run
