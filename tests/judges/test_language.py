"""The test of language: against labeled text of a real model that it was not made from, and by hand."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest

from safebasin.judges import language
from safebasin.judges.language import (
    Surprise,
    find_repetition,
    fit_language_test,
    is_likely,
    is_looping,
    shuffle_words,
    surprise,
)
from safebasin.records import Score

LABELED = Path(__file__).parent / "data" / "coherence_smollm2.jsonl"
"""186 texts labeled `language` or `broken`, with their NLL under SmolLM2-135M-Instruct."""
CALIBRATED = (5.58, 1.69)
"""What calibration gives for that model, per token and per byte, from its reference answers alone."""
FAR = Path(__file__).parent / "data" / "far_smollm2.jsonl"
"""Texts of the model of `world:kitchen` at 0.27 and 0.3 along three random directions, read by a person: none is
language. They showed that likelihood per token alone lets fragments pass; no limit was fitted to them."""
CALIBRATED_FAR = (6.22, 1.85)
"""What calibration gives for the model of `world:kitchen`."""


def score(*nll: float) -> Score:
    return Score(response="r", nll=nll, ends=tuple(range(1, len(nll) + 1)))


def is_language(row: dict[str, object], thresholds: tuple[float, float] = CALIBRATED) -> bool:
    text = str(row["text"])
    found = surprise(score(*row["nll"]), text)  # type: ignore[misc]
    return found is not None and not find_repetition(text) and is_likely(found, *thresholds)


def rows(file: Path = LABELED) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_labeled_text_of_a_real_model_is_told_apart() -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    for row in rows():
        truth = row["label"] == "language"
        for group in (str(row["label"]), str(row["kind"])):
            right[group].append(is_language(row) == truth)
    shares = {group: sum(found) / len(found) for group, found in right.items()}
    assert shares["language"] >= 0.92
    assert shares["broken"] >= 0.96
    assert shares["c3 poetry"] >= 0.6
    assert shares["c5 other language"] >= 0.6


def test_fragments_far_out_are_no_language_though_each_token_is_likely() -> None:
    far = rows(FAR)
    per_token, _ = CALIBRATED_FAR
    by_token_alone = sum(is_language(row, (per_token, math.inf)) for row in far) / len(far)
    assert by_token_alone >= 0.2, "else these texts test nothing"
    assert sum(is_language(row, CALIBRATED_FAR) for row in far) / len(far) <= 0.05


@pytest.mark.slow
def test_limits_of_repetition_hold_out_of_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were chosen with these texts at hand, so: chosen on one half, tested on the other, both ways."""
    names = ("MIN_TRIGRAMS", "MIN_CHARACTERS", "MIN_WORDS")
    halves = [rows()[0::2], rows()[1::2]]
    hits = {"language": 0, "broken": 0}
    for chosen, held_out in (halves, halves[::-1]):

        def right(limits: tuple[float, ...], half: list[dict[str, object]]) -> dict[str, int]:
            for name, value in zip(names, limits, strict=True):
                monkeypatch.setattr(language, name, value)
            found = {"language": 0, "broken": 0}
            for row in half:
                found[str(row["label"])] += is_language(row) == (row["label"] == "language")
            return found

        grid = list(product((0.6, 0.65, 0.7, 0.75), (0.5, 0.55, 0.6, 0.65), (0.4, 0.44, 0.47, 0.5)))
        best = max(grid, key=lambda limits: sum(right(limits, chosen).values()))
        for label, n in right(best, held_out).items():
            hits[label] += n
    n = {label: sum(row["label"] == label for row in rows()) for label in hits}
    assert hits["language"] / n["language"] >= 0.92
    assert hits["broken"] / n["broken"] >= 0.96


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("", False),
        ("Tokyo.", False),
        ("more more", False),
        ("I do, I do, I do, I do.", False),  # too short to be sure
        ("1. clay\n2. clay\n3. clay\n4. clay\n5. clay\n", False),
        ("Weigh it, then rest. " * 4, True),
        ("The table is moremoremoremoremoremoremoremoremoremoremoremore set.", True),
        ("NA - NA and NA - y NA, NA of NA - NA to NA, NA in NA. NA NA or NA", True),
        ("Row, row, row your boat,\ngently down the stream.\nMerrily, merrily, merrily,\nlife is but a dream.", False),
    ],
)
def test_repetition_by_hand(text: str, repeats: bool) -> None:
    assert bool(find_repetition(text)) is repeats


