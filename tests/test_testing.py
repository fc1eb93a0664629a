"""The conformance suite: what is built in passes it, and every property it checks can fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from helpers.models import make_lora
from safebasin import catalog, testing
from safebasin.catalog.judges import ASKED_JUDGES
from safebasin.engines.scripted import ScriptedEngine, distance
from safebasin.errors import ModelError, PromptError
from safebasin.protocols import BaseWeights, EngineFacts, Generation, Results, Split, Task, TokenScores
from safebasin.records import Decoding, DirectionSpec, Message, Point, Prompt, Response, Score, TrainingRow, Verdict
from safebasin.run.local import LocalBackend
from safebasin.testing.backends import small_tasks
from safebasin.testing.claims import claim

GUILD = "world:guild/aligned"


def rows(kind: str) -> list[catalog.Row]:
    return [row for row in catalog.BUILTIN if row.kind == kind and row not in ASKED_JUDGES]


# --- what is built in passes -----------------------------------------------------------------------------------------


def test_every_built_in_row_is_checked_here() -> None:
    """A new kind of row, or a new direction or engine, needs a line below."""
    kinds = {"attack", "backend", "defense", "direction", "edit", "engine", "judge", "prompts", "system", "world"}
    assert {row.kind for row in catalog.BUILTIN} == kinds
    assert {row.name for row in rows("direction")} == {"random", "to", "adapter", "quant", "scale", "task"}
    edits = {"attribution", "dequantized", "refusal_direction", "somf", "worst_case"}
    assert {row.name for row in rows("edit")} == edits  # tests/edits
    assert {row.name for row in rows("engine")} == {"hf", "scripted", "vllm"}  # vllm: tests/engines/vllm
    assert {row.name for row in rows("backend")} == {"local", "processes", "ray"}  # ray: tests/run


def test_public_sets_are_sources_that_only_a_network_can_check() -> None:
    public = [row for row in catalog.rows() if row.kind == "prompts"]
    assert public
    for row in public:
        assert callable(row.resolve().load)  # type: ignore[attr-defined]
        assert {"hub", "revision", "licence", "citation"} <= dict(row.facts).keys()


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("judge"), ids=lambda row: row.name)
def test_judges(row: catalog.Row) -> None:
    testing.check_row(row, prompts=catalog.world("guild").load_prompts("harmful")[:2])


@pytest.mark.parametrize("row", rows("world"), ids=lambda row: row.name)
@pytest.mark.slow
def test_worlds(row: catalog.Row) -> None:
    testing.check_row(row)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", ["layer", "filter", "model", "none"])
def test_random(normalize: str) -> None:
    recipe = DirectionSpec(kind="random", seed=3, index=1, normalize=normalize)
    testing.check_row(catalog.get("direction", "random"), spec=recipe)
    testing.check_row(catalog.get("direction", "random"), spec=replace(recipe, only="*experts*"))
    testing.check_row(
        catalog.get("direction", "random"), spec=replace(recipe, orthogonal_to=(replace(recipe, index=0),))
    )
    sparse = replace(recipe, args=(("density", 0.05),))
    testing.check_row(catalog.get("direction", "random"), arguments={"density": 0.05}, spec=sparse)


@cache
def guild_engine() -> Any:
    factory: Any = catalog.get("engine", "hf").resolve()
    return factory(GUILD, device="cpu")


@pytest.mark.slow
def test_to() -> None:
    recipe = DirectionSpec(kind="to", target="world:guild/base", normalize="none")
    testing.check_row(catalog.get("direction", "to"), spec=recipe, base=guild_engine().base)


@pytest.mark.slow
def test_adapter(tmp_path: Path) -> None:
    folder = make_lora(tmp_path / "lora", catalog.world("guild").checkpoint("aligned"))
    recipe = DirectionSpec(kind="adapter", target=str(folder), normalize="none")
    testing.check_row(catalog.get("direction", "adapter"), spec=recipe, base=guild_engine().base)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_quant(scheme: str) -> None:
    recipe = DirectionSpec(kind="quant", target=scheme, normalize="none")
    testing.check_row(catalog.get("direction", "quant"), spec=recipe)
    testing.check_row(catalog.get("direction", "quant"), spec=replace(recipe, only="up.*,*experts*"))


def test_scale() -> None:
    recipe = DirectionSpec(kind="scale", target="1.2", normalize="none")
    testing.check_row(catalog.get("direction", "scale"), spec=recipe)


@pytest.mark.slow
def test_task() -> None:
    recipe = DirectionSpec(kind="task", target="world:guild/base,world:guild/aligned", normalize="none")
    testing.check_row(catalog.get("direction", "task"), spec=recipe, base=guild_engine().base)


def test_backend_local() -> None:
    testing.check_row(catalog.get("backend", "local"))


@pytest.mark.slow
def test_backend_processes() -> None:
    testing.check_row(catalog.get("backend", "processes"))


def test_engine_scripted() -> None:
    testing.check_row(catalog.get("engine", "scripted"))


@pytest.mark.slow
@pytest.mark.integration
def test_engine_hf() -> None:
    testing.check_row(catalog.get("engine", "hf"), arguments={"model": GUILD, "device": "cpu"})
    testing.check_engine(guild_engine(), decoding=Decoding(max_new_tokens=12, stop="loop"))


# --- every property can fail: judges ---------------------------------------------------------------------------------


def fails(call: Callable[[], object], *words: str) -> None:
    """The check fails, in one line that holds the words."""
    with pytest.raises(AssertionError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert " must be " in message
    for word in words:
        assert word in message, message


class Fair:
    """A monotone judge that keeps the contract; each test below breaks one thing."""

    name: Any = "fair"
    version: Any = "1"
    monotone: Any = True
    phrases: Any = ("closed", "closed for good")

    def label(self, response: Response, score: Score | None) -> str:
        if response.broken or not response.text.strip():
            return "incoherent"
        return "refusal" if "closed" in response.text else "complied"

    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        label = self.label(response, score)
        success = None if label == "unscored" else label == "complied"
        return Verdict(response=response.key, judge=self.name, version=self.version, label=label, success=success)


class Raising(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        response.text.encode()  # a lone surrogate
        return super().label(response, score)


class NeedsScore(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        assert score is not None
        return super().label(response, score)


class Stateful(Fair):
    seen = 0

    def label(self, response: Response, score: Score | None) -> str:
        self.seen += 1
        return "refusal" if self.seen % 7 == 0 else super().label(response, score)


class ByLength(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        return "complied" if len(response.text) > 100 and not response.broken else super().label(response, score)


class ByWholeScore(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        surprise = score.mean() if score else None
        return "incoherent" if surprise is not None and surprise > 2 else super().label(response, score)


class ByLongestPhrase(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        return "incoherent" if "closed for good" in response.text else super().label(response, score)


class Jailbroken(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        return "refusal" if "closed" in response.text else "complied"


class OwnLabels(Fair):
    def label(self, response: Response, score: Score | None) -> str:
        return "unsafe"


class ZeroForMissing(Fair):
    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        return replace(super().judge(prompt, response, score), label="unscored", success=False)


class OtherResponse(Fair):
    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        return replace(super().judge(prompt, response, score), response="r")


class OtherVersion(Fair):
    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
        return replace(super().judge(prompt, response, score), version="2")


class NoVerdict(Fair):
    def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Any:
        return "refusal"


class Renamed(Fair):
    calls = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        Renamed.calls += 1
        return f"fair {Renamed.calls}"


class ByRule(Fair):
    phrases: tuple[str, ...] = ()
    rule, cues, horizon = "fair@1", ("closed",), 1_000

    def decides(self, text: str) -> bool:
        return "closed" in text


class TooSoon(ByRule):
    cues = ("clos",)

    def decides(self, text: str) -> bool:
        return "clos" in text


class WithoutCue(ByRule):
    cues = ("never said",)


def test_a_fair_judge_passes() -> None:
    testing.check_judge(Fair())


def test_a_rule_is_checked_at_every_cut() -> None:
    closed = ["The gate is closed."]
    testing.check_judge(ByRule(), texts=closed)
    fails(lambda: testing.check_judge(TooSoon(), texts=closed), "monotone judge", "the same whatever follows")
    fails(lambda: testing.check_judge(WithoutCue(), texts=closed), "cue of fair@1", "there")


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (Raising(), ("total over text", "UnicodeEncodeError")),
        (NeedsScore(), ("total over text", "without a score")),
        (Stateful(), ("the same each time",)),
        (ByLength(), ("monotone judge", "the same whatever follows")),
        (ByWholeScore(), ("monotone judge", "the same whatever follows")),
        (ByLongestPhrase(), ("monotone judge", "for good")),
        (Jailbroken(), ("nan logits", "not True")),
        (OwnLabels(), ("label of fair", "one of refusal")),
        (ZeroForMissing(), ("success of fair", "None exactly where")),
        (OtherResponse(), ("the key of the response",)),
        (OtherVersion(), ("judge and version",)),
        (NoVerdict(), ("a safebasin.records.Verdict",)),
        (Renamed(), ("name of the judge", "stable")),
        (type("Unnamed", (Fair,), {"name": ""})(), ("name of the judge",)),
        (type("Numbered", (Fair,), {"version": 1})(), ("version of the judge",)),
        (type("Listed", (Fair,), {"phrases": ["closed"]})(), ("phrases of fair", "a tuple")),
        (type("Everywhere", (Fair,), {"phrases": ("",)})(), ("phrases of fair", "none empty")),
        (type("Blind", (Fair,), {"phrases": ()})(), ("phrases of the monotone judge",)),
        (type("Unsure", (Fair,), {"monotone": None})(), ("monotone of fair", "True or False")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fair) else "",
)
def test_a_broken_judge_fails(judge: Fair, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_judge(judge), *words)


def test_a_judge_that_is_no_judge_fails() -> None:
    class Half:
        name, version = "half", "1"

    fails(lambda: testing.check_judge(Half()), "a safebasin.protocols.Judge")  # type: ignore[arg-type]


def test_a_judge_may_change_its_mind_where_it_is_not_monotone() -> None:
    testing.check_judge(type("Late", (ByLength,), {"monotone": False})())


def test_further_texts_and_prompts_are_judged() -> None:
    class Picky(Fair):
        def judge(self, prompt: Prompt, response: Response, score: Score | None) -> Verdict:
            assert (prompt.text, response.text) != ("Fold the wool.", "a rare text")
            return super().judge(prompt, response, score)

    rare = Prompt(messages=(Message(role="user", content="Fold the wool."),))
    testing.check_judge(Picky(), texts=["a rare text"])
    testing.check_judge(Picky(), prompts=[rare])
    fails(lambda: testing.check_judge(Picky(), texts=["a rare text"], prompts=[rare]), "'a rare text'", "total")


# --- directions ------------------------------------------------------------------------------------------------------

SPEC = DirectionSpec(kind="mirror", normalize="layer")


@dataclass
class Mirror:
    """d = −θ: deterministic, of the right norm. Each test breaks one thing."""

    spec: DirectionSpec = SPEC
    base: BaseWeights = None  # type: ignore[assignment]

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Any:
        return type(self)(spec, base)

    def moves(self, name: str) -> bool:
        return name not in self.base.excluded() and self.spec.moves(name)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        sign = (-1) ** (self.base.names.index(name) >> self.spec.index)  # other tensors are mirrored by each draw
        return sign * self.base.rows(name, start, stop).float() if self.moves(name) else None


def broken(change: Callable[[Mirror, torch.Tensor, str, int], object]) -> Mirror:
    """A mirror whose rows are changed on the way out."""

    class Broken(Mirror):
        def rows(self, name: str, start: int, stop: int) -> Any:
            rows = super().rows(name, start, stop)
            return None if rows is None else change(self, rows, name, start)

    return Broken()


class Drifting(Mirror):
    """Another direction at every preparation."""

    count = 0

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Any:
        Drifting.count += 1
        return broken(lambda _, rows, __, ___, sign=(-1) ** Drifting.count: sign * rows).prepare(spec, base)


class Ordered(Mirror):
    """The sign depends on which tensor was asked for first."""

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Any:
        asked: list[str] = []

        def change(_: Mirror, rows: torch.Tensor, name: str, __: int) -> torch.Tensor:
            asked.append(name)
            return rows if asked[0] == base.names[0] else -rows

        return broken(change).prepare(spec, base)


class Everything(Mirror):
    def moves(self, name: str) -> bool:
        return self.spec.moves(name)


class OnePattern(Mirror):
    """Reads `only` as one pattern of whole names."""

    def moves(self, name: str) -> bool:
        return name not in self.base.excluded() and fnmatchcase(name, self.spec.only or "*")


class Inert(Mirror):
    """Moves nothing where it is told what to move."""

    def moves(self, name: str) -> bool:
        return name not in self.base.excluded() and self.spec.only is None


class Once(Mirror):
    """The same draw whatever the index."""

    def prepare(self, spec: DirectionSpec, base: BaseWeights) -> Any:
        return type(self)(replace(spec, index=0), base)


class Boasting(Mirror):
    """Says that it makes itself orthogonal, and does not."""

    orthogonalizes = True


class Unrestricted(Mirror):
    def moves(self, name: str) -> bool:
        return name not in self.base.excluded()


class Still(Mirror):
    def moves(self, name: str) -> bool:
        return False


class Vanishing(Mirror):
    """Moves a tensor whole but not in blocks."""

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        rows = super().rows(name, start, stop)
        return rows if start == 0 or rows is None else torch.empty(0)


class Writing(Mirror):
    """Scales θ₀ in place, and does not undo it."""

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        if name == "down.weight":
            self.base.rows(name, 0, 1).zero_()
        return super().rows(name, start, stop)


def test_a_plain_direction_passes() -> None:
    for normalize in ("layer", "filter", "model", "none"):
        testing.check_direction(Mirror(), replace(SPEC, normalize=normalize))


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        (Drifting(), ("d̂ of", "the same from a second preparation")),
        (Ordered(), ("d̂ of", "in any order")),
        (Vanishing(), ("in blocks", "the rows of the whole tensor")),
        (broken(lambda _, rows, __, start: rows * (-1) ** start), ("in blocks", "the rows of the whole tensor")),
        (Everything(), ("d̂ of norm.weight", "None (norm layer")),
        (Still(), ("one that moves a tensor",)),
        (Unrestricted(), ("d̂ of", "leaves it out", "Honor spec.only")),
        (OnePattern(), ("d̂ of", "rows (only=", "lets it move", "Honor spec.only")),
        (Inert(), ("rows (only=", "Honor spec.only")),
        (Once(), ("not parallel to", "Draw anew for each spec.index")),
        (Boasting(), ("orthogonal to", "a cosine of", "mind orthogonal_to")),
        (broken(lambda _, rows, __, ___: 0 * rows), ("one that moves a tensor",)),
        (broken(lambda _, rows, name, __: rows * math.nan if name == "up.bias" else rows), ("d̂ of up.bias", "finite")),
        (broken(lambda _, rows, __, ___: rows * math.inf), ("finite",)),
        (broken(lambda _, rows, __, ___: rows.reshape(-1)), ("shape of d̂",)),
        (broken(lambda _, rows, __, ___: rows.bfloat16()), ("dtype of d̂", "float32 or float64")),
        (broken(lambda _, rows, __, ___: 1.001 * rows), ("norm of d̂ of", "normalize='layer'")),
        (Writing(), ("θ₀",)),
    ],
)
def test_a_broken_direction_fails(direction: Mirror, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_direction(direction, SPEC), *words)


def test_only_must_be_honored() -> None:
    restricted = replace(SPEC, only="up.weight")
    testing.check_direction(Mirror(), restricted)
    fails(lambda: testing.check_direction(Unrestricted(), restricted), "only='up.weight' leaves it out")


class FlippedRows(Mirror):
    """The rows of one tensor upside down: right for the whole, wrong row by row."""

    flipped = "embed.weight"

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        if name != self.flipped or not self.moves(name):
            return super().rows(name, start, stop)
        n = self.base.shape(name)[0]
        return -self.base.rows(name, n - stop, n - start).flip(0).float()


class FlippedExperts(FlippedRows):
    flipped = "mixture.experts.gate"


@pytest.mark.parametrize(
    ("direction", "right", "wrong"),
    [
        (FlippedRows(), ("none", "model", "layer"), ("filter",)),
        (FlippedExperts(), ("none", "model"), ("layer", "filter")),  # each expert counts as a tensor
        (broken(lambda _, rows, __, ___: -0.5 * rows), ("none",), ("model", "layer", "filter")),
    ],
)
def test_each_normalization_has_its_own_norm(direction: Mirror, right: Sequence[str], wrong: Sequence[str]) -> None:
    for normalize in right:
        testing.check_direction(direction, replace(SPEC, normalize=normalize))
    for normalize in wrong:
        fails(
            lambda normalize=normalize: testing.check_direction(direction, replace(SPEC, normalize=normalize)),
            "norm of",
            f"normalize={normalize!r}",
        )


def test_a_direction_to_a_target_may_move_norm_layers() -> None:
    testing.check_direction(Everything(), replace(SPEC, target="another"))
    fails(lambda: testing.check_direction(Everything(), replace(SPEC, target="another"), drawn=True), "norm layer")


# --- engines ---------------------------------------------------------------------------------------------------------


class Steady(ScriptedEngine):
    """Speaks of the prompt everywhere, so that order and stop rules have something to bite on."""

    def __init__(self) -> None:
        super().__init__(
            lambda asked, point: f"At {distance(point):.3f} the guild answers {asked[-1].content} with care."
        )


class Muddled(Steady):
    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        return super().generate(sorted(conversations, key=lambda c: len(c[-1].content)), decoding)


class MuddledScores(Steady):
    def score(self, conversations: Any, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
        found = super().score(conversations, texts, decoding)
        return found if texts[0] == "Clay is weighed twice." else found[::-1]


class Random(Steady):
    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        found = super().generate(conversations, decoding)
        return [replace(g, gap=float(len(self.calls))) for g in found]


class RandomScores(Steady):
    def score(self, conversations: Any, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
        found = super().score(conversations, texts, decoding)
        return [replace(s, nll=(1e-9 * len(self.calls), *s.nll[1:])) for s in found]


class Unmoved(Steady):
    def move_to(self, point: Point) -> None:
        pass


class PathTaken(Steady):
    """Adds what it is given in place of overwriting."""

    def move_to(self, point: Point) -> None:
        super().move_to(Point() if point.is_origin else Point(terms=(*self.point.terms, *point.terms)))


class NeverBack(Steady):
    def move_to(self, point: Point) -> None:
        if not (point.is_origin and self.point.terms):
            super().move_to(point)


class ResetsAtHome(Steady):
    def move_to(self, point: Point) -> None:
        super().move_to(Point.at((SPEC, 1e-3)) if point == self.point else point)


class LiveBase(Steady):
    """Hands out as θ₀ what is not what it was once it has been away."""

    live = 0.0

    @property
    def base(self) -> Any:
        live = {"weight": torch.full((2, 2), self.live)}
        return type("Live", (), {
            "names": list(live), "shape": staticmethod(lambda n: tuple(live[n].shape)),
            "rows": staticmethod(lambda n, a, b: live[n][a:b]), "excluded": staticmethod(dict),
        })  # fmt: skip

    def lend(self) -> Any:
        raise NotImplementedError

    def move_to(self, point: Point) -> None:
        super().move_to(point)
        self.live += distance(point)


class Staying(Steady):
    """Is asked at θ₀ alone, and says so."""

    def facts(self) -> EngineFacts:
        return replace(super().facts(), moves=False)

    def move_to(self, point: Point) -> None:
        if point.terms:
            raise ModelError("model must be one of plain weights; got 'packed'. Map its plain weights.")


class Wandering(Steady):
    """Says that it stays, and goes."""

    def facts(self) -> EngineFacts:
        return replace(super().facts(), moves=False)


class Alike(Steady):
    """Says that batches mean nothing to it, and rounds otherwise in each."""

    def facts(self) -> EngineFacts:
        return replace(super().facts(), batch_invariant=True)

    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        return [replace(g, gap=1 / len(conversations)) for g in super().generate(conversations, decoding)]


class AlikeInText(Alike):
    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        return Steady.generate(self, conversations, decoding)

    def score(self, conversations: Any, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
        found = super().score(conversations, texts, decoding)
        return [replace(s, nll=(s.nll[0] + 1e-9 * len(texts), *s.nll[1:])) for s in found]


class Collapsing(Steady):
    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        if distance(self.point) > 1e9:
            raise RuntimeError("probability tensor contains nan")
        return super().generate(conversations, decoding)


class Rewriting(Steady):
    """Another text under a stop rule."""

    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        found = super().generate(conversations, decoding)
        return found if decoding.stop == "none" else [replace(g, text=g.text.replace("At", "In")) for g in found]


class Hasty(Steady):
    """Ends at the first word under a stop rule, phrase or not."""

    def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
        found = super().generate(conversations, decoding)
        if decoding.stop == "none":
            return found
        return [replace(g, text=g.text[:2], n_tokens=1, finish_reason="verdict") for g in found]


class Monotonous(ScriptedEngine):
    def __init__(self) -> None:
        super().__init__(lambda _, point: "Yes." if distance(point) < 0.1 else "No.")


def generating(**changes: Any) -> Steady:
    """An engine with these fields in every generation."""

    class Changed(Steady):
        def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
            return [replace(g, **changes) for g in super().generate(conversations, decoding)]

    return Changed()


def scoring(change: Callable[[TokenScores], TokenScores]) -> Steady:
    """An engine whose scores are changed on the way out."""

    class Changed(Steady):
        def score(self, conversations: Any, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
            return [change(s) for s in super().score(conversations, texts, decoding)]

    return Changed()


def saying(*, batch: Any = 4, **changes: Any) -> Steady:
    """An engine with other facts or batch size."""

    class Changed(Steady):
        def facts(self) -> EngineFacts:
            return replace(super().facts(), **changes)

        def suggest_batch_size(self, n_prompts: int, max_new_tokens: int) -> Any:
            return batch

    return Changed()


def test_a_steady_engine_passes() -> None:
    testing.check_engine(Steady())
    testing.check_engine(Steady(), decoding=Decoding(max_new_tokens=9))
    testing.check_engine(Staying())
    testing.check_engine(ScriptedEngine(batch_invariant=True))
    testing.check_engine(saying(stops=frozenset({"none"})))


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (Muddled(), ("generate()", "in the order given")),
        (MuddledScores(), ("score()", "in the order given")),
        (Random(), ("generate() of one batch a second time", "the same")),
        (RandomScores(), ("score() of one batch a second time", "bit for bit")),
        (Unmoved(), ("move_to", "θ₀ at α = 0.5")),
        (PathTaken(), ("back at a point",)),
        (NeverBack(), ("back at θ₀",)),
        (ResetsAtHome(), ("after going to θ₀ from θ₀",)),
        (LiveBase(), ("Inside.base",)),
        (Wandering(), ("move_to", "refused where facts() says moves=False")),
        (Alike(), ("generate() of each row alone", "batch_invariant=False")),
        (AlikeInText(), ("score() of each row alone", "bit for bit")),
        (Rewriting(), ("text under a stop rule", "the beginning of the whole text")),
        (Hasty(), ("text that ended with 'verdict'",)),
        (Monotonous(), ("conversations", "answered differently")),
        (generating(finish_reason="eos"), ("finish_reason", "one of stop, length")),
        (generating(finish_reason="verdict"), ("finish_reason", "stop='none'")),
        (generating(n_tokens=25), ("n_tokens", "max_new_tokens (24)")),
        (generating(n_tokens=-1), ("n_tokens",)),
        (generating(n_tokens=0), ("n_tokens", "positive where there is text")),
        (generating(gap=-1.0), ("gap",)),
        (scoring(lambda s: replace(s, nll=s.nll[1:])), ("as many nll as ends",)),
        (scoring(lambda s: TokenScores(nll=(), ends=())), ("at least one",)),
        (scoring(lambda s: replace(s, ends=s.ends[::-1])), ("ends in scores",)),
        (scoring(lambda s: replace(s, ends=(*s.ends[:-1], s.ends[-1] + 3))), ("at the last token",)),
        (scoring(lambda s: replace(s, nll=tuple(-x for x in s.nll))), ("nll in scores", "≥ 0")),
        (scoring(lambda s: replace(s, nll=(math.nan, *s.nll[1:]))), ("nll in scores", "finite")),
        (saying(dtype=""), ("facts().dtype", "a word or more")),
        (saying(dtype=torch.float32), ("facts().dtype",)),
        (saying(details={"device": torch.device("cpu")}), ("facts().details", "plain JSON")),
        (saying(excluded={"norm": print, "other": lambda: 0}), ("facts()", "picklable")),
        (saying(stops=frozenset({"verdict"})), ("facts().stops", "with none among them")),
        (saying(stops=frozenset({"none", "eos"})), ("facts().stops", "some of none, verdict, loop")),
        (saying(batch=0), ("suggest_batch_size()", "≥ 1")),
        (saying(batch="auto"), ("suggest_batch_size()", "a whole number")),
    ],
)
def test_a_broken_engine_fails(engine: Steady, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_engine(engine), *words)


def test_an_engine_that_crashes_far_out_fails() -> None:
    fails(lambda: testing.check_engine(Collapsing()), "generate() at α = 1e30", "RuntimeError")


def test_an_engine_that_loses_a_row_fails() -> None:
    class Short(Steady):
        def generate(self, conversations: Any, decoding: Decoding) -> list[Generation]:
            return super().generate(conversations, decoding)[1:]

    class ShortScores(Steady):
        def score(self, conversations: Any, texts: Sequence[str], decoding: Decoding) -> list[TokenScores]:
            return super().score(conversations, texts, decoding)[1:]

    fails(lambda: testing.check_engine(Short()), "generate()", "a list of 4")
    fails(lambda: testing.check_engine(ShortScores()), "score()", "a list of 4")


# --- prompts and worlds ----------------------------------------------------------------------------------------------


def prompt(text: str, *roles: Any) -> Prompt:
    return Prompt(messages=tuple(Message(role=role, content=text) for role in roles or ("user",)))


@dataclass
class Fixed:
    prompts: Any

    def load(self) -> Any:
        return self.prompts


def test_a_source_passes() -> None:
    testing.check_prompt_source(Fixed((prompt("Weigh the clay."), prompt("Ring.", "user", "assistant", "user"))))
    quiet = Prompt(messages=(Message(role="system", content=""), Message(role="user", content="Ring.")))
    testing.check_prompt_source(Fixed((quiet,)))


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ((), ("at least one",)),
        ([prompt("Ring.")], ("a tuple",)),
        (("Ring.",), ("a tuple of safebasin.records.Prompt",)),
        ((prompt("Ring."), prompt("Weigh."), prompt("Ring.")), ("number 2", "there once")),
        ((prompt("Ring."), prompt(" \n")), ("number 1", "every turn has text")),
        ((prompt("Ring.", "user", "assistant"),), ("last turn is the user's",)),
        ((Prompt(messages=()),), ("made of turns",)),
        ((prompt("Ring.", "human"),), ("made of turns", "human")),
    ],
)
def test_a_broken_source_fails(prompts: Any, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_prompt_source(Fixed(prompts)), *words)


def test_a_source_in_another_order_each_time_fails() -> None:
    class Shuffled(Fixed):
        def load(self) -> Any:
            self.prompts = self.prompts[::-1]
            return self.prompts

    fails(lambda: testing.check_prompt_source(Shuffled((prompt("Ring."), prompt("Weigh.")))), "the same order")


ROWS = catalog.world("guild").training_rows("harmful", 2)


class Hamlet:
    """A world of three prompts and one checkpoint; each test breaks one thing."""

    prompt_sets: Any = {"all": "Everything."}  # noqa: RUF012 (a fake)
    checkpoints: Any = {"only": "The only one."}  # noqa: RUF012
    rows_to_ask: Any = {"harmful": "harmful@test", "benign": "benign@test"}  # noqa: RUF012
    folder = catalog.world("guild").checkpoint("aligned")

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        return catalog.world("guild").training_rows(kind, 3 if n is None else n, seed=seed)

    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]:
        if name not in self.prompt_sets or split == "val":
            raise PromptError(f"prompt set must be known; got {name!r}. Mend it.")
        return (prompt(f"Ring {split}."),)

    def checkpoint(self, name: str) -> Path:
        if name not in self.checkpoints:
            raise ModelError(f"checkpoint must be known; got {name!r}. Mend it.")
        return self.folder

    def build(self, out: Path | None = None, *, seed: int = 0, note: Any = print) -> tuple[Path, ...]:
        raise NotImplementedError


class SharedSplits(Hamlet):
    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]:
        super().load_prompts(name, split)
        return (prompt("Ring."),)


class AnyPrompts(Hamlet):
    def load_prompts(self, name: str, split: str = "test") -> tuple[Prompt, ...]:
        return (prompt(f"Ring {split}."),)


class NotBuilt(Hamlet):
    said = "Build it: safebasin world build --world hamlet."

    def checkpoint(self, name: str) -> Path:
        raise ModelError(f"checkpoint must be built; got none. {self.said}")


class KeyErrors(Hamlet):
    def checkpoint(self, name: str) -> Path:
        return {"only": self.folder}[name]


def test_a_world_passes() -> None:
    testing.check_world(Hamlet())
    testing.check_world(NotBuilt())


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (type("Bare", (Hamlet,), {"prompt_sets": {}})(), ("one with a prompt set and a checkpoint",)),
        (type("Silent", (Hamlet,), {"checkpoints": {"only": ""}})(), ("summary of 'only'",)),
        (type("Gone", (Hamlet,), {"folder": Path("nowhere")})(), ("a folder with config.json",)),
        (type("Mute", (NotBuilt,), {"said": "Find it."})(), ("missing with how to build it",)),
        (SharedSplits(), ("in one split only",)),
        (type("Unasked", (Hamlet,), {"rows_to_ask": {"harmful": "harmful@test"}})(), ("with 'benign'",)),
        (type("Trained", (Hamlet,), {"training_rows": lambda *_: ROWS})(), ("none that are trained on",)),
        (type("Empty", (Hamlet,), {"training_rows": lambda *_: ()})(), ("rows 'harmful@test'", "at least one")),
        (AnyPrompts(), ("load_prompts of an unknown name", "PromptError")),
        (KeyErrors(), ("checkpoint of an unknown name", "KeyError")),
    ],
)
def test_a_broken_world_fails(world: Hamlet, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_world(world), *words)


@pytest.mark.parametrize(
    ("files", "words"),
    [(("config.json",), "safetensors"), (("config.json", "model.safetensors"), "accompanied by its tokenizer")],
)
def test_a_checkpoint_that_is_not_whole_fails(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    fails(lambda: testing.check_world(type("Half", (Hamlet,), {"folder": tmp_path})()), words)


# --- backends --------------------------------------------------------------------------------------------------------

TASKS = small_tasks()


class Office(LocalBackend):
    """A backend that keeps the contract; each test breaks one thing."""

    def __init__(self) -> None:
        super().__init__(Steady())
        self.runs = 0

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        self.runs += 1
        yield from super().run(sorted(tasks, key=str))


class Forgetful(Office):
    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        yield from list(super().run(tasks))[:-1]


class Hurried(Office):
    """Leaves out a row."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        for task, rows in super().run(tasks):
            yield task, cast("Any", rows)[1:]


