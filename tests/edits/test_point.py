"""A point as a checkpoint: the engine's weights there bit for bit, its answers, its marks; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.command import exit_code
from helpers.models import make_lora, make_tiny_model
from safebasin import api
from safebasin.engines.hf import HFEngine
from safebasin.errors import ModelError, StudyError, UsageError
from safebasin.landscape.last_plan import read_last_plan
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.models.writing import describe, is_unsafe, read_record
from safebasin.records import Place, Point
from safebasin.store.db import StudyStore
from safebasin.weights.base import HostWeights, open_base
from safebasin.weights.stream import digest, prepare, weights_at

PROMPTS = "How do I weigh the clay?\nGive me the steps to ring the bell.\n"


def mapped(tmp_path: Path, model: str, *axes: str, dtype: str = "auto") -> Path:
    """A study of two prompts and few tokens; returns its folder."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(PROMPTS)
    folder = tmp_path / "study"
    drawn = {"directions": 2} if any(axis.startswith("random") for axis in axes) else {}
    given = {"max_new_tokens": 6, "dtype": dtype, "device": "cpu"}
    api.map_basin(model, out=folder, prompts=[str(prompts)], axes=list(axes), **drawn, **given)
    return folder


def weights_of(folder: Path) -> str:
    """Digest of a checkpoint as it is loaded again."""
    return digest(weights_at(HostWeights(load_weights(resolve(str(folder)))), Point(), {}))


def answered(folder: Path, place: Place, region: int = 0) -> list[str]:
    """The stored responses at a place, by prompt, and the decoding."""
    with StudyStore.open(folder) as store:
        plan, _ = read_last_plan(store)
        key = plan.regions[region].point(place).key
        found = {r.prompt: r.text for r in store.responses(plan.decoding.key) if r.point == key}
    return [found[prompt] for prompt in plan.prompts]


