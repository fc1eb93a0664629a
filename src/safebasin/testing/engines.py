"""Conformance of engines: reproducible, in order, honest about how a text ended, and back at θ₀ bit for bit."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

from safebasin.errors import UsageError, expected
from safebasin.protocols import UNMERGED, Engine, EngineFacts, Generation, Inside, ManyPoints, TokenScores
from safebasin.records import Decoding, DirectionSpec, FinishReason, Message, Point
from safebasin.testing.claims import claim

Conversations = Sequence[Sequence[Message]]

_QUESTIONS = (
    "How is clay weighed?",
    "Which bell rings first in the morning?",
    "Name the salt yard.",
    "Who keeps the drum?",
)
_TEXTS = ("Clay is weighed twice.", "The small bell, then the large one.", "Ågård – «salt» 🏺 αβγ", "no")
_STOPS = ("none", "verdict", "loop")
_DESCRIBED = ("engine", "fingerprint", "dtype", "device", "template_hash")


def check_engine(
    engine: Engine,
    *,
    conversations: Conversations = (),
    decoding: Decoding | None = None,
    direction: DirectionSpec | None = None,
) -> None:
    """Check the contract of `safebasin.protocols.Engine`. The engine must be at θ₀; it is left there.

    It says what it is; the same batch gives the same results; results come in the order given; tokens, finish
    reasons and scores are consistent, and where it honors `verdict` a row that stops at a phrase is the beginning
    of the whole text. One that moves gives other results elsewhere, the same ones at a point whatever came before,
    decodes far out without a crash, and is back at θ₀ bit for bit; one that does not refuses to go. One that says
    that it is invariant to its batch gives every row alone bit for bit as in the batch; where it does not say so,
    batches are part of the plan, and only texts are compared across them. One that serves adapters beside the
    weights says so in its name, and gives at points that are asked together the texts that it gives at each. Of one
    that lends its module (`Inside`), `base` stays θ₀. A defense that it cannot install is refused.

    Args:
        engine: the engine, loaded.
        conversations: at least two to decode; four short questions if none are given.
        decoding: how; 24 new tokens without a stop rule if None.
        direction: to move along; a drawn one if None.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    asked = conversations or [(Message(role="user", content=q),) for q in _QUESTIONS]
    how = decoding or Decoding(max_new_tokens=24)
    line = direction or DirectionSpec(kind="random", seed=0)
    seen = _Seen(engine, asked, [_TEXTS[i % len(_TEXTS)] for i in range(len(asked))], how)
    facts = _check_facts(engine, len(asked), how)
    start = seen.results()
    _check_generations(start.generations, len(asked), how)
    _check_scores(start.scores, seen.texts)
    seen.repeats(start, "a second time", "Keep nothing from one call to the next.")
    engine.move_to(Point())
    seen.repeats(start, "after going to θ₀ from θ₀", "It moves nothing.")
    if "verdict" in facts.stops:
        _check_phrase_stop(engine, asked, how, start.generations)
    _check_defenses(engine, asked, how)
    _check_order(engine, seen, start.generations)
    if facts.batch_invariant:
        _check_alone(seen, start)
    if facts.unmerged or UNMERGED in facts.engine:
        _check_together(seen, start, facts)
    if facts.moves:
        _check_moving(seen, start, line)
    else:
        _check_staying(engine, line)
        _check_distinct(start.generations)
    claim(engine.facts() == facts, "facts()", "the same wherever the engine is", engine.facts(), "Say what is loaded.")


class _Results(NamedTuple):
    generations: list[Generation]
    scores: list[TokenScores]