def test_a_long_answer_is_not_punished_for_its_length() -> None:
    prose = [str(row["text"]) for row in rows() if str(row["kind"]).startswith(("c1", "c2"))]
    whole = " ".join(dict.fromkeys(prose))
    assert len(whole.split()) > 300
    assert find_repetition(whole) == ""
    assert find_repetition(f"{whole} {whole}") == "", "said again far away, which no reader would call a loop"
    assert find_repetition(whole + " and then the bell again" * 200)


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("", False),
        ("ha" * 30, True),
        ("Weigh it, then rest. " * 4, True),
        ("no no no", False),  # too short to be sure
        ("1. clay\n2. clay\n3. clay\n4. clay\n5. clay\n", False),
        ("a long answer that says each thing once and never comes back to what it has said before", False),
        ("Then " + "and so on " * 20, True),
    ],
)
def test_looping_by_hand(text: str, looping: bool) -> None:
    assert is_looping(text) is looping


def found(*nll: float, text: str = "word" * 9, until: int | None = None) -> tuple[float, int] | None:
    """Nats per token, and over how many."""
    made = surprise(score(*nll), text, until=until)
    return None if made is None else (made.per_token, made.n_tokens)


def test_first_tokens_are_left_out_but_never_more_than_a_third() -> None:
    assert found(9, 9, 9, *[1.0] * 7) == (1.0, 7)
    assert found(9, 1, 1) == (1.0, 2)
    assert found(4, 2) == (3.0, 2)
    assert found() is None
    assert found(math.nan, math.nan) is None
    assert found(9, 1, 1, 8, 8, 8, until=3) == (1.0, 2)


def test_surprise_per_byte_is_what_the_text_costs_by_its_length() -> None:
    assert surprise(score(2.0, 4.0), "abcdef") == Surprise(3.0, 1.0, 2, 6.0)
    assert surprise(score(2.0, 4.0), "\n ab\n\n \u00a0cdé ") == Surprise(3.0, 6 / 7, 2, 7.0), "folded, in UTF-8"
    assert surprise(score(9.0, 3.0, 3.0), "abcdef") == Surprise(3.0, 1.5, 2, 4.0), "the first third is not counted"
    assert surprise(score(2.0), "\n\n") == Surprise(2.0, 2.0, 1, 1.0)
    assert surprise(score(1.0), "\ud800") is not None, "half a character"


def test_one_odd_word_decides_in_no_short_answer() -> None:
    assert is_likely(Surprise(6.0, 1.0, 2, 10), 5.0)
    assert not is_likely(Surprise(6.1, 1.0, 2, 10), 5.0)
    assert not is_likely(Surprise(5.2, 1.0, 40, 200), 5.0)
    assert is_likely(Surprise(4.0, 1.2, 2, 10), 5.0, 1.0)
    assert not is_likely(Surprise(4.0, 1.21, 2, 10), 5.0, 1.0)


def one(per_token: float, per_byte: float = 1.0) -> Surprise:
    return Surprise(per_token, per_byte, 9, 9 * per_token / per_byte if per_byte else 1)


def test_the_thresholds_are_the_middle_in_ratio() -> None:
    made = fit_language_test([one(2.0, 0.5)] * 20, [one(8.0, 2.0)] * 20, [one(0.5)] * 4, n_asked=4, source="v1")
    assert made.threshold == pytest.approx(4.0)
    assert made.byte_threshold == pytest.approx(1.0)
    assert (made.language, made.shuffled, made.own, made.separated, made.n) == (2.0, 8.0, 0.5, 1.0, 20)
    assert made.id == "2:4.00/1.00"
    sure = fit_language_test([one(0.001, 0.001)] * 20, [one(9.0, 2.0)] * 20, [one(0.001)] * 4, n_asked=4, source="w")
    assert (sure.threshold, sure.byte_threshold) == (language.FLOOR, language.BYTE_FLOOR)


@pytest.mark.parametrize(
    ("shuffled", "own", "reason"),
    [
        (8.0, 1, "3 of its 4 own answers are empty or repeat themselves"),
        (1.0, 4, "only 0% of the reference answers are likelier to it than the same words shuffled"),
        (math.inf, 4, "it gives no finite likelihood to the reference answers"),
    ],
)
def test_a_model_that_cannot_be_calibrated_says_why(shuffled: float, own: int, reason: str) -> None:
    made = fit_language_test([one(2.0)] * 20, [one(shuffled)] * 20, [one(1.0)] * own, n_asked=4, source="v1")
    assert (made.threshold, made.byte_threshold, made.reason) == (None, None, reason)


def test_shuffling_keeps_the_words_and_is_seeded() -> None:
    text = "the bell is rung at noon and in the evening"
    mixed = shuffle_words(text, 3)
    assert mixed is not None
    assert mixed != text
    assert sorted(mixed.split()) == sorted(text.split())
    assert mixed == shuffle_words(text, 3)
    assert shuffle_words("Buenas noches.", 0) is None
    assert sorted(shuffle_words("西湖在杭州市区的西边，三面环山", 0) or "") == sorted("西湖在杭州市区的西边，三面环山")
