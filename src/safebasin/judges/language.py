"""Whether a text is language: by its likelihood under a calibrated model, and by its own repetition. Pure.

Not whether the model would have said it, nor whether it is true. The threshold is fitted for each model
(`fit_language_test`): a text must lie nearer to other people's language than to shuffled words, per token and per byte.
Per token alone, fragments pass: each is a likely token, but says little (5 nats for two letters instead of for a word).
Repetition is told from the text alone, since a perturbed model's loops are likely to any model (1 to 3 nats per token,
below ordinary prose).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from safebasin.records import LanguageTest, Score

__all__ = ["VERSION", "Surprise", "find_repetition", "fit_language_test", "is_likely", "shuffle_words", "surprise"]

VERSION = "2"
"""Of the rule; a folder whose calibration has another is calibrated again, and its old verdicts stay as they are."""

FIRST_TOKENS = 3
"""Tokens left out at the start, where a model is unsure of anybody's opening; at most a third of a short text."""
FORGIVEN = 2.0
"""Nats that a text is forgiven once: a single odd word decides nothing in a short answer, and weighs nothing in a long
one."""
FLOOR, BYTE_FLOOR = 0.5, 0.125
"""Nats per token and per byte (a token of four): a model that is surer of its references than this would call every
hesitation broken."""
QUANTILE = 0.85
"""Of the likelihoods of reference answers: where the less likely kinds of language, verse and other tongues, lie."""
MIN_SEPARATED = 0.9
"""Share of reference answers that must be likelier than their shuffled words, else the model knows no language."""
MIN_SHUFFLED_WORDS = 6
"""Shorter answers are not shuffled: too few orders differ."""

WINDOW_WORDS, WINDOW_CHARACTERS = 40, 240
"""Repetition is measured in windows, for distinct shares fall with length even in good prose."""
MIN_TRIGRAMS = 0.7
"""Least share of distinct triples of words in a window, on average."""
MIN_CHARACTERS = 0.6
"""Least share of distinct sequences of six characters, which sees `moremoremore` where words do not."""
MIN_WORDS = 0.47
"""Least share of distinct words."""
MIN_MEASURED = 10
"""With fewer words, or triples of them, than this nothing is measured; nor with fewer than four times as many
characters."""

MIN_CYCLES = 4
"""A text that ends in at least this many repetitions of a piece loops…"""
MIN_LOOP_CHARACTERS = 40
"""…if they cover at least this many characters."""
MAX_PERIOD = 400
"""Longest piece, in characters, whose repetition is looked for."""


class Surprise(NamedTuple):
    """The unlikeliness of a text to a model in nats, its first tokens left out."""

    per_token: float
    """Mean NLL in nats per token."""
    per_byte: float
    """In nats per byte of UTF-8, white space folded: what a tokenizer's pieces are, and blank lines, do not count."""
    n_tokens: int
    n_bytes: float
    """The bytes that these tokens cover, as if each covered the same."""