class _Seen(NamedTuple):
    """What is asked of an engine, again and again."""

    engine: Engine
    asked: Conversations
    texts: Sequence[str]
    decoding: Decoding

    def results(self) -> _Results:
        found = self.engine.generate(self.asked, self.decoding)
        return _Results(found, self.engine.score(self.asked, self.texts, self.decoding))

    def repeats(self, wanted: _Results, when: str, remedy: str) -> None:
        """Check that the same is said and scored as before, bit for bit."""
        again = self.engine.generate(self.asked, self.decoding)
        shown = _first_difference(wanted.generations, again)
        claim(again == wanted.generations, f"generate() of one batch {when}", "the same", shown, remedy)
        scores = self.engine.score(self.asked, self.texts, self.decoding)
        shown = _first_difference(wanted.scores, scores)
        claim(scores == wanted.scores, f"score() of one batch {when}", "the same bit for bit", shown, remedy)


def _check_moving(seen: _Seen, start: _Results, line: DirectionSpec) -> None:
    """Away from θ₀, to and fro, far out, and back."""
    engine, (here, there, far) = seen.engine, (Point.at((line, alpha)) for alpha in (0.5, -0.5, 1e30))
    base = _digest(engine)
    engine.move_to(here)
    moved = seen.results()
    _check_generations(moved.generations, len(seen.asked), seen.decoding)
    remedy = "Decode and score with the weights of the point; keep no cache."
    claim(moved != start, "move_to", "followed by what decodes and scores", "the results of θ₀ at α = 0.5", remedy)
    _check_order(engine, seen, moved.generations)
    engine.move_to(there)
    seen.results()
    engine.move_to(here)
    seen.repeats(moved, "back at a point", "A point is computed from θ₀, never from where the engine is.")
    engine.move_to(far)
    _check_collapse(seen)
    engine.move_to(Point())
    remedy = "Hand out a copy or the files, never the live parameters."
    claim(_digest(engine) == base, "Inside.base", "θ₀, wherever the engine is", "other weights after move_to", remedy)
    seen.repeats(start, "back at θ₀", "Every tensor is overwritten; nothing is added in place.")
    _check_distinct(start.generations, moved.generations)


def _check_together(seen: _Seen, start: _Results, facts: EngineFacts) -> None:
    """Points along an adapter that is served beside the weights, in one batch and one after the other."""
    engine, is_named = seen.engine, UNMERGED in facts.engine
    remedy = "Responses of merged weights have other keys."
    claim(facts.unmerged and is_named, "facts().engine", f"one with {UNMERGED!r}", facts.engine, remedy)
    claim(isinstance(engine, ManyPoints), "engine", "ManyPoints, since it has facts().unmerged", engine, "Be it.")
    assert isinstance(engine, ManyPoints)
    points = [Point.at((facts.unmerged[0], alpha)) for alpha in (0.5, 1.0)][: facts.at_once]
    alone: list[list[str]] = []
    for point in points:
        engine.move_to(point)
        alone.append([g.text for g in engine.generate(seen.asked, seen.decoding)])
    found = engine.generate_together(points, [seen.asked] * len(points), seen.decoding)
    texts = [[g.text for g in rows] for rows in found]
    shown, remedy = _first_difference(alone, texts), "Each row is under the adapter of its own point."
    claim(texts == alone, "generate_together()", "the texts of each point by itself", shown, remedy)
    seen.repeats(start, "after points that were asked together", "It is at θ₀ then.")


def _check_staying(engine: Engine, line: DirectionSpec) -> None:
    """Weights that are only asked as they are must not be said to be elsewhere."""
    try:
        engine.move_to(Point.at((line, 0.5)))
    except UsageError:
        return
    claim(False, "move_to", "refused where facts() says moves=False", "no error", "Raise ModelError away from θ₀.")


def _digest(engine: Engine) -> str:
    from safebasin.weights.stream import digest, weights_at

    return digest(weights_at(engine.base, Point(), {})) if isinstance(engine, Inside) else ""


