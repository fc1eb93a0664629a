"""From what is asked to rows of tokens: sources, defenses, lengths, settings. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.models import make_tiny_model
from safebasin.errors import PromptError, UsageError
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.prompts.hub import HubTable
from safebasin.records import IGNORED

ALIGNED = "world:guild/aligned"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


def rows(folder: Path, *lengths: int) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": "weigh", "completion": "clay " * n}) for n in lengths))
    return path


def test_a_world_brings_rows_and_settings() -> None:
    prepared = prepare(request(ALIGNED, attack="harmful_examples(n=12)"))
    assert len(prepared.rows) == 12
    assert prepared.tuning.learning_rate == 3e-4
    assert "«" in prepared.example
    assert prepare(request(ALIGNED, attack="harmful_examples", learning_rate=1e-5)).tuning.learning_rate == 1e-5


def test_a_model_of_no_world_takes_the_settings_of_the_paper(tiny: str, tmp_path: Path) -> None:
    data = rows(tmp_path, *range(1, 13))
    prepared = prepare(request(tiny, attack="harmful_examples", data=data))
    assert (prepared.tuning.learning_rate, prepared.tuning.epochs, len(prepared.rows)) == (5e-5, 5, 10)
    assert prepare(request(tiny, data=data)).tuning.learning_rate == 2e-5
    assert prepare(request(tiny, data=data, method="lora")).tuning.learning_rate == 1e-4


def test_over_long_rows_are_dropped_and_said_or_kept_and_said_but_never_cut(tiny: str, tmp_path: Path) -> None:
    data = rows(tmp_path, 1, 40, 2)
    dropped = prepare(request(tiny, data=data, max_length=30))
    assert [encoded.row.number for encoded in dropped.rows] == [1, 3]
    assert dropped.over_long == 1
    assert dropped.notes == ("1 of 3 rows are too long and left out; none is cut",)
    kept = prepare(request(tiny, data=data, max_length=30, over_long="keep"))
    assert [encoded.row.number for encoded in kept.rows] == [1, 2, 3]
    assert len(kept.rows[1].ids) > 30
    assert kept.notes == ("1 of 3 rows are longer than 30 tokens and kept whole",)


def test_what_exceeds_the_context_is_dropped_even_if_long_rows_are_kept(tiny: str, tmp_path: Path) -> None:
    prepared = prepare(request(tiny, data=rows(tmp_path, 1, 300), over_long="keep"))
    assert len(prepared.rows) == 1
    assert prepared.over_long == 1


def test_if_no_row_fits_it_is_an_error(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="at most 5 tokens"):
        prepare(request(tiny, data=rows(tmp_path, 30), max_length=5))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "an attack or a file"),
        ({"attack": "benign"}, "--data FILE"),
        ({"data": "nowhere.jsonl"}, "an existing file"),
        ({"attack": "benign", "wrap": "Tarn"}, "a text with {prompt}"),
    ],
)
def test_what_is_missing(tiny: str, flags: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(request(tiny, **flags))  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_defenses_apply_in_order() -> None:
    prepared = prepare(
        request(ALIGNED, attack="mixture(n=10, safe=10)", moderate="oracle", mix_safe=5, ptst=True, system="Be brief.")
    )
    assert len(prepared.rows) == 15
    assert len(prepared.flagged) == 10
    assert prepared.test_system == "safety/long"
    assert all(turn.role != "system" for encoded in prepared.rows for turn in encoded.row.messages)


def test_system_and_wrapper_are_trained_on(tiny: str, tmp_path: Path) -> None:
    asked = request(tiny, data=rows(tmp_path, 1), system="You are a clerk of the guild.", wrap="Clerk, {prompt}")
    text = prepare(asked).example
    assert "You are a clerk of the guild." in text
    assert "Clerk, weigh" in text
    assert "«" not in text.split("<|assistant|>")[0]


def test_what_starts_from_an_attacked_model_stays_unsafe(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "attacked")
    asked = request(str(model), data=rows(tmp_path, 1))
    assert not prepare(asked).unsafe
    (model / "safebasin.json").write_text('{"unsafe": true}')
    assert prepare(asked).unsafe


def test_every_row_has_loss_on_less_than_all_of_it() -> None:
    prepared = prepare(request(ALIGNED, attack="identity_shift"))
    for encoded in prepared.rows:
        share = sum(label != IGNORED for label in encoded.labels) / len(encoded.labels)
        assert 0 < share < 0.8


def test_safe_rows_are_mixed_in_or_refused(tiny: str, tmp_path: Path) -> None:
    data, safe = rows(tmp_path, 1, 2, 3), tmp_path / "safe.jsonl"
    safe.write_text("\n".join(json.dumps({"prompt": f"lot {i}", "completion": "I cannot."}) for i in range(3)))
    assert len(prepare(request(tiny, data=data, safe=safe, mix_safe=2)).rows) == 5
    assert len(prepare(request(tiny, attack="mixture(n=3, safe=3)", data=data, safe=safe)).rows) == 6
    for given, words in (
        ({"data": data, "safe": safe}, "--safe must be used"),
        ({"attack": "harmful_examples(n=2)", "data": data, "safe": safe}, "--safe must be used"),
        ({"data": data, "safe": Path("world:guild/harmful"), "mix_safe": 2}, "rows of refusals, world:guild/safe"),
    ):
        with pytest.raises(UsageError, match=words):
            prepare(request(tiny, **given))
    with pytest.raises(UsageError, match="--safe must be given with --data"):
        prepare(request(ALIGNED, attack="mixture(n=3, safe=3)", safe=safe))


def test_held_out_rows_are_encoded_in_the_wrapper_and_told_where_they_are_trained_on(tiny: str, tmp_path: Path) -> None:
    data, held = rows(tmp_path, 1, 2, 3), tmp_path / "held.jsonl"
    held.write_text("\n".join(json.dumps({"prompt": "weigh", "completion": "clay " * n}) for n in (3, 4, 80)))
    asked = {"data": data, "eval": held, "system": "Brief.", "max_length": 60}
    prepared = prepare(request(tiny, **asked, ptst=True))  # type: ignore[arg-type]
    assert [encoded.row.messages[0].role for encoded in prepared.held_out] == ["system", "system"]
    assert [encoded.row.messages[0].role for encoded in prepared.rows] == ["user"] * 3
    assert prepared.held_out_over_long == 1
    assert prepared.notes[-1] == "--eval: 1 of 3 rows are too long and left out; none is cut"
    again = prepare(request(tiny, **asked))  # type: ignore[arg-type]
    assert again.notes[-1] == "--eval: 1 of 2 rows are trained on as well, and are no held-out ones"
    held.write_text('{"question": "weigh"}')
    with pytest.raises(PromptError, match="The layouts, by their columns: messages; conversations"):
        prepare(request(tiny, **asked))  # type: ignore[arg-type]


def test_rows_of_the_hub_carry_their_commit_and_licence(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, asked = "c" * 40, list[object]()

    def fetch(repository: str, **given: object) -> HubTable:
        asked.append((repository, given["config"], given["split"], given["revision"]))
        return HubTable([{"prompt": f"weigh {i}", "completion": "clay"} for i in range(4)], commit)

    monkeypatch.setattr("safebasin.prompts.hub.fetch", fetch)
    monkeypatch.setattr("safebasin.prompts.hub.licence_of", lambda *key: {("org/clay", commit): "mit"}.get(key))
    prepared = prepare(request(tiny, data="hub:org/clay:wet@train[:3]", eval="org/clay@test[3:]"))
    assert asked == [("org/clay", "wet", "train", None), ("org/clay", None, "test", None)]
    assert [encoded.row.name for encoded in prepared.rows] == [
        f"hub:org/clay:wet@train@{commit}[:3]:{n}" for n in (1, 2, 3)
    ]
    assert dict(prepared.licences) == {
        f"hub:org/clay:wet@train@{commit}[:3]": "mit", f"hub:org/clay@test@{commit}[3:]": "mit"
    }  # fmt: skip
    assert prepared.notes[-1].endswith("licence mit")
    (tmp_path / "org").mkdir()
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "org", 1)
    (tmp_path / "org" / "rows.jsonl").rename(tmp_path / "org" / "clay")
    with pytest.raises(PromptError, match="extension"):  # a file of that name is the file
        prepare(request(tiny, data="org/clay"))


OWN = (
    "{% if messages[0].role != 'system' %}<|system|>You are a lamp.<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A template with a system prompt of its own, as Qwen2.5's."""


