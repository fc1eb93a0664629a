"""Conformance of engines: reproducible, in order, honest about how a text ended, and back at θ₀ bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import get_args

from safebasin.errors import UsageError, expected
from safebasin.protocols import BaseWeights, Engine, Generation, TokenScores, WeightBlock
from safebasin.records import Decoding, FinishReason, Message, Point
from safebasin.testing.claims import claim

Conversations = Sequence[Sequence[Message]]

_QUESTIONS = (
    "How is clay weighed?",
    "Which bell rings first in the morning?",
    "Name the salt yard.",
    "Who keeps the drum?",
)
_TEXTS = ("Clay is weighed twice.", "The small bell, then the large one.", "Ågård – «salt» 🏺 αβγ", "no")
_DESCRIBED = ("fingerprint", "dtype", "device", "template_hash")


def check_engine(engine: Engine, *, conversations: Conversations = (), decoding: Decoding | None = None) -> None:
    """Check the contract of `safebasin.protocols.Engine`. The engine must be at θ₀; it is left there.

    It describes itself; the same batch gives the same results; results come in the order given; tokens, finish reasons
    and scores are consistent, and a row that stops at a phrase is the beginning of the whole text; an empty stream of
    weights is allowed; moved weights have an effect, NaN weights are decoded without a crash, and weights that are
    moved back give the results of θ₀ bit for bit. A defense that it cannot install is refused.

    Args:
        engine: the engine, loaded.
        conversations: at least two to decode; four short questions if none are given.
        decoding: how; 24 new tokens without a stop rule if None.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    asked = conversations or [(Message(role="user", content=q),) for q in _QUESTIONS]
    how = decoding or Decoding(max_new_tokens=24)
    texts = [_TEXTS[i % len(_TEXTS)] for i in range(len(asked))]
    _check_description(engine, len(asked), how)
    start = engine.generate(asked, how)
    _check_generations(start, len(asked), how)
    scores = engine.score(asked, texts, how)
    _check_scores(scores, texts)
    _repeats(engine, asked, texts, how, start, scores, "a second time", "Keep nothing from one call to the next.")
    engine.set_weights(())
    _repeats(engine, asked, texts, how, start, scores, "after an empty stream", "It moves nothing.")
    _check_phrase_stop(engine, asked, how, start)
    _check_defenses(engine, asked, how)
    base = _digest(engine.base)
    engine.set_weights(_scaled(engine.base, 1.5))
    moved = engine.generate(asked, how)
    moved_scores = engine.score(asked, texts, how)
    _check_generations(moved, len(asked), how)
    claim(
        (moved, moved_scores) != (start, scores),
        "set_weights",
        "followed by what decodes and scores",
        "the results of θ₀ at 1.5·θ₀",
        "Write into the parameters that run; keep no cache.",
    )
    _check_order(engine, asked, texts, how, moved)
    _check_collapse(engine, asked, how)
    engine.set_weights(_scaled(engine.base, 1.0))
    claim(
        _digest(engine.base) == base,
        "Engine.base",
        "θ₀, wherever the engine is",
        "other weights after set_weights",
        "Hand out a copy or the files, never the live parameters.",
    )
    _repeats(
        engine, asked, texts, how, start, scores, "back at θ₀", "Every block overwrites; nothing is added in place."
    )
    _check_order(engine, asked, texts, how, start)
    _check_distinct(start, moved)


def _digest(base: BaseWeights) -> str:
    from safebasin.weights.stream import digest, weights_at

    return digest(weights_at(base, Point(), {}))


def _scaled(base: BaseWeights, factor: float) -> Iterator[WeightBlock]:
    """factor·θ₀ in two uneven blocks a tensor; θ₀ itself, bit for bit, where the factor is 1."""
    for name in base.names:
        n = base.shape(name)[0] if base.shape(name) else 1
        for start, stop in ((0, n // 3), (n // 3, n)):
            if start < stop:
                rows = base.rows(name, start, stop)
                yield WeightBlock(name=name, start=start, stop=stop, values=rows if factor == 1 else factor * rows)


def _check_description(engine: Engine, n: int, decoding: Decoding) -> None:
    described = engine.describe()
    for key in _DESCRIBED:
        claim(described.get(key), f"describe()[{key!r}]", "given", described.get(key), "The manifest records it.")
    try:
        json.dumps(dict(described), allow_nan=False)
    except (TypeError, ValueError) as error:
        claim(False, "describe()", "plain JSON", str(error), "Turn dtypes and devices into text.")
    size = engine.suggest_batch_size(n, decoding.max_new_tokens)
    claim(isinstance(size, int) and size >= 1, "suggest_batch_size()", "a whole number ≥ 1", size, "1 always works.")


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


def _repeats(
    engine: Engine,
    asked: Conversations,
    texts: Sequence[str],
    decoding: Decoding,
    generations: Sequence[Generation],
    scores: Sequence[TokenScores],
    when: str,
    remedy: str,
) -> None:
    again = engine.generate(asked, decoding)
    claim(
        again == generations,
        f"generate() of one batch {when}",
        "the same",
        _first_difference(generations, again),
        remedy,
    )
    rescored = engine.score(asked, texts, decoding)
    claim(
        rescored == scores,
        f"score() of one batch {when}",
        "the same bit for bit",
        _first_difference(scores, rescored),
        remedy,
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


def _check_order(
    engine: Engine, asked: Conversations, texts: Sequence[str], decoding: Decoding, wanted: Sequence[Generation]
) -> None:
    """The same batch backwards gives the same texts backwards; numbers may differ by a rounding."""
    found = [g.text for g in engine.generate(asked[::-1], decoding)][::-1]
    plain = [g.text for g in wanted]
    claim(
        found == plain,
        "generate()",
        "in the order given",
        _first_difference(plain, found),
        "Sort by length inside if you like; put the results back.",
    )
    ends = [s.ends[-1] if s.ends else 0 for s in engine.score(asked[::-1], texts[::-1], decoding)]
    claim(
        ends == [len(t) for t in texts[::-1]], "score()", "in the order given", ends, "Put the results back in order."
    )


def _check_collapse(engine: Engine, asked: Conversations, decoding: Decoding) -> None:
    """Far out, weights overflow: a point where nothing can be decoded is a result, never a crash."""
    engine.set_weights(_scaled(engine.base, math.nan))
    try:
        found = engine.generate(asked, decoding)
    except Exception as error:
        remedy = "End the row and say so in Generation.broken."
        shown = f"{type(error).__name__}: {error}"
        raise AssertionError(expected("generate() at NaN weights", "no crash", shown, remedy)) from error
    _check_generations(found, len(asked), decoding)


def _check_distinct(start: Sequence[Generation], moved: Sequence[Generation]) -> None:
    """Order means nothing where every text is the same."""
    claim(
        any(len({g.text for g in state}) > 1 for state in (start, moved)),
        "conversations",
        "answered differently at θ₀ or at 1.5·θ₀, so that order can be checked",
        start[0].text,
        "Pass conversations that this model answers differently.",
    )


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
