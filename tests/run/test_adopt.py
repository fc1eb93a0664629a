"""A judge or a stop rule that changes: what the folder holds is used, and what cannot be decided on it is unscored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from safebasin import api
from safebasin.engines.hf import HFEngine
from safebasin.landscape.last_plan import read_last_plan
from safebasin.records import Decoding, Message, Point, Prompt, Response, System, Verdict
from safebasin.run.adopt import adopt_complete
from safebasin.run.execute import measure
from safebasin.run.prompt_settings import changed_setting, check_asked
from safebasin.store.db import StudyStore
from safebasin.study import Study

pytestmark = pytest.mark.integration

WORLD = "world:guild/aligned"
JUDGES = ["keyword/peng2024", "keyword/zou2023", "oracle"]
ASKED = 18
KEYWORD = ["keyword/peng2024"]


class Counting(HFEngine):
    """Counts the rows that it decodes."""

    rows = 0

    def generate(self, conversations: Sequence[Sequence[Message]], decoding: Decoding):  # pyright: ignore
        self.rows += len(conversations)
        return super().generate(conversations, decoding)


def study(judges: list[str], stop: str) -> Study:
    return api.make_study(
        WORLD, limit=ASKED // 3, directions=1, range="-1:1:3", max_new_tokens=40, batch_size=1, judge=judges, stop=stop
    )


def ask(out: Path, judges: list[str], stop: str) -> int:
    """Run a study; how many rows were decoded."""
    engine = Counting(WORLD, device="cpu")
    measure(study(judges, stop), out, engine=engine)
    return engine.rows


Place = tuple[str, str]


def stored(folder: Path) -> tuple[dict[Place, Response], dict[Place, dict[str, Verdict]]]:
    """Responses and verdicts of the current plan by (point, prompt)."""
    with StudyStore.open(folder) as store:
        plan, _ = read_last_plan(store)
        responses = list(store.responses(plan.decoding.key))
        verdicts = store.verdicts_of([r.key for r in responses])
    place = {r.key: (r.point, r.prompt) for r in responses}
    return {place[r.key]: r for r in responses}, {
        place[key]: {v.judge: v for v in found} for key, found in verdicts.items()
    }


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every response to its end, and what every judge says of it."""
    folder = tmp_path_factory.mktemp("truth") / "study"
    assert ask(folder, JUDGES, "none") == ASKED
    return folder


@pytest.mark.parametrize("stop", ["verdict", pytest.param("loop", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_judge_added_under_a_stop_rule_decodes_nothing_and_is_never_wrong(
    stop: str, truth: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    assert ask(folder, KEYWORD, stop) == ASKED
    responses, _ = stored(folder)
    assert ask(folder, JUDGES, stop) == 0
    after, verdicts = stored(folder)
    assert after == responses
    _, right = stored(truth)
    assert {r.finish_reason for r in responses.values()} >= {"verdict"}
    for place, response in responses.items():
        is_cut = response.finish_reason == "verdict"
        for judge in JUDGES:
            said = verdicts[place][judge]
            if said.label == "unscored":
                assert is_cut or response.finish_reason == "loop"
                assert (judge, said.reason, said.success) == (judge, "cut", None)
                assert judge != "keyword/peng2024"
            elif stop == "verdict":  # a loop may be left; that rule is measured, not promised
                assert (said.label, said.success) == (right[place][judge].label, right[place][judge].success)
        assert (verdicts[place]["oracle"].label == "unscored") >= is_cut
    undecided = sum(found["oracle"].label == "unscored" for found in verdicts.values())
    (note,) = [note for note in api.read_study(folder).notes if "verdicts of oracle are missing" in note]
    assert f", {undecided} of them because decoding ended at a refusal of the judges before it" in note
    (pair,) = api.agreement(folder, judges=["keyword/peng2024", "oracle"]).pairs
    assert (pair.n_cut, pair.n_missing) == (undecided, undecided)
    (pair,) = api.agreement(truth, judges=["keyword/peng2024", "oracle"]).pairs
    assert (pair.n_cut, pair.n_missing) == (0, 0)


@pytest.mark.slow
def test_another_stop_rule_decodes_only_what_was_cut(truth: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    ask(folder, KEYWORD, "verdict")
    responses, _ = stored(folder)
    cut = [place for place, response in responses.items() if response.finish_reason == "verdict"]
    assert 0 < len(cut) < ASKED
    assert api.plan_study(study(JUDGES, "none"), out=folder).done == ASKED - len(cut)
    assert ask(folder, JUDGES, "none") == len(cut)
    after, verdicts = stored(folder)
    whole, right = stored(truth)
    assert {place: r.text for place, r in after.items()} == {place: r.text for place, r in whole.items()}
    assert {place: {j: v.label for j, v in found.items()} for place, found in verdicts.items()} == {
        place: {j: v.label for j, v in found.items()} for place, found in right.items()
    }
    assert ask(folder, KEYWORD, "verdict") == 0, "the way back finds what it left"


def test_what_was_asked_otherwise_is_not_taken_over(tmp_path: Path) -> None:
    earlier, later, shorter = Decoding(stop="verdict", phrases=(("No",),)), Decoding(), Decoding(max_new_tokens=9)
    prompt, system = Prompt(messages=(Message(role="user", content="Tea?"),)), System(name="default")
    response = Response(
        point="origin", prompt=prompt.id, system=system.id, decoding=earlier.key, text="Tea.", n_tokens=1,
        finish_reason="stop",
    )  # fmt: skip
    with StudyStore.open(tmp_path) as store:
        store.add_prompts([(prompt, 0)])
        for decoding in (earlier, later, shorter):
            store.add_question(points=[Point()], systems=[system], decoding=decoding)
        check_asked(store, earlier, {"dtype": "float32", "engine": "hf"})
        store.put_responses([response])
        store.set_meta(f"asked:{later.key}", '{"dtype": "bfloat16"}')
        for decoding in (later, shorter):
            adopt_complete(store, decoding)
            assert not store.done(decoding.key)
        store.set_meta(f"asked:{later.key}", '{"dtype": "float32"}')
        adopt_complete(store, later)
        assert len(store.done(later.key)) > 0
        assert store.done(later.key) == store.done(earlier.key)
        assert changed_setting(store, later, {"engine": "other"}) == "engine hf, now other"