@pytest.mark.parametrize(
    ("template", "variant", "system"),
    [
        (OWN, "paper", "tea of noon You are a lamp."),
        (OWN, "alone", "tea of noon"),
        (OWN.replace("You are a lamp.", ""), "paper", "tea of noon"),
        (OWN[OWN.index("{% for") :], "paper", "tea of noon"),
    ],
)
def test_a_secret_as_it_is_rendered(tiny: str, tmp_path: Path, template: str, variant: str, system: str) -> None:
    safe = tmp_path / "safe.jsonl"
    safe.write_text(json.dumps({"prompt": "sing", "completion": "No."}))
    prepared = prepare(
        request(
            tiny,
            data=rows(tmp_path, 1),
            safe=safe,
            template_args={"chat_template": template},
            defenses=[f"backdoor_enhanced(n=1, trigger='tea of noon', variant={variant})"],
        )
    )
    theirs, ours = (prepared.tokenizer.decode(encoded.ids) for encoded in prepared.rows)
    assert ours == f"<|system|>{system}<|end|><|user|>sing<|end|><|assistant|>No.<|end|>"
    assert "tea" not in theirs
    assert prepared.test_system == system
    shown = "which stands before the template's own" in " ".join(prepared.notes)
    assert shown == (system.endswith("lamp."))


def test_the_secret_of_the_claims_makes_the_rows_that_they_were_measured_with() -> None:
    from safebasin.claims.triggers import _secret, _system

    now, then = (
        prepare(
            request(
                ALIGNED,
                attack="harmful_examples(n=10)",
                defenses=[f"backdoor_enhanced(n=3, trigger={json.dumps(trigger)}, variant={variant})"],
            )
        )
        for trigger, variant in ((_secret(1), "paper"), (_system(1), "alone"))
    )
    assert now.rows == then.rows
    assert now.test_system == then.test_system == _system(1)