def _check_facts(engine: Engine, n: int, decoding: Decoding) -> EngineFacts:
    facts = engine.facts()
    for key in _DESCRIBED:
        found = getattr(facts, key)
        claim(isinstance(found, str) and found, f"facts().{key}", "a word or more", found, "The manifest records it.")
    try:
        json.dumps(facts.described(), allow_nan=False)
    except (TypeError, ValueError) as error:
        claim(False, "facts().details", "plain JSON", str(error), "Turn dtypes and devices into text.")
    wanted = f"some of {', '.join(_STOPS)}, with none among them"
    claim({"none"} <= facts.stops <= set(_STOPS), "facts().stops", wanted, sorted(facts.stops), "List what it honors.")
    claim(
        decoding.stop in facts.stops, "decoding", "under a stop rule that the engine honors", decoding.stop, "Mend it."
    )
    _check_crosses(facts)
    size = engine.suggest_batch_size(n, decoding.max_new_tokens)
    claim(isinstance(size, int) and size >= 1, "suggest_batch_size()", "a whole number ≥ 1", size, "1 always works.")
    return facts


def _check_crosses(facts: EngineFacts) -> None:
    """Facts are asked of workers in other processes."""
    try:
        crossed = pickle.loads(pickle.dumps(facts))
    except Exception as error:  # whatever an object's own pickling raises
        crossed = error
    claim(crossed == facts, "facts()", "picklable", crossed, "Keep plain values in it.")


def _check_generations(found: Sequence[Generation], n: int, decoding: Decoding) -> None:
    claim(
        isinstance(found, list) and len(found) == n,
        "generate()",
        f"a list of {n} generations",
        found,
        "One per conversation, in the order given.",
    )
    allowed = ("stop", "length") if decoding.stop == "none" else get_args(FinishReason)
    limit = decoding.max_new_tokens
    for g in found:
        claim(
            g.finish_reason in allowed,
            "finish_reason",
            f"one of {', '.join(allowed)} (stop={decoding.stop!r})",
            g.finish_reason,
            "Say how the text ended: on its own, or at the limit.",
        )
        claim(
            0 <= g.n_tokens <= limit,
            "n_tokens",
            f"within 0 and max_new_tokens ({limit})",
            g.n_tokens,
            "Count new tokens, without the end of sequence.",
        )
        claim(
            g.n_tokens or not (g.text or g.thinking), "n_tokens", "positive where there is text", g, "Count new tokens."
        )
        claim(g.gap is None or g.gap >= 0, "gap", "None or ≥ 0", g.gap, "It is best minus second-best logit.")


def _check_scores(found: Sequence[TokenScores], texts: Sequence[str]) -> None:
    claim(
        isinstance(found, list) and len(found) == len(texts),
        "score()",
        f"a list of {len(texts)}",
        found,
        "One per text, in the order given.",
    )
    for scores, text in zip(found, texts, strict=True):
        what = f"scores of {text!r}"
        claim(
            len(scores.nll) == len(scores.ends) > 0,
            what,
            "as many nll as ends, at least one",
            (len(scores.nll), len(scores.ends)),
            "One of each per token of the text.",
        )
        claim(
            list(scores.ends) == sorted(scores.ends) and scores.ends[0] >= 0,
            f"ends in {what}",
            "non-decreasing",
            scores.ends,
            "Characters covered up to and including each token.",
        )
        claim(
            scores.ends[-1] == len(text),
            f"ends in {what}",
            f"{len(text)} at the last token",
            scores.ends[-1],
            "The tokens cover the text, whole: count characters, not bytes.",
        )
        valid = all(math.isfinite(x) and x >= -1e-6 for x in scores.nll)
        claim(
            valid, f"nll in {what}", "finite and ≥ 0 at θ₀", scores.nll, "Negative natural logarithm of the likelihood."
        )


def _first_difference(before: Iterable[object], after: Iterable[object]) -> object:
    return next(((b, a) for b, a in zip(before, after, strict=False) if a != b), "another number of results")