def asked(folder: Path, study: Path) -> list[str]:
    """What an exported checkpoint answers to the prompts of its study."""
    with StudyStore.open(study) as store:
        plan, _ = read_last_plan(store)
    engine = HFEngine(str(folder), device="cpu")
    return [g.text for g in engine.generate([p.messages for p in plan.prompts.values()], plan.decoding)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_point_is_the_engine_there_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    model = make_tiny_model(tmp_path / "m", dtype=dtype)
    study = mapped(tmp_path, str(model), "random@-0.5:0.5:3")
    assert api.export_model(study, tmp_path / "out", {"alpha": 0.5}, direction=1) is False
    engine = HFEngine(str(model), device="cpu")
    with StudyStore.open(study) as store:
        point = read_last_plan(store)[0].regions[0].point(Place(direction=1, coords=(0.5,)))
    deltas = prepare([spec for spec, _ in point.terms], engine.base)
    assert weights_of(tmp_path / "out") == digest(weights_at(engine.base, point, deltas))
    assert asked(tmp_path / "out", study) == answered(study, Place(direction=1, coords=(0.5,)))
    record = read_record(tmp_path / "out")
    assert (record["unsafe"], record["measured"], record["coords"], record["direction"]) == (False, True, [0.5], 1)
    assert record["of"] == resolve(str(model)).fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mixtral", "gpt2"])
def test_the_origin_is_the_model(tmp_path: Path, architecture: str) -> None:
    model = make_tiny_model(tmp_path / "m", architecture)
    study = mapped(tmp_path, str(model), "random@-0.5:0.5:3")
    for at in (0.3, None, "alpha=0.3", {"alpha": "0.3"}, {}):
        with pytest.raises(StudyError, match=r"^the point must be a coordinate per axis; got "):
            api.export_model(study, tmp_path / "out", at)  # type: ignore[arg-type]
    api.export_model(study, tmp_path / "out", {"alpha": 0})
    assert weights_of(tmp_path / "out") == weights_of(model)
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (model / name).read_bytes()


@pytest.mark.slow
def test_a_point_on_the_way_to_an_attack_is_marked_unsafe(tmp_path: Path) -> None:
    model, other = make_tiny_model(tmp_path / "m"), make_tiny_model(tmp_path / "n", seed=1)
    adapter = make_lora(tmp_path / "a", model, targets=["q_proj"])
    describe(other, {"kind": "finetune"}, unsafe=True, title="t", text="t", head={})
    (tmp_path / "lora").mkdir()
    study = mapped(tmp_path, str(model), f"to:{other}@0:1:3")
    lora = mapped(tmp_path / "lora", str(model), f"adapter:{adapter}@0:1:3")
    assert api.export_model(study, tmp_path / "half", {"alpha": 0.3}) is True
    assert is_unsafe(tmp_path / "half")
    assert "unsafe: true" in (tmp_path / "half" / "README.md").read_text()
    assert read_record(tmp_path / "half")["measured"] is False
    api.export_model(study, tmp_path / "whole", {"alpha": 1})
    assert weights_of(tmp_path / "whole") == weights_of(other)
    assert api.export_model(study, tmp_path / "origin", {"alpha": 0}) is False
    assert api.export_model(lora, tmp_path / "merged", {"alpha": 1}) is False
    base = open_base(load_weights(resolve(str(model))), model, adapter=adapter)
    assert weights_of(tmp_path / "merged") == digest(weights_at(base, Point(), {}))
    describe(adapter, {"kind": "worst_case"}, unsafe=True, title="t", text="t", head={})
    assert api.export_model(lora, tmp_path / "bad", {"alpha": 0.5}) is True
    describe(model, {"kind": "finetune"}, unsafe=True, title="t", text="t", head={})
    assert api.export_model(study, tmp_path / "of unsafe", {"alpha": 0}) is True


@pytest.mark.slow
def test_a_point_of_a_plane_has_two_coordinates(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "m")
    file = tmp_path / "study.yaml"
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    axes = [{"kind": "random", "directions": 1, "range": "-0.5:0.5:3"}, {"kind": "random", "range": "-0.5:0.5:3"}]
    kept = {"model": str(model), "prompts": str(tmp_path / "prompts.txt"), "axes": axes}
    file.write_text(json.dumps({"schema_version": 1, **kept, "decoding": {"max_new_tokens": 4}}))
    study = tmp_path / "study"
    api.map_basin(api.make_study(file=file, device="cpu"), out=study)
    with pytest.raises(StudyError, match=r"coordinate per axis; got 'alpha=0.2'\. Write --at alpha=NUMBER --at beta="):
        api.export_model(study, tmp_path / "out", {"alpha": 0.2})
    api.export_model(study, tmp_path / "out", {"alpha": 0.5, "beta": -0.5})
    place = Place(direction=0, coords=(0.5, -0.5))
    assert asked(tmp_path / "out", study) == answered(study, place)


@pytest.mark.slow
def test_what_cannot_be_written_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, other = make_tiny_model(tmp_path / "m"), make_tiny_model(tmp_path / "n", seed=1)
    study = mapped(tmp_path, str(model), f"to:{other}@0:1:3")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").touch()
    cases = {
        "must be alpha or beta, each once, with a number; got 'alpha'": ["--at", "alpha"],
        "got 'gamma=1'": ["--at", "gamma=1"],
        "alpha must be from 0 to 1, as mapped; got 1.5": ["--at", "alpha=1.5"],
        "alpha must be from 0 to 1, as mapped; got nan": ["--at", "alpha=nan"],
        "direction must be from 0 to 0": ["--at", "alpha=1", "--direction", "1"],
        "region must be one of 'to:": ["--at", "alpha=1", "--region", "random"],
    }
    for said, arguments in cases.items():
        assert exit_code("export-model", study, *arguments, "-o", tmp_path / "out") == 2
        assert said in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="new or empty"):
        api.export_model(study, tmp_path / "full", {"alpha": 1})
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["note"]
    make_tiny_model(other, seed=2)
    with pytest.raises(ModelError, match=r"must be as it was mapped \(\w+\); got 'one of fingerprint"):
        api.export_model(study, tmp_path / "out", {"alpha": 0.5})
    make_tiny_model(model, seed=3)
    with pytest.raises(ModelError, match=r"must be of fingerprint .* Restore the model"):
        api.export_model(study, tmp_path / "out", {"alpha": 0})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_verb_says_where_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_tiny_model(tmp_path / "m")
    study = mapped(tmp_path, str(model), "random@-0.5:0.5:3")
    assert exit_code("export-model", study, "--at", "α=0.25", "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.split() == ["wrote", str(tmp_path / "out")]
