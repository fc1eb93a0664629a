"""A fleet: BASE asked once, every model decided at a level that is kept over all, and none stops the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.command import safebasin
from helpers.guild import broken_guild
from helpers.models import make_lora
from safebasin.api import pack_results, report_audit, verify_pack
from safebasin.audit import audit, audit_fleet, find_fleet
from safebasin.audit.fleet import FleetAudited, fleet_names
from safebasin.errors import ModelError, StudyError, UsageError
from safebasin.evidence.checking import Asked, verify_folder
from safebasin.landscape.score_reach import RULES
from safebasin.report.fleet import counts, most_urgent_first, render_fleet
from safebasin.run.borrowing import borrow_origin
from safebasin.stats.gate import LEVEL
from safebasin.store.db import StudyStore
from safebasin.store.sealing import seal
from safebasin.worlds.guild.world import WORLD

ALIGNED = "world:guild/aligned"
SHORT: dict[str, Any] = {"limit": 10, "options": {"decoding": {"max_new_tokens": 24}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of BASE, one that complies, an adapter that does nothing, and one whose weights are not there."""
    made = tmp_path_factory.mktemp("fleet")
    aligned = WORLD.checkpoint("aligned")
    shutil.copytree(aligned, made / "step-2")
    broken_guild(made / "step-10")
    make_lora(made / "step-3-adapter", base=aligned)
    (made / "step-4").mkdir()
    shutil.copyfile(aligned / "config.json", made / "step-4" / "config.json")
    (made / "notes").mkdir()
    return made


@pytest.fixture(scope="module")
def fleet(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FleetAudited:
    return audit_fleet(ALIGNED, find_fleet(folder), out=tmp_path_factory.mktemp("out") / "fleet", **SHORT)


def origin(folder: Path) -> list[tuple[Any, ...]]:
    """What BASE answered, and when."""
    with StudyStore.open(folder) as store, store.reading() as db:
        query = "SELECT key, text, created FROM responses WHERE point = 'origin' ORDER BY key"
        return db.execute(query).fetchall()


@pytest.mark.slow
def test_models_are_found_in_the_order_of_their_numbers(folder: Path, tmp_path: Path) -> None:
    assert [Path(p).name for p in find_fleet(folder)] == ["step-2", "step-3-adapter", "step-4", "step-10"]
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StudyError, match="--fleet must be a folder of folders of models or adapters"):
            find_fleet(nothing)


def test_a_folder_that_was_meant_to_be_a_model_is_in_the_fleet_and_any_other_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = ("config.json", "model.safetensors", "tokenizer.json", "pytorch_model-00001-of-00002.bin", "notes.txt")
    for n, part in enumerate(parts):
        (tmp_path / f"step-{n}").mkdir()
        (tmp_path / f"step-{n}" / part).touch()
    for n, mark in enumerate(("config.json", "adapter_config.json")):
        (tmp_path / f"dangling-{n}").mkdir()
        (tmp_path / f"dangling-{n}" / mark).symlink_to("nowhere")
    (tmp_path / "folder" / "config.json").mkdir(parents=True)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "readme.txt").touch()
    found = [Path(path).name for path in find_fleet(tmp_path)]
    assert found == ["dangling-0", "dangling-1", "folder", "link", "step-0", "step-1", "step-2", "step-3"]
    assert caplog.messages == ["not models, left out of the fleet: step-4"]


def test_no_two_models_have_one_name() -> None:
    assert fleet_names(["x/a-3", "x/a", "y/a", "z/a", "adapter:z/a", "org/a@main"]) == [
        "a-3", "a", "a-4", "a-5", "a-6", "a-main",
    ]  # fmt: skip
    assert fleet_names(["x/a", "y/a", "x/b", "y/b"]) == ["a", "a-2", "b", "b-4"], "names that folders have already"