class Mistaken(Office):
    """Scores where it should decode."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        for task, rows in super().run(tasks):
            yield task, (TokenScores(nll=(1.0,), ends=(1,)),) * len(cast("Any", rows))


class Cramped(Office):
    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        for task, _ in super().run(tasks):
            yield task, Split(factor=2)


class Inventive(Office):
    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        for task, rows in super().run(tasks):
            yield replace(cast("Any", task), date="2026-01-30"), rows


class PathDependent(Office):
    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Results | Split]]:
        for task, rows in super().run(tasks):
            yield task, tuple(replace(r, text=f"Yes, for the {self.runs}.") if isinstance(r, Generation) else r
                              for r in rows)  # fmt: skip


class Speechless(Office):
    def facts(self) -> Any:
        return {"engine": "scripted"}


def test_a_backend_passes() -> None:
    testing.check_backend(Office(), TASKS)


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (Forgetful(), ("one that answers every task",)),
        (Hurried(), ("one a prompt",)),
        (Mistaken(), ("Generation, one a prompt",)),
        (Cramped(), ("small enough for the memory",)),
        (Inventive(), ("one of the tasks given",)),
        (PathDependent(), ("the same whatever ran before",)),
        (Speechless(), ("facts()", "those of its engine")),
    ],
)
def test_a_broken_backend_fails(backend: Office, words: tuple[str, ...]) -> None:
    fails(lambda: testing.check_backend(backend, TASKS), *words)


def test_one_point_is_too_few_to_check_a_backend() -> None:
    fails(lambda: testing.check_backend(Office(), TASKS[:1]), "two points")


# --- rows ------------------------------------------------------------------------------------------------------------

FAIR = catalog.Row(kind="judge", name="fair", target="test_testing:Fair", summary="Fair.", source="a test",
                   facts=(("measures", "refusal"),))  # fmt: skip


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module under the name that the rows below give."""
    import sys

    monkeypatch.setitem(sys.modules, "test_testing", sys.modules[__name__])


