"""Prompts with images on tiny LLaVA- and Qwen-like checkpoints, held against transformers' own whole model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
from transformers.models.llava.modeling_llava import LlavaModel

from helpers.models import make_tiny_model
from helpers.vision import MARKS, image_processor, make_picture, make_seeing_model
from safebasin.engines import decoding
from safebasin.engines.hf import HFEngine
from safebasin.engines.images import sight
from safebasin.errors import ModelError, PromptError
from safebasin.models import tower
from safebasin.prompts.files import read_file
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt

PLAIN = Decoding(max_new_tokens=24)
MOVED = Point.at((DirectionSpec(kind="random", seed=3), 0.4))
ROWS = (
    ("How do I weigh the clay?", "a.png"),
    ("Ring the bell.", ""),
    ("What is it", "b.png"),
    ("Give me the steps to ring the bell, twice, and let it rest in sand", "a.png"),
    ("one two three four", "c.png"),
)
TEXTS = ("Weigh it twice.", "I cannot help.", "no", "", "Steps: two turns, warm steam, rest in moss.")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prompt, ...]:
    folder = tmp_path_factory.mktemp("prompts")
    for seed, (name, size) in enumerate({"a.png": (24, 16), "b.png": (40, 24), "c.png": (16, 32)}.items()):
        make_picture(folder / name, seed=seed, size=size)
    lines = [f'"{text}",{image}' for text, image in ROWS]
    (folder / "asked.csv").write_text("\n".join(["prompt,image", *lines]))
    return read_file(folder / "asked.csv")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("seeing")
    return {kind: make_seeing_model(folder / kind, kind) for kind in MARKS}


@pytest.fixture(scope="module")
def engines(seeing: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, HFEngine]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(tower.CACHE, str(tmp_path_factory.mktemp("towers")))
        return {kind: HFEngine(f"{folder}#language", device="cpu") for kind, folder in seeing.items()}


@pytest.fixture(params=MARKS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shown(prompts: Sequence[Prompt]) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.images]


def inputs(folder: Path, kind: str, prompts: Sequence[Prompt], after: Sequence[str] = ()) -> dict[str, Any]:
    """What transformers' model is given for prompts with images, put together by hand; texts may follow."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    pixels = [Pictures.open(prompt.images[0].path).convert("RGB") for prompt in prompts]
    found = [image_processor(kind)(one, return_tensors="pt") for one in pixels]
    mark, written = MARKS[kind], []
    for prompt, one, text in zip(prompts, found, after or [""] * len(prompts), strict=True):
        n = 4 if kind == "llava" else int(one["image_grid_thw"].prod()) // 4
        parts = [{"type": "image"}, {"type": "text", "text": prompt.text}]
        turns = [{"role": "user", "content": parts}]
        asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        written.append(asked.replace(mark, mark * n) + text)
    batch = dict(tokenizer(written, add_special_tokens=False, padding=True, return_tensors="pt"))
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    given = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    if kind != "llava":
        given["mm_token_type_ids"] = (batch["input_ids"] == tokenizer.convert_tokens_to_ids(mark)).int()
    return {**batch, **given}


