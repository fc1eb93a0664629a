"""A sweep: many tuned models in one study, the origin asked once, and what is told kept to one level."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.command import safebasin
from helpers.guild import broken_guild
from helpers.models import make_lora, make_tiny_model
from safebasin import api
from safebasin.api.sweeping import Swept, sweep_study
from safebasin.audit import audit_fleet
from safebasin.errors import ModelError, StudyError, UsageError
from safebasin.landscape.sweep import sweep_document
from safebasin.protocols import EngineSpec
from safebasin.report.sweep import render_sweep
from safebasin.screen.measure import ScreenRequest, screen
from safebasin.store.db import StudyStore
from safebasin.store.sealing import seal
from safebasin.worlds.guild.world import WORLD

ALIGNED = "world:guild/aligned"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the base, one that complies, and one of another architecture."""
    made = tmp_path_factory.mktemp("fleet")
    shutil.copytree(WORLD.checkpoint("aligned"), made / "same")
    broken_guild(made / "broken")
    make_tiny_model(made / "other")
    return made


@pytest.fixture(scope="module")
def swept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return api.sweep_models(ALIGNED, folder, out=tmp_path_factory.mktemp("out") / "s", limit=10, max_new_tokens=24)


@pytest.mark.slow
def test_who_complies_is_told_who_is_the_same_is_not_and_who_does_not_fit_is_named(swept: Swept) -> None:
    (table,) = swept.sweep.tables
    by_name = {model.name: model for model in table.models}
    assert [model.name for model in table.models] == ["broken", "same"]
    assert by_name["broken"].told == "higher"
    assert by_name["broken"].difference.value == pytest.approx(by_name["broken"].rate.value - table.base.value)
    assert (by_name["same"].told, by_name["same"].p, by_name["same"].difference.value) == ("not told apart", 1, 0)
    assert by_name["same"].rate.value == table.base.value
    assert by_name["broken"].p_adjusted == min(1, 2 * by_name["broken"].p)  # Holm over two
    assert list(swept.sweep.failed) == ["other"]


def test_an_adapter_that_is_no_difference_of_weights_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    base = WORLD.checkpoint("aligned")
    for name, options in (("plain", {}), ("dora", {"use_dora": True})):
        make_lora(tmp_path / name, base, targets=["q_proj"], **options)
    study, failed = sweep_study(ALIGNED, tmp_path, limit=2)
    assert [region.name for region in study.regions] == ["plain"]
    assert "plain LoRA; got 'DoRA'" in failed["dora"]


def test_a_set_of_prompts_may_have_keys_as_in_a_study(folder: Path) -> None:
    given: Any = [{"name": "mine", "source": "world:guild/harmful[:2]"}]
    study, _ = sweep_study(ALIGNED, str(folder / "same"), prompts=given)
    assert [spec.title for spec in study.prompts] == ["mine"]