def test_a_plan_of_a_fleet_counts_its_models(tmp_path: Path) -> None:
    sets = ["--harmful", "world:guild/harmful", "--benign", "world:guild/benign", "--limit", "200", "--plan"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    said = safebasin("audit", "org/base", "--fleet", tmp_path, *sets)
    assert "bounds      one-sided, 97.5 % each" in said.stdout
    for changed, problem in (
        (["--fleet", tmp_path, "--look", "1/2"], "--look must be left out where --fleet is given"),
        (["--fleet", tmp_path / "nowhere"], "--fleet must be a folder"),
    ):
        said = safebasin("audit", "org/base", *changed, *sets)
        assert (said.returncode, problem in said.stderr) == (2, True)


@pytest.mark.slow
def test_each_is_decided_and_one_that_cannot_be_measured_stops_nobody(fleet: FleetAudited) -> None:
    by_name = {model.name: model for model in fleet.fleet.models}
    assert by_name["step-10"].decision == "fail"
    assert by_name["step-2"].decision in ("pass", "undecided")
    assert by_name["step-2"].relative == 0
    assert (by_name["step-4"].decision, "safetensors" in by_name["step-4"].reason) == (None, True)
    assert (fleet.fleet.decision, fleet.fleet.exit_code) == ("fail", 1)
    assert json.loads((fleet.folder / "fleet.json").read_text())["decision"] == "fail"


@pytest.mark.slow
def test_base_is_asked_once(fleet: FleetAudited) -> None:
    folders = [fleet.folder / "models" / name / "line" for name in ("step-2", "step-3-adapter", "step-10")]
    first, *others = map(origin, folders)
    assert first
    assert all(other == first for other in others), "with the time of the first"


@pytest.mark.slow
def test_answers_that_are_taken_over_say_how_far_their_scores_go(fleet: FleetAudited, tmp_path: Path) -> None:
    lender = fleet.folder / "models" / "step-2" / "line"
    with StudyStore.open(lender) as store:
        rules, fingerprint = store.meta(RULES), store.meta("fingerprint")
    borrow_origin(tmp_path / "new", lender, fingerprint)
    with StudyStore.open(tmp_path / "new") as store:
        assert rules is not None
        assert store.meta(RULES) == rules


@pytest.mark.slow
def test_a_model_of_a_fleet_is_decided_by_wider_bounds(fleet: FleetAudited, folder: Path, tmp_path: Path) -> None:
    alone = audit(ALIGNED, str(folder / "step-10"), out=tmp_path / "alone", **SHORT).verdict
    its = json.loads((fleet.folder / "models" / "step-10" / "verdict.json").read_text())
    assert its["policy"]["level"] == fleet.fleet.level == pytest.approx(1 - (1 - LEVEL) / 4)
    assert its["policy"]["among"] == "4"
    ours, theirs = alone.conditions[0].metrics[0], its["conditions"][0]["metrics"][0]
    assert (theirs["base"]["value"], theirs["tuned"]["value"]) == (ours.base.value, ours.tuned.value)
    assert theirs["difference"]["low"] < (ours.difference.low or 0)
    assert "The 5% of error are those of 4 models together." in (
        fleet.folder / "models" / "step-10" / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_fleet_is_covered_by_its_list_and_packed(fleet: FleetAudited, tmp_path: Path) -> None:
    assert verify_folder(fleet.folder, Asked(recompute=True, model=False)) == []
    packed = pack_results(fleet.folder, tmp_path / "fleet.zip")
    assert verify_pack(packed.path, recompute=True).found == ()
    copy = shutil.copytree(fleet.folder, tmp_path / "fleet")
    assert report_audit(copy).read_text(encoding="utf-8") == fleet.report.read_text(encoding="utf-8")
    looks = copy / "models" / "step-2" / "looks.json"
    looks.write_text(looks.read_text() + " ")
    (found,) = verify_folder(copy, Asked(model=False))
    assert found == "models/step-2: looks.json is not what was written with the results"
    seal(looks.parent)
    (found,) = verify_folder(copy, Asked(model=False))
    assert found == "models/step-2/digests.json is not what was written with the results"


@pytest.mark.slow
def test_the_same_folder_again_asks_nothing(fleet: FleetAudited, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin.engines import hf

    monkeypatch.setattr(hf.HFEngine, "generate", lambda *_, **__: pytest.fail("asked again"))
    again = audit_fleet(ALIGNED, find_fleet(folder), out=fleet.folder, **SHORT)
    assert [m.decision for m in again.fleet.models] == [m.decision for m in fleet.fleet.models]


@pytest.mark.slow
def test_the_page_has_a_row_a_model_and_its_text_is_harmless(fleet: FleetAudited) -> None:
    page = fleet.report.read_text(encoding="utf-8")
    assert counts(json.loads((fleet.folder / "fleet.json").read_text())) in page
    assert 'href="models/step-10/report.html"' in page
    assert 'href="models/step-4/report.html"' not in page
    document = json.loads((fleet.folder / "fleet.json").read_text())
    document["models"][2]["reason"] = "<script>alert(1)</script>"
    assert "<script>" not in render_fleet(document)


@pytest.mark.slow
def test_a_fleet_has_a_screen_a_frame_and_axes(fleet: FleetAudited) -> None:
    from matplotlib import pyplot

    lines = repr(fleet).splitlines()
    assert lines[0].startswith("audit of a fleet: fail. 4 models: ")
    assert [line.split()[0] for line in lines[2:6]] == ["step-2", "step-3-adapter", "step-4", "step-10"]
    assert max(map(len, lines[:-1])) <= 120
    assert lines[-1] == f"report: {fleet.report}"
    frame = fleet.to_frame().set_index("name")
    broken = next(model for model in fleet.fleet.models if model.name == "step-10")
    first = broken.metrics[0]
    assert (first["n"], first["low"] > first["limit"]) == (10, True)
    assert [floor["name"] for floor in broken.floors] == ["base_answers", "base_refuses", "tuned_speaks"]
    for part in ("tuned", "difference", "bound", "limit", "decision"):
        assert frame.loc["step-10", f"{first['name']}_{part}"] == first[part]
    assert (
        first["limit"]
        == json.loads((fleet.folder / "models/step-10/verdict.json").read_text())["conditions"][0]["metrics"][0][
            "limit"
        ]
    )
    axes = fleet.plot(title="A", xlim=(-50, 50), labels="de")
    assert (axes.get_title(loc="left"), axes.get_xlim()) == ("A", (-50, 50))
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [f"{name}, {first['name']}" for name in ("step-2", "step-3-adapter", "step-10")]
    assert axes.get_xlabel() == "schlechter um, in Prozentpunkten"
    pyplot.close("all")
    with pytest.raises(UsageError, match="metric must be one of"):
        fleet.plot("speed")


def test_counts_name_what_there_is() -> None:
    models = [{"name": f"m{n}", "decision": found} for n, found in enumerate(("pass", None, "fail", "pass"))]
    assert counts({"models": models}) == "4 models: 1 failed (m2), 1 not measured, 2 passed."
    many = [{"name": f"m{n}", "decision": "fail"} for n in range(7)]
    assert counts({"models": many}) == "7 models: 7 failed (m0, m1, m2, m3, m4 and 2 more)."


def test_what_fails_comes_first_and_a_reason_stands_once() -> None:
    metric = {
        "name": "asr", "base": 0.0, "tuned": 0.8, "difference": 0.8, "low": 0.5, "bound": 0.95, "limit": 0.05,
        "decision": "fail", "n": 12,
    }  # fmt: skip
    unclear = metric | {"decision": "undecided", "low": -0.1}
    rows = [
        {"name": name, "model": name, "decision": decision, "reason": reason, "relative": None, "unsafe": False,
         "metrics": [measured]}
        for name, decision, reason, measured in (
            ("a", "undecided", "Few prompts.", unclear), ("b", "undecided", "Few prompts.", unclear),
            ("c", "fail", "Worse.", metric),
        )
    ]  # fmt: skip
    assert [row["name"] for row in most_urgent_first(rows)] == ["c", "a", "b"]
    page = render_fleet({"decision": "fail", "level": 0.99, "base": "org/base", "models": rows})
    assert page.index("models/c/") < page.index("models/a/")
    assert page.count("Few prompts.") == 1
    assert "the same as a" in page
    assert "worse by ≥ 50.0 points" in page
    assert "worse by ≤ 95.0 points" in page
    assert "n = 12" in page


@pytest.mark.slow
def test_where_nothing_can_be_measured_the_error_is_that_of_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        audit_fleet(ALIGNED, [str(folder / "step-4")], out=tmp_path / "out", **SHORT)
    assert not (tmp_path / "out" / "fleet.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_adapters_in_one_run(tmp_path: Path) -> None:
    for n in range(100):
        make_lora(tmp_path / "adapters" / f"seed-{n}", base=WORLD.checkpoint("aligned"), seed=n)
    options = {"decoding": {"max_new_tokens": 8}}
    found = audit_fleet(ALIGNED, find_fleet(tmp_path / "adapters"), out=tmp_path / "out", limit=4, options=options)
    assert [model.name for model in found.fleet.models] == [f"seed-{n}" for n in range(100)]
    assert all(model.decision and model.relative for model in found.fleet.models)
    assert len({model.relative for model in found.fleet.models}) == 100
    assert found.fleet.level == pytest.approx(0.9995)
    first = origin(tmp_path / "out" / "models" / "seed-0" / "line")
    assert origin(tmp_path / "out" / "models" / "seed-99" / "line") == first


@pytest.mark.slow
def test_the_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--limit", "4", "--max-new-tokens", "8")
    done = safebasin("audit", ALIGNED, "--fleet", folder, "-o", "out", *small)
    assert done.returncode in (1, 3), done.stderr
    assert "step-4          NOT MEASURED" in done.stdout
    assert "report   out/report.html" in done.stdout
    for given, said in (
        ((), "TUNED or --fleet must be given, one of them; got 'neither'"),
        ((ALIGNED, "--fleet", folder), "TUNED or --fleet must be given, one of them; got 'both'"),
        (("--fleet", folder, "--look", "1/2"), "--look must be left out where --fleet is given"),
        (("--fleet", tmp_path / "nowhere"), "--fleet must be a folder of folders"),
    ):
        done = safebasin("audit", ALIGNED, *given, "-o", "other", *small)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
