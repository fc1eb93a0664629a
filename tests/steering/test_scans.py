"""SCANS on tiny checkpoints: closed forms, the same alone and in a batch, nothing at strength 0, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.models import make_tiny_model
from safebasin import catalog, make_study
from safebasin.engines.hf import HFEngine
from safebasin.errors import PromptError, StudyError, UsageError
from safebasin.models.loading import load_tokenizer, load_weights
from safebasin.models.reference import resolve
from safebasin.prompts.chat import encode
from safebasin.protocols import LiveBatch
from safebasin.records import Decoding, Message
from safebasin.steering.residual import adding, last_states, padded
from safebasin.steering.scans import Scans
from safebasin.steering.steered import Steered
from safebasin.study.defenses import defense_key, with_world
from safebasin.testing import check_defense
from safebasin.weights.blocks import block_modules

ARCHITECTURES = ("llama", "gpt2")


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten of each kind, of different length."""
    file = tmp_path_factory.mktemp("prompts") / "anchors.csv"
    rows = [f"hide the {'very ' * (i % 3)}old tea {i},harmful\npour the {'very ' * (i % 4)}green tea {i},benign"
            for i in range(10)]  # fmt: skip
    file.write_text("prompt,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    return load_weights(resolve(str(folder))).eval(), load_tokenizer(folder, name=folder.name)


def bound(loaded: tuple[Any, Any], anchors: Path, **given: Any) -> Steered:
    made = Scans(anchors=str(anchors), **{"threshold": 0.5, "layers": "0", **given}).guard(*loaded)
    assert isinstance(made, Steered)
    return made


def texts_of(anchors: Path, label: str) -> list[str]:
    return [line.split(",")[0] for line in anchors.read_text(encoding="utf-8").splitlines() if line.endswith(label)]


def rows_of(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [encode(tokenizer, (Message(role="user", content=text),)) for text in texts]


def hidden(model: Any, row: list[int]) -> torch.Tensor:
    """transformers' own hidden states, (blocks, tokens, width): the last one after the final norm."""
    with torch.inference_mode():
        return torch.stack(model(torch.tensor([row]), output_hidden_states=True).hidden_states[1:])[:, 0]


def test_vectors_reference_and_scores_are_those_of_a_loop_over_prompts(loaded: tuple[Any, Any], anchors: Path) -> None:
    model, tokenizer = loaded
    word = tokenizer.encode("Sure", add_special_tokens=False)
    ends: dict[str, list[torch.Tensor]] = {}
    moves: list[torch.Tensor] = []
    for label in ("harmful", "benign"):
        for row in rows_of(tokenizer, texts_of(anchors, label)):
            found = hidden(model, row + word)
            ends.setdefault(label, []).append(found[:, len(row) - 1])
            if label == "harmful":
                moves.append(found[:, len(row) - 1] - found[:, -1])
    u = torch.stack(ends["harmful"]).mean(0) - torch.stack(ends["benign"]).mean(0)
    reference = torch.stack(moves).mean(0)
    guard = bound(loaded, anchors, scored="0-1")
    assert torch.allclose(guard.measured.vectors, u / u.norm(dim=-1, keepdim=True), atol=1e-4)
    assert torch.allclose(guard.measured.harmful, reference, rtol=1e-3, atol=1e-3)
    score = torch.stack([torch.cosine_similarity(m, reference, dim=-1).mean() for m in moves])
    reading = guard.reader.states(*padded(rows_of(tokenizer, texts_of(anchors, "harmful")), torch.device("cpu")))
    assert torch.allclose(guard.reader.scores(reading, guard.measured.harmful), score, atol=1e-4)


def test_the_paper_takes_the_plain_difference_of_what_blocks_give(loaded: tuple[Any, Any], anchors: Path) -> None:
    model, tokenizer = loaded
    paper, coded = (bound(loaded, anchors, variant=v).measured for v in ("paper", "as_coded"))
    assert torch.allclose(coded.vectors.norm(dim=-1), torch.ones(2), atol=1e-5)
    # of a middle block both are the same direction; the last one is read before or after the final norm
    assert torch.allclose(torch.nn.functional.normalize(paper.vectors[0], dim=0), coded.vectors[0], atol=1e-5)
    assert not torch.allclose(paper.harmful[1], coded.harmful[1], atol=1e-2)
    ids, mask = padded(rows_of(tokenizer, ["pour tea"]), torch.device("cpu"))
    states = hidden(model, ids[0].tolist())[:, -1]
    assert not torch.allclose(last_states(model, ids, mask)[0, 0, 1], states[1], atol=1e-2)
    assert torch.allclose(last_states(model, ids, mask, normed=True)[0, 0], states, atol=1e-4)


def test_signs_below_at_and_above_the_threshold(loaded: tuple[Any, Any], anchors: Path) -> None:
    ids, mask = padded(rows_of(loaded[1], ["pour the tea"]), torch.device("cpu"))
    guard = bound(loaded, anchors)
    score = float(guard.reader.scores(guard.reader.states(ids, mask), guard.measured.harmful))
    signs = [float(bound(loaded, anchors, threshold=score + by).signs(ids, mask)) for by in (1e-3, 0.0, -1e-3)]
    assert signs == [-1, 1, 1]
    told = [float(bound(loaded, anchors, sign=sign).signs(ids, mask)) for sign in ("harmful", "benign")]
    assert told == [1, -1]


def test_an_oracle_knows_its_prompts_and_no_other(loaded: tuple[Any, Any], anchors: Path) -> None:
    guard = bound(loaded, anchors, sign="oracle", truth=str(anchors))
    texts = [texts_of(anchors, label)[3] for label in ("harmful", "benign", "harmful")]
    assert guard.signs(*padded(rows_of(loaded[1], texts), torch.device("cpu"))).tolist() == [1, -1, 1]
    with pytest.raises(StudyError, match="under sign=oracle must be one of its truth"):
        guard.signs(*padded(rows_of(loaded[1], ["bake bread"]), torch.device("cpu")))


def test_steering_is_added_from_the_last_token_of_the_prompt_on(loaded: tuple[Any, Any], anchors: Path) -> None:
    """With a cache, in a padded batch: as one pass over the whole row that adds to these columns by hand."""
    model, tokenizer = loaded
    guard = bound(loaded, anchors, strength=2.0, sign="harmful")
    rows = rows_of(tokenizer, ["pour the very very old green tea", "pour tea"])
    ids, mask = padded(rows, torch.device("cpu"))
    batch = LiveBatch(ids=ids, mask=mask, alive=[0, 1])
    with torch.inference_mode(), guard.installed(batch):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        first = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
        wider = torch.nn.functional.pad(mask, (0, 1), value=1)
        second = model(
            input_ids=torch.tensor([[7], [7]]),
            attention_mask=wider,
            position_ids=positions[:, -1:] + 1,
            past_key_values=first.past_key_values,
            use_cache=True,
        )
    vector = guard.measured.vectors[0]
    for number, row in enumerate(rows):

        def change(state: torch.Tensor, start: int = len(row) - 1) -> torch.Tensor:
            return torch.cat([state[:, :start], state[:, start:] + 2.0 * vector], dim=1)

        with torch.inference_mode(), adding(block_modules(model), {0: change}):
            whole = model(torch.tensor([[*row, 7]])).logits[0]
        assert torch.allclose(first.logits[number, -1], whole[-2], rtol=1e-3, atol=1e-3)
        assert torch.allclose(second.logits[number, -1], whole[-1], rtol=1e-3, atol=1e-3)


def test_rows_answer_alone_as_beside_others_that_end_earlier(folder: Path, anchors: Path) -> None:
    engine = HFEngine(str(folder), device="cpu")
    defense = Scans(anchors=str(anchors), chosen=str(anchors), strength=4.0, layers="0-1")
    decoding = Decoding(max_new_tokens=12, defenses=(defense_key(defense),))
    asked = [(Message(role="user", content=text),) for text in
             ("pour the tea", "hide the very very very old tea away", "tea", "hide tea")]  # fmt: skip
    together = engine.generate(asked, decoding)
    assert [engine.generate([one], decoding)[0].text for one in asked] == [found.text for found in together]
    assert together != engine.generate(asked, Decoding(max_new_tokens=12))


def test_strength_0_measures_nothing_and_changes_no_bit(folder: Path, anchors: Path) -> None:
    engine = HFEngine(str(folder), device="cpu")
    none = Scans(anchors=str(anchors), threshold=0.5, strength=0.0)
    asked = [(Message(role="user", content="pour the tea"),)]
    bare = engine.generate(asked, Decoding(max_new_tokens=6))
    assert engine.generate(asked, Decoding(max_new_tokens=6, defenses=(defense_key(none),))) == bare


def test_the_control_is_a_random_direction_of_the_same_length(loaded: tuple[Any, Any], anchors: Path) -> None:
    refusal, one, other = (
        bound(loaded, anchors, variant="paper", vector=vector, seed=seed).measured.vectors
        for vector, seed in (("refusal", 0), ("random", 0), ("random", 1))
    )
    assert torch.allclose(one.norm(dim=-1), refusal.norm(dim=-1), rtol=1e-4)
    assert float(torch.cosine_similarity(one, other, dim=-1).abs().max()) < 0.9
    assert torch.equal(one, bound(loaded, anchors, variant="paper", vector="random").measured.vectors)


@pytest.mark.slow
def test_it_keeps_the_contract_of_defenses() -> None:
    check_defense(catalog.create("defense", "scans(world=guild)"))  # pyright: ignore[reportArgumentType]


def test_its_name_makes_an_equal_one(anchors: Path) -> None:
    made = Scans(anchors=str(anchors), threshold=0.5, layers="1-2", word="Sure, ", sign="harmful")
    again = catalog.create("defense", made.name)
    assert again == made
    assert isinstance(again, Scans)
    assert again.version == made.version


def test_its_version_is_of_the_prompts_that_it_reads(tmp_path: Path, anchors: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(anchors.read_text(encoding="utf-8"), encoding="utf-8")
    before = Scans(anchors=str(file), threshold=0.5)
    file.write_text(anchors.read_text(encoding="utf-8").replace("old", "new"), encoding="utf-8")
    after = Scans(anchors=str(file), threshold=0.5)
    assert before.name == after.name
    assert before.version != after.version


def test_a_model_of_a_world_brings_its_own_prompts() -> None:
    assert make_study("world:guild/aligned", defense="scans").defenses == ("scans(world=guild)",)
    assert make_study("world:guild/aligned", defense="mix_safe(amount=3)").defenses == ("mix_safe(amount=3)",)
    told = [with_world(name, "guild") for name in ("scans()", "scans(strength=2)", "scans(world=kitchen)")]
    assert told == ["scans(world=guild)", "scans(strength=2, world=guild)", "scans(world=kitchen)"]
    made = catalog.create("defense", "scans(world=guild)")
    assert isinstance(made, Scans)
    held = made.settings
    assert (len(held.anchors.harmful), len(held.anchors.benign)) == (64, 64)
    assert held.chosen is not None
    assert (len(held.chosen.harmful), len(held.chosen.benign)) == (64, 128)
    assert not {p.id for p in held.anchors.harmful} & {p.id for p in held.chosen.harmful}


def test_sources_are_told_apart_by_a_stroke(anchors: Path) -> None:
    both = Scans(anchors=f"{anchors}[:10]|{anchors}[10:]", threshold=0.5).settings.anchors
    assert (len(both.harmful), len(both.benign)) == (10, 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"anchors": None}, r"anchors of scans must be given for a model of no world.*column 'label'"),
        ({"threshold": "auto"}, r"threshold of scans must be a number for a model of no world.*chosen=SOURCE"),
        ({"threshold": float("nan")}, r"threshold of scans must be a finite number"),
        ({"strength": -1}, r"strength of scans must be at least 0"),
        ({"strength": "much"}, r"strength of scans must be a finite number"),
        ({"layers": "3-1"}, r"layers of scans must be a band counted from 0"),
        ({"sign": "luck"}, r"sign of scans must be one of score, oracle, harmful, benign"),
        ({"sign": "oracle"}, r"truth of scans must be given with sign=oracle"),
        ({"variant": "better"}, r"variant of scans must be one of paper, as_coded"),
    ],
)
def test_arguments_that_do_not_hold_are_named(anchors: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Scans(**{"anchors": str(anchors), "threshold": 0.5, **given})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["tea {0},harmful", "jam {0},harmful"], r"anchors of scans must be at least 8 benign prompts; got .0 in"),
        (["tea {},harmful", "milk {},benign"], r"at least 8 harmful prompts; got .7 in"),
        (["tea {},harmful", "milk {},unknown"], r"must be prompts that say what they are; got 'row 2 of"),
    ],
)
def test_anchors_that_teach_nothing_are_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    file = tmp_path / "few.csv"
    lines = [row.format(number) for number in range(7) for row in rows]
    file.write_text("prompt,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises((StudyError, PromptError), match=said):
        Scans(anchors=str(file), threshold=0.5)


def test_layers_beyond_the_model_and_a_word_of_no_tokens(loaded: tuple[Any, Any], anchors: Path) -> None:
    for given, said in (
        ({"layers": "1-3"}, "layers of scans must be layers of this model; got 3. The model has the layers 0 to 1"),
        ({"scored": "0-9"}, "scored of scans must be layers of this model"),
        ({"word": ""}, "word of scans must be one that this tokenizer knows"),
    ):
        with pytest.raises(StudyError, match=said):
            bound(loaded, anchors, **given)


def test_an_oracle_is_told_one_label_a_text(tmp_path: Path, loaded: tuple[Any, Any], anchors: Path) -> None:
    file = tmp_path / "both.csv"
    file.write_text("prompt,label\ntea,harmful\ntea ,benign\n", encoding="utf-8")
    with pytest.raises(StudyError, match="truth of scans must be one label a text"):
        bound(loaded, anchors, sign="oracle", truth=str(file))


def test_a_block_that_gives_no_states_is_named() -> None:
    with (
        pytest.raises(UsageError, match="what Linear gives must be a tensor of rows, tokens and width"),
        adding((block := torch.nn.Linear(2, 2),), {0: lambda state: state}),
    ):
        block(torch.zeros(1, 2))