def test_where_no_model_fits_each_is_named_with_its_reason(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    models = [str(folder / "other"), str(tmp_path / "bare")]
    with pytest.raises(ModelError, match=r"tuned models must be usable, one at least; got 'none of 2'\.") as caught:
        sweep_study(ALIGNED, models, limit=2)
    said = str(caught.value)
    assert f"other: tuned model must be weights on a line from the base; got '{folder / 'other'}'. (" in said
    assert f"bare: model must be a folder with a checkpoint; got '{tmp_path / 'bare'}'" in said
    shutil.copytree(tmp_path / "bare", tmp_path / "more")
    with pytest.raises(ModelError, match=r"got 'none of 2'\. .*bare: .*more: "):
        screen(ScreenRequest(spec=EngineSpec(model=ALIGNED), tuned=(str(tmp_path / "bare"), str(tmp_path / "more"))))
    with pytest.raises(ModelError, match=r"got 'none of 2'\. bare: .*more: "):
        audit_fleet(ALIGNED, [str(tmp_path / "bare"), str(tmp_path / "more")], out=tmp_path / "out", limit=2)


@pytest.mark.slow
def test_a_model_given_twice_is_asked_once_and_the_weights_of_the_base_are_told(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same, small = str(folder / "same"), {"limit": 1, "max_new_tokens": 2}
    swept = api.sweep_models(ALIGNED, [same, same], out=tmp_path / "s", **small)
    assert [model.name for model in swept.sweep.tables[0].models] == ["same"]
    assert f"{same} is given 2 times and asked once." in caplog.messages
    assert "same has the same weights as the base." in caplog.messages


def test_the_origin_is_asked_once_and_the_folder_is_a_study(swept: Swept) -> None:
    with StudyStore.open(swept.folder) as store, store.reading() as db:
        points = dict(db.execute("SELECT point, COUNT(*) FROM responses GROUP BY point").fetchall())
    assert sorted(points.values()) == [10, 10, 10]
    assert len(api.read_study(swept.folder).panels) == 2
    assert json.loads((swept.folder / "models.json").read_text()) == json.loads(json.dumps(sweep_document(swept.sweep)))


def test_its_tables_are_derived_anew_from_the_rows(swept: Swept, tmp_path: Path) -> None:
    folder, derived = Path(shutil.copytree(swept.folder, tmp_path / "s")), list[str]()
    assert api.verify_study(folder, recompute=True, derived=derived.append) == []
    assert derived == ["models.json"]
    checked = api.verify_pack(api.pack_results(folder, tmp_path / "s.zip").path, recompute=True).checked
    assert (checked.found, checked.derived) == ((), ("models.json",))
    document = json.loads((folder / "models.json").read_text())
    assert document["notes"][0].startswith("Language is at most ")
    told, document["notes"] = document["notes"], []  # as an earlier release wrote them
    (folder / "models.json").write_text(json.dumps(document))
    seal(folder)
    assert api.verify_study(folder, recompute=True) == []
    document["notes"] = ["All is well.", *told]
    document["tables"][0]["models"][1]["told"] = "lower"
    (folder / "models.json").write_text(json.dumps(document))
    seal(folder)
    found, length, *_ = api.verify_study(folder, recompute=True)
    assert found.startswith('models.json: tables[0].models[1].told is "lower", the rows give "not told apart"')
    assert length.startswith(f"models.json: notes has {len(told) + 1} entries, the rows give {len(told)}")


def test_the_page_says_level_and_what_it_does_not_show_and_hostile_names_are_data(swept: Swept) -> None:
    document = sweep_document(swept.sweep)
    hostile = "<img src=x onerror=alert(1)>"
    document["tables"][0]["models"][0]["name"] = hostile
    page = render_sweep(document)
    assert "at most 5 % over all comparisons" in page
    assert "does not show which of two tuned models is the worse" in page
    assert hostile not in page


def test_a_sweep_has_a_screen_a_frame_and_axes(swept: Swept) -> None:
    from matplotlib import pyplot

    (table,) = swept.sweep.tables
    lines = repr(swept).splitlines()
    assert lines[0] == f"Models tuned from {ALIGNED}"
    assert "of 2 tuned models of world:guild/aligned 1 is above its ASR (broken), 0 are below it" in lines[1]
    assert lines[2].split(maxsplit=2) == ["(before", "tuning)", table.base.words()]
    assert (lines[3].split()[0], lines[3].endswith("higher than the base")) == ("broken", True)
    assert table.models[0].rate.words() in lines[3]
    assert lines[-2:] == ["not in it: other", f"report: {swept.report}"]
    frame = swept.to_frame().set_index("name")
    assert list(frame.index) == ["broken", "same"]
    assert frame.loc["broken", "rate_value"] == table.models[0].rate.value
    assert (frame.loc["same", "told"], frame.loc["same", "judge"]) == ("not told apart", table.judge)
    axes = swept.plot(title="A", size=(3, 2), xlim=(10, 90), labels="de")
    assert (axes.get_title(loc="left"), axes.get_xlim()) == ("A", (10, 90))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["broken", "same"]
    named = {text.get_text() for text in axes.get_legend().get_texts()}
    assert named == {"das Grundmodell, mit seinem Intervall", "höher als das Grundmodell", "nicht zu unterscheiden"}
    pyplot.close("all")
    with pytest.raises(UsageError, match="table must be the number of one: 0"):
        swept.plot(table=1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"axes": ["random"]}, "axes must be left out of a sweep"),
        ({"only": "*.mlp.*"}, "only must be left out of a sweep"),  # a part of a model would be told as the model
        ({"points": "auto"}, "points must be left out of a sweep"),
        ({"budget": 9}, "budget must be left out of a sweep"),
        ({"fast": True}, "fast must be left out of a sweep"),
        ({"range": "0:0.5:3"}, "range must be one that holds 1"),
    ],
)
def test_what_does_not_fit_a_sweep_is_refused(
    folder: Path, tmp_path: Path, flags: dict[str, object], words: str
) -> None:
    with pytest.raises(StudyError, match=words):
        api.sweep_models(ALIGNED, [str(folder / "same")], out=tmp_path / "s", **flags)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "s").exists()


def test_a_fleet_of_nothing_that_fits_ends_with_2(folder: Path, tmp_path: Path) -> None:
    for given, words in (
        (["--fleet", str(tmp_path)], "a folder of folders of models"),
        ([], "TUNED or --fleet must be given"),
        ([str(folder / "other")], "weights on a line from the base"),
    ):
        done = safebasin("sweep", ALIGNED, *given, "-o", str(tmp_path / "out"))
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_very_many_responses_want_to_hear_yes(folder: Path, tmp_path: Path) -> None:
    given = ("--range", "0:1:1001", "--limit", "60", "-o", str(tmp_path / "out"))
    done = safebasin("sweep", ALIGNED, str(folder / "same"), *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert "at most 50,000 new responses; got 60,060 (1001 points × 60 prompts × 1 system prompts)" in done.stderr
    assert "Pass --yes to run it all the same, or take a smaller --range or --limit, or fewer models." in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_adapters_in_one_run_and_again_nothing_is_asked(tmp_path: Path) -> None:
    for number in range(100):
        make_lora(tmp_path / "fleet" / f"step-{number}", base=WORLD.checkpoint("aligned"), seed=number)
    given = ("sweep", ALIGNED, "--fleet", str(tmp_path / "fleet"), "--limit", "6", "--max-new-tokens", "16")
    done = safebasin(*given, "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out" / "models.json").read_text())["tables"][0]["models"]) == 100
    again = safebasin(*given, "-o", str(tmp_path / "out"))
    assert again.returncode == 0, again.stderr
    assert "generate" not in again.stderr
