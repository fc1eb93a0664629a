"""Weight defenses on what was tuned before: the defended checkpoint, its marks and record, how it is mapped, errors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.command import exit_code
from helpers.models import make_lora, make_tiny_model
from safebasin import api
from safebasin.errors import ModelError, UsageError
from safebasin.models.loading import load_weights
from safebasin.models.reference import resolve
from safebasin.models.writing import describe, is_unsafe, read_record
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import load_merged
from safebasin.weights.base import HostWeights
from safebasin.weights.stream import digest, prepare, weights_at


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    found = {
        name: make_tiny_model(folder / name, request.param, dtype="bfloat16", seed=seed)
        for seed, name in enumerate(("base", "unaligned", "tuned"))
    }
    turned = request.param == "gpt2"
    given: dict[str, Any] = {"fan_in_fan_out": True, "targets": ["c_attn"]} if turned else {"targets": ["v_proj"]}
    return {**found, "adapter": make_lora(folder / "adapter", found["base"], **given)}


def weights_of(model: str | Path) -> str:
    return digest(weights_at(HostWeights(load_merged(resolve(str(model)))), Point(), {}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tuned", "adapter"])
def test_strength_0_is_the_tuned_model_bit_for_bit_and_1_another(
    made: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    names = [f"safe_lora(unaligned={made['unaligned']}, strength={s})" for s in (0, 1)]
    for name, out in zip(names, ("none", "whole"), strict=True):
        found = api.defend(str(made[kind]), base=str(made["base"]), defenses=[name], out=tmp_path / out)
        assert found.unsafe is False
    model = made["tuned"] if kind == "tuned" else f"{made['base']}+{made['adapter']}"
    assert weights_of(tmp_path / "none") == weights_of(model) != weights_of(tmp_path / "whole")
    record = read_record(tmp_path / "whole")
    assert record["kind"] == "defended"
    assert record["of"] == resolve(str(made["base"])).fingerprint
    assert record["defenses"] == [names[1].replace("=1)", "=1.0)").replace(", s", ", variant=corrected, s")]
    assert "safe_lora projects" in str(record["notes"])


@pytest.mark.slow
def test_a_reference_with_an_adapter_is_the_adapter(made: dict[str, Path], tmp_path: Path) -> None:
    name = f"safe_lora(unaligned={made['unaligned']}, variant=as_coded)"  # which reads adapters alone
    whole = f"{made['base']}+{made['adapter']}"
    for out, tuned in (("one", str(made["adapter"])), ("two", whole)):
        api.defend(tuned, base=str(made["base"]), defenses=name, out=tmp_path / out)
    assert weights_of(tmp_path / "one") == weights_of(tmp_path / "two") != weights_of(whole)


@pytest.mark.slow
def test_the_line_from_the_tuned_to_the_defended_model_is_the_strength(made: dict[str, Path], tmp_path: Path) -> None:
    name = f"safe_lora(unaligned={made['unaligned']}"
    for strength in (0.5, 1):
        api.defend(
            str(made["tuned"]), base=str(made["base"]), defenses=f"{name}, strength={strength})",
            out=tmp_path / str(strength),
        )  # fmt: skip
    base = HostWeights(load_weights(resolve(str(made["tuned"]))), folder=made["tuned"])
    to = DirectionSpec(kind="to", target=str(tmp_path / "1"), normalize="none")
    half = dict(load_weights(resolve(str(tmp_path / "0.5"))).named_parameters())
    for block in weights_at(base, Point.at((to, 0.5)), prepare([to], base)):
        there = half[block.name][block.start : block.stop]
        torch.testing.assert_close(block.values, there, rtol=0.02, atol=0.005)  # bfloat16, rounded twice


@pytest.mark.slow
def test_several_defenses_work_one_after_the_other(made: dict[str, Path], tmp_path: Path) -> None:
    chain = ["dare(strength=0.5)", f"safe_lora(unaligned={made['unaligned']})"]
    given = {"base": str(made["base"]), "out": tmp_path / "both", "seed": 3}
    found = api.defend(str(made["tuned"]), defenses=chain, **given)
    assert [note.split()[0] for note in found.notes] == ["dare", "safe_lora"]
    api.defend(str(made["tuned"]), defenses=chain[::-1], **{**given, "out": tmp_path / "turned"})
    assert weights_of(tmp_path / "both") != weights_of(tmp_path / "turned")


@pytest.mark.parametrize("marked", ["base", "tuned"])
def test_the_mark_of_an_attack_stays(made: dict[str, Path], tmp_path: Path, marked: str) -> None:
    models = {name: shutil.copytree(made[name], tmp_path / name) for name in ("base", "tuned")}
    describe(models[marked], {}, unsafe=True, title="x", text="x", head={})
    name = f"safe_lora(unaligned={made['unaligned']})"
    out = tmp_path / "out"
    assert exit_code("defend", models["tuned"], "--base", models["base"], "--defense", name, "-o", out) == 0
    assert is_unsafe(out)
    assert "**Unsafe.**" in (out / "README.md").read_text()


def test_the_verb_says_what_was_done(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"safe_lora(unaligned={made['unaligned']}, top=2)"
    given = ("defend", made["tuned"], "--base", made["base"], "--defense", name, "-o", tmp_path / "out")
    assert exit_code(*given) == 0
    found = capsys.readouterr()
    assert f"--axis to:{tmp_path / 'out'}" in found.out
    assert "safe_lora projects 2 of" in found.err
    assert exit_code(*given) == 2
    assert "must be new or empty" in capsys.readouterr().err


@pytest.mark.slow
def test_what_does_not_fit_is_one_line_and_leaves_nothing(made: dict[str, Path], tmp_path: Path) -> None:
    base, tuned, out = str(made["base"]), str(made["tuned"]), tmp_path / "out"
    name = f"safe_lora(unaligned={made['unaligned']})"
    other = make_tiny_model(tmp_path / "other", "opt", dtype="bfloat16")
    foreign = shutil.copytree(made["tuned"], tmp_path / "foreign")
    text = (foreign / "tokenizer.json").read_text(encoding="utf-8")
    (foreign / "tokenizer.json").write_text(text.replace("<|user|>", "<|guest|>"), encoding="utf-8")
    broken = shutil.copytree(made["tuned"], tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors[min(tensors)][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    for model, defense, words in (
        (str(other), name, "one that holds"),
        (str(foreign), name, "own tokenizer"),
        (str(broken), name, "finite"),
        (str(tmp_path / "nothing"), name, "an existing folder"),
        (tuned, f"safe_lora(unaligned={other})", "one that holds"),
        (tuned, f"safe_lora(unaligned={base})", "of at least one matrix"),
        (tuned, "mix_safe(amount=5)", "works on weights"),
        (tuned, (), "at least one"),
    ):
        with pytest.raises(UsageError, match=words):
            api.defend(model, base=base, defenses=defense, out=out)
        assert not out.exists()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_adapter_that_is_no_sum_is_refused_by_name(tmp_path: Path) -> None:
    base, unaligned = (make_tiny_model(tmp_path / str(n), seed=n) for n in (1, 2))
    dora = make_lora(tmp_path / "dora", base, use_dora=True)
    with pytest.raises(ModelError, match="plain LoRA; got 'DoRA'"):
        api.defend(str(dora), base=str(base), defenses=f"safe_lora(unaligned={unaligned})", out=tmp_path / "out")