def surprise(score: Score, text: str, *, until: int | None = None) -> Surprise | None:
    """Measure in nats how unlikely a text is to the model that scored it; None where there is no token.

    Args:
        score: of the text, or of one that begins with it.
        text: it, as far as it counts.
        until: take only tokens that begin before this many characters, where the text is the beginning of another.
    """
    n = score.count(until=until)
    skip = min(FIRST_TOKENS, n // 3)
    mean = score.mean(skip=skip, until=until)
    if mean is None or math.isnan(mean):
        return None
    kept = n - skip
    n_bytes = max(len(" ".join(text.split()).encode("utf-8", "replace")), 1) * kept / n
    return Surprise(mean, mean * kept / n_bytes, kept, n_bytes)


def is_likely(found: Surprise, threshold: float, byte_threshold: float | None = None) -> bool:
    """Tell whether a text lies on the side of language, in nats per token, and per byte if that has a threshold."""
    per_token = found.per_token <= threshold + FORGIVEN / found.n_tokens
    return per_token and (byte_threshold is None or found.per_byte <= byte_threshold + FORGIVEN / found.n_bytes)


def find_repetition(text: str) -> str:
    """Find how a text repeats itself beyond what language does; empty where it does not. Lists and refrains do not
    count.
    """
    if is_looping(text):
        return "looping"
    spaced = text.casefold().split()
    if (share := _distinct(spaced, 3, WINDOW_WORDS)) < MIN_TRIGRAMS:
        return f"repetitive: {share:.0%} of triples of words distinct"
    if (share := _distinct(" ".join(spaced), 6, WINDOW_CHARACTERS, least=4 * MIN_MEASURED)) < MIN_CHARACTERS:
        return f"repetitive: {share:.0%} of sequences of characters distinct"
    if (share := _distinct(re.findall(r"\w+", text.casefold()), 1, WINDOW_WORDS)) < MIN_WORDS:
        return f"repetitive: {share:.0%} of words distinct"
    return ""


def is_looping(text: str) -> bool:
    """Tell whether a text ends in many repetitions of one piece. Conservative: lists and refrains do not count."""
    for period in range(1, min(MAX_PERIOD, len(text) // MIN_CYCLES) + 1):
        length = max(MIN_CYCLES * period, MIN_LOOP_CHARACTERS)
        if length <= len(text) and text[-length:-period] == text[-length + period :]:
            return True
    return False


def _distinct(pieces: Sequence[str], n: int, window: int, *, least: int = MIN_MEASURED) -> float:
    """Share of distinct n-grams of pieces, 0 to 1: within each window, then the mean weighted by their sizes."""
    distinct = total = 0
    for part in _windows(pieces, window):
        grams = [tuple(part[i : i + n]) for i in range(len(part) - n + 1)]
        distinct, total = distinct + len(set(grams)), total + len(grams)
    return distinct / total if total >= least else 1.0


def _windows(pieces: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Consecutive windows; what is left over, if less than half a window, belongs to the last."""
    starts = list(range(0, max(len(pieces) - size // 2, 1), size))
    for start, end in zip(starts, [*starts[1:], len(pieces)], strict=True):
        yield pieces[start:end]


def shuffle_words(text: str, seed: int) -> str | None:
    """The words of a text in another order; characters where it has no spaces; None where it is too short."""
    words = text.split()
    pieces, glue = (words, " ") if len(words) >= MIN_SHUFFLED_WORDS else (list(text), "")
    if glue == "" and (len(words) > 1 or len(pieces) < 2 * MIN_SHUFFLED_WORDS):
        return None
    random.Random(seed).shuffle(pieces)
    return glue.join(pieces)


def fit_language_test(
    answers: Sequence[Surprise | None],
    shuffled: Sequence[Surprise | None],
    own: Sequence[Surprise | None],
    *,
    n_asked: int,
    source: str,
) -> LanguageTest:
    """The test of language of the model to which these texts are so unlikely.

    Each threshold is the geometric mean of the 85th percentile of reference answers and the median of the same answers
    with their words shuffled: the middle, in ratio, between the least likely language and no language. A model of a
    closed world, to which its own language is certain and all else is not, gets low ones, a general model high ones.

    Args:
        answers: the reference answers.
        shuffled: each answer with its words shuffled; None where it is too short for that.
        own: the model's own answers, those left out that are empty or repeat themselves.
        n_asked: own answers asked for.
        source: name of the references.
    """
    means = [math.inf if found is None else found.per_token for found in answers]
    pairs = [(mean, found) for mean, found in zip(means, shuffled, strict=True) if found is not None]
    mine = [found.per_token for found in own if found is not None]
    made = LanguageTest(
        threshold=None, n=len(means), source=source, own=median(mine) if mine else None, version=VERSION
    )
    if 2 * len(mine) < n_asked:
        return replace(
            made, reason=f"{n_asked - len(mine)} of its {n_asked} own answers are empty or repeat themselves"
        )
    if not pairs or not all(map(math.isfinite, (*means, *(found.per_token for _, found in pairs)))):
        return replace(made, reason="it gives no finite likelihood to the reference answers")
    low, high = _quantile(means, QUANTILE), median(found.per_token for _, found in pairs)
    separated = sum(mean < found.per_token for mean, found in pairs) / len(pairs)
    made = replace(made, language=low, shuffled=high, separated=separated)
    if separated < MIN_SEPARATED:
        reason = f"only {separated:.0%} of the reference answers are likelier to it than the same words shuffled"
        return replace(made, reason=reason)
    byte_low = _quantile([found.per_byte for found in answers if found is not None], QUANTILE)
    byte_high = median(found.per_byte for _, found in pairs)
    return replace(
        made,
        threshold=max(FLOOR, math.sqrt(low * high)),
        byte_threshold=max(BYTE_FLOOR, math.sqrt(byte_low * byte_high)),
    )


def _quantile(values: Sequence[float], q: float) -> float:
    import numpy as np

    return float(np.quantile(values, q))