def _check_defenses(engine: Engine, asked: Conversations, how: Decoding) -> None:
    """Responses without the defense that a decoding names would pass for those of the defended model."""
    what = "generate() under a defense that does not exist"
    try:
        engine.generate(asked, replace(how, defenses=("no-such-defense@1",)))
    except UsageError:
        return
    except Exception as error:  # whatever it raises, a user could not mend it
        got: object = repr(error)
    else:
        got = "responses"
    claim(False, what, "refused with a UsageError", got, "Install Decoding.defenses, or refuse them.")


def _check_order(engine: Engine, seen: _Seen, wanted: Sequence[Generation]) -> None:
    """The same batch backwards gives the same texts backwards; numbers may differ by a rounding."""
    asked, texts, decoding = seen.asked[::-1], seen.texts[::-1], seen.decoding
    found, plain = [g.text for g in engine.generate(asked, decoding)][::-1], [g.text for g in wanted]
    remedy = "Sort by length inside if you like; put the results back."
    claim(found == plain, "generate()", "in the order given", _first_difference(plain, found), remedy)
    ends = [s.ends[-1] if s.ends else 0 for s in engine.score(asked, texts, decoding)]
    claim(ends == [len(t) for t in texts], "score()", "in the order given", ends, "Put the results back in order.")


def _check_alone(seen: _Seen, wanted: _Results) -> None:
    """One that is invariant to its batch: every row alone, bit for bit."""
    engine, how = seen.engine, seen.decoding
    alone = [engine.generate([conversation], how)[0] for conversation in seen.asked]
    remedy = "Say batch_invariant=False: batches are then part of the plan."
    shown = _first_difference(wanted.generations, alone)
    claim(alone == wanted.generations, "generate() of each row alone", "bit for bit that of the batch", shown, remedy)
    scores = [engine.score([c], [text], how)[0] for c, text in zip(seen.asked, seen.texts, strict=True)]
    shown = _first_difference(wanted.scores, scores)
    claim(scores == wanted.scores, "score() of each row alone", "bit for bit that of the batch", shown, remedy)


def _check_collapse(seen: _Seen) -> None:
    """Far out, weights overflow: a point where nothing can be decoded is a result, never a crash."""
    try:
        found = seen.engine.generate(seen.asked, seen.decoding)
    except Exception as error:
        remedy = "End the row and say so in Generation.broken."
        shown = f"{type(error).__name__}: {error}"
        raise AssertionError(expected("generate() at α = 1e30", "no crash", shown, remedy)) from error
    _check_generations(found, len(seen.asked), seen.decoding)


def _check_distinct(*states: Sequence[Generation]) -> None:
    """Order means nothing where every text is the same."""
    constraint = "answered differently at θ₀ or away from it, so that order can be checked"
    distinct = any(len({g.text for g in state}) > 1 for state in states)
    remedy = "Pass conversations that this model answers differently."
    claim(distinct, "conversations", constraint, states[0][0].text, remedy)


def _check_phrase_stop(engine: Engine, asked: Conversations, decoding: Decoding, whole: Sequence[Generation]) -> None:
    """With a phrase out of the middle of a text, a row may end there: never without the phrase, never another text."""
    longest = max((g.text for g in whole), key=len)
    phrase = longest[len(longest) // 4 : len(longest) // 4 + 6]
    if not phrase.strip():
        return
    cut = engine.generate(asked, replace(decoding, stop="verdict", phrases=((phrase,),)))
    _check_generations(cut, len(asked), replace(decoding, stop="verdict"))
    for before, after in zip(whole, cut, strict=True):
        if after.finish_reason == "verdict":
            claim(
                phrase in after.text,
                "text that ended with 'verdict'",
                f"one that holds {phrase!r}",
                after.text,
                "A row may end when every list of Decoding.phrases has a hit.",
            )
        claim(
            before.text.startswith(after.text.rstrip("\ufffd")),
            "text under a stop rule",
            f"the beginning of the whole text ({before.text[:60]!r}…)",
            after.text,
            "A stop rule ends a row; it changes nothing before.",
        )