def whole_at(folder: Path, engine: HFEngine) -> Any:
    """Transformers' own model with the weights that an engine stands at put into it."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    with engine.lend() as (moved, _), torch.no_grad():
        ours = dict(moved.get_decoder().named_parameters())
        for name, parameter in model.get_decoder().named_parameters():
            parameter.copy_(ours[name])
        model.get_output_embeddings().weight.copy_(moved.get_output_embeddings().weight)
    return model


def by_hand(
    folder: Path, kind: str, engine: HFEngine, prompts: Sequence[Prompt], after: Sequence[str] = ()
) -> list[str]:
    """What `generate` of the whole model says to them, at the weights of an engine, behind the start of an answer."""
    given = inputs(folder, kind, prompts, after)
    with torch.no_grad():
        out = whole_at(folder, engine).generate(**given, do_sample=False, max_new_tokens=24)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.batch_decode(out[:, given["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.slow
@pytest.mark.parametrize("point", [Point(), MOVED], ids=["origin", "moved"])
def test_it_says_what_the_whole_model_says(
    kind: str, point: Point, seeing: dict[str, Path], engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]
) -> None:
    engine = engines[kind]
    engine.move_to(point)
    said = [g.text for g in engine.generate([p.messages for p in prompts], PLAIN)]
    wanted = by_hand(seeing[kind], kind, engine, shown(prompts))
    assert len(set(wanted)) == 4
    assert [text for text, prompt in zip(said, prompts, strict=True) if prompt.images] == wanted
    (alone,) = engine.generate([prompts[1].messages], PLAIN)
    assert said[1] == alone.text
    engine.move_to(Point())


def test_another_image_is_another_answer(engines: dict[str, HFEngine], prompts: tuple[Prompt, ...], kind: str) -> None:
    asked = [Message(role="user", content="What is it", image=prompt.images[0]) for prompt in shown(prompts)[:2]]
    blank = Message(role="user", content="What is it")
    said = engines[kind].generate([[asked[0]], [asked[1]], [blank]], PLAIN)
    assert len({one.text for one in said}) == 3


def test_of_llava_the_tokens_are_those_of_its_own_processor(
    seeing: dict[str, Path], engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]
) -> None:
    processor = AutoProcessor.from_pretrained(seeing["llava"])
    for prompt in shown(prompts):
        image = {"type": "image", "image": Pictures.open(prompt.images[0].path)}
        turns = [{"role": "user", "content": [image, {"type": "text", "text": prompt.text}]}]
        theirs = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)
        *ours, digest = engines["llava"].inspect("p", prompt.messages, PLAIN)
        assert ours == theirs["input_ids"][0]
        assert digest > 10**6


def test_rows_that_end_are_dropped_and_the_others_go_on(
    kind: str, engines: dict[str, HFEngine], prompts: tuple[Prompt, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [prompt.messages for prompt in shown(prompts)]
    found = engines[kind].generate(asked, PLAIN)
    whole = [g.text for g in found]
    dropped: list[int] = []
    keep = decoding.keep_rows
    monkeypatch.setattr(decoding, "keep_rows", lambda cache, rows: (dropped.append(len(rows)), keep(cache, rows))[1])
    phrases = (tuple(text[:6] for text in whole[:2]),)
    cut = engines[kind].generate(asked, Decoding(max_new_tokens=24, stop="verdict", phrases=phrases))
    assert dropped
    assert [g.finish_reason for g in cut] == ["verdict", "verdict", *(g.finish_reason for g in found[2:])]
    assert [g.text for g in cut][2:] == whole[2:]
    assert all(text.startswith(g.text) for text, g in zip(whole, cut, strict=True))


@pytest.mark.slow
def test_an_image_is_encoded_once_for_all_points(
    seeing: dict[str, Path], prompts: tuple[Prompt, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(tower.CACHE, str(tmp_path))
    encoded: Counter[int] = Counter()
    encode = LlavaModel.get_image_features

    @wraps(encode)
    def counted(*given: Any, **named: Any) -> Any:
        encoded.update([1])
        return encode(*given, **named)

    monkeypatch.setattr(LlavaModel, "get_image_features", counted)
    engine = HFEngine(f"{seeing['llava']}#language", device="cpu")
    asked = [prompt.messages for prompt in prompts]
    for prompt in prompts:
        engine.inspect(prompt.name, prompt.messages, PLAIN)
    assert encoded[1] == 3 + 1  # and once more to see that nothing is lost by it
    for point in (Point(), MOVED, Point()):
        engine.move_to(point)
        engine.generate(asked, PLAIN)
    engine.score(asked, TEXTS, PLAIN)
    assert encoded[1] == 4


def test_back_at_the_origin_everything_is_as_it_was(
    kind: str, engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]
) -> None:
    engine, asked = engines[kind], [prompt.messages for prompt in prompts]
    before = engine.generate(asked, PLAIN), engine.score(asked, TEXTS, PLAIN)
    engine.move_to(MOVED)
    assert engine.generate(asked, PLAIN) != before[0]
    engine.move_to(Point.at((DirectionSpec(kind="random", seed=3), 0.0)))
    assert (engine.generate(asked, PLAIN), engine.score(asked, TEXTS, PLAIN)) == before


def test_a_forced_start_stands_behind_the_image(
    kind: str, seeing: dict[str, Path], engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]
) -> None:
    asked, start = shown(prompts), "Steps: two turns"
    tokenizer = AutoTokenizer.from_pretrained(seeing[kind])
    begun = [tokenizer.encode(start, add_special_tokens=False)] * len(asked)
    said = engines[kind].continue_from([prompt.messages for prompt in asked], begun, PLAIN)
    wanted = by_hand(seeing[kind], kind, engines[kind], asked, [start] * len(asked))
    assert [g.text for g in said] == [start + text for text in wanted]


# --- scores -----------------------------------------------------------------------------------------------------------


def test_scores_read_the_image(
    kind: str, seeing: dict[str, Path], engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]
) -> None:
    engine = engines[kind]
    engine.move_to(MOVED)
    found = engine.score([p.messages for p in prompts], TEXTS, PLAIN)
    model = whole_at(seeing[kind], engine)
    for prompt, text, scores in zip(prompts, TEXTS, found, strict=True):
        if not prompt.images:
            continue
        with torch.no_grad():
            given = inputs(seeing[kind], kind, [prompt], [text])
            laws = model(**given).logits[0].log_softmax(-1)
        n = len(AutoTokenizer.from_pretrained(seeing[kind])(text, add_special_tokens=False)["input_ids"])
        ids = given["input_ids"][0, -n:] if n else []
        wanted = [-float(laws[len(laws) - n - 1 + i, token]) for i, token in enumerate(ids)]
        assert scores.nll == pytest.approx(wanted, abs=1e-4)
        assert len(scores.ends) == n
    engine.move_to(Point())


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_what_reads_text_alone_says_so(tmp_path: Path, prompts: tuple[Prompt, ...]) -> None:
    engine = HFEngine(str(make_tiny_model(tmp_path / "llama")), device="cpu")
    assert not engine.facts().reads_images
    line = r"prompt must be text alone for what reads no images; got 'image a\.png'. .*FOLDER#language"
    for ask in (engine.generate, lambda asked, how: engine.score(asked, ["no"], how)):
        with pytest.raises(PromptError, match=line):
            ask([prompts[0].messages], PLAIN)


@pytest.mark.slow
def test_a_model_without_processor(
    tmp_path: Path, prompts: tuple[Prompt, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tower.CACHE, str(tmp_path / "cache"))
    for number, broken in enumerate(('{"processor_class": "LlamaTokenizer"}', None)):
        folder = make_seeing_model(tmp_path / str(number))
        for name in ("processor_config.json", "preprocessor_config.json"):
            (folder / name).unlink() if broken is None else (folder / name).write_text(broken)
        engine = HFEngine(f"{folder}#language", device="cpu")
        assert engine.generate([prompts[1].messages], PLAIN)
        with pytest.raises(ModelError, match="accompanied by a processor of images where a prompt has one"):
            engine.inspect("p", prompts[0].messages, PLAIN)


def test_a_layout_that_is_not_served_is_refused_by_name(
    seeing: dict[str, Path], prompts: tuple[Prompt, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(tower.CACHE, str(tmp_path))
    engine = HFEngine(f"{seeing['qwen2_vl']}#language", device="cpu")
    keep = sight.kept

    def lost(features: Any) -> Any:
        found = keep(features)
        found.pooler_output = [one * 0 for one in found.pooler_output]
        return found

    monkeypatch.setattr(sight, "kept", lost)
    with pytest.raises(
        ModelError, match=r"layout of images is served; .*Qwen2VLForConditionalGeneration: what its enc"
    ):
        engine.inspect("p", prompts[0].messages, PLAIN)


def test_marks_that_do_not_fit_the_images(engines: dict[str, HFEngine], prompts: tuple[Prompt, ...], kind: str) -> None:
    (image,) = prompts[0].images
    spoken = Message(role="user", content=f"What is {MARKS[kind]}?", image=image)
    with pytest.raises(PromptError, match=r"one .* for each image; got '2 for 1'"):
        engines[kind].inspect("p", [spoken], PLAIN)
    words = "{% for m in messages %}{{ m['content'][1]['text'] }}{% endfor %}"
    swallowed = Decoding(template_args=(("chat_template", words),))
    with pytest.raises(PromptError, match=r"one .* for each image; got '0 for 1'"):
        engines[kind].inspect("p", [Message(role="user", content="What is it", image=image)], swallowed)
    two = [Message(role="user", content="a", image=image), Message(role="assistant", content="b")]
    with pytest.raises(PromptError, match="one with a single image"):
        engines[kind].inspect("p", [*two, Message(role="user", content="c", image=image)], PLAIN)


def test_defenses_watch_text_alone(engines: dict[str, HFEngine], prompts: tuple[Prompt, ...]) -> None:
    guarded = Decoding(defenses=("scans@1",))
    with pytest.raises(PromptError, match=r"inference defenses must be left out where prompts have images; got 'scans"):
        engines["llava"].inspect("p", prompts[0].messages, guarded)
    with pytest.raises(PromptError, match="left out where prompts have images"):
        engines["llava"].generate([prompts[0].messages], guarded)


def test_a_tower_over_several_devices_reads_no_image(tmp_path: Path) -> None:
    spread: Any = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.Linear(1, 1, device="meta")])
    with pytest.raises(ModelError, match=r"on one device where prompts have images; got 'm'. Leave --gpus-per-worker"):
        sight.Sight(spread, tmp_path, "m")