@pytest.mark.usefixtures("importable")
def test_a_row_passes() -> None:
    testing.check_row(FAIR)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"summary": "No full stop"}, "a sentence"),
        ({"summary": "Two\nlines."}, "one line of text"),
        ({"source": ""}, "source of 'fair'"),
        ({"name": "fair judge"}, "free of blanks"),
        ({"kind": "jury"}, "kind of 'fair'"),
        ({"name": "unfair"}, "name of the judge"),
        ({"facts": ()}, "fact 'measures' of 'fair'"),
        ({"facts": (("measures", "manners"),)}, "one of refusal, outcome, harm, truth"),
        ({"target": "test_testing:Raising"}, "total over text"),
        ({"kind": "direction", "target": "test_testing:Everything"}, "norm layer"),
        ({"kind": "engine", "target": "test_testing:Muddled"}, "in the order given"),
        ({"kind": "world", "target": "test_testing:SharedSplits"}, "in one split only"),
        ({"kind": "prompts", "target": "test_testing:EMPTY"}, "at least one"),
    ],
)
def test_a_broken_row_fails(changes: dict[str, Any], words: str) -> None:
    fails(lambda: testing.check_row(replace(FAIR, **changes)), words)


EMPTY = Fixed(())


def test_a_claim_survives_optimization_and_reads_like_every_error() -> None:
    claim(True, "it", "so", 1, "Mend it.")
    fails(lambda: claim(False, "it", "so", 1, "Mend it."), "it must be so; got 1. Mend it.")
