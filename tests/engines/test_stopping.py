"""When rows end, against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebasin.engines.cycles import PERIOD
from safebasin.engines.stopping import (
    CHECK_EVERY,
    LOOP_REPEATS,
    LOOP_TOKENS,
    EndWatch,
    LoopWatch,
    RefusalWatch,
    Rows,
)

NAN = float("nan")
SPECIAL = 0


def letters(ids: list[int]) -> str:
    return "".join(chr(96 + i) for i in ids if i != SPECIAL)


def give(rows: Rows, tokens: list[list[int]], gaps: list[list[float]] | None = None) -> None:
    """Give each row these tokens."""
    rows.advance(range(len(tokens)), tokens, [[1.0] * len(t) for t in tokens], gaps or [[0.5] * len(t) for t in tokens])


def feed(rows: Rows, tokens: list[list[int]]) -> None:
    """Give each row its tokens, one at a time, to the end."""
    for step in range(len(tokens[0])):
        give(rows, [[t[step]] for t in tokens])


def watch_for(phrases: tuple[tuple[str, ...], ...], n_rows: int) -> RefusalWatch:
    return RefusalWatch(
        phrases,
        decode=lambda tails: [letters(tail) for tail in tails],
        response=lambda _, ids: letters(ids),
        ignored=[SPECIAL],
        n_rows=n_rows,
    )


def phrase_rows(phrases: tuple[tuple[str, ...], ...], n_rows: int, n_tokens: int) -> Rows:
    return Rows([n_tokens] * n_rows, eos=[99], refusals=watch_for(phrases, n_rows))


words = st.text("abc", min_size=1, max_size=4)
tokens = st.lists(st.integers(0, 3), min_size=40, max_size=40)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=3), st.lists(tokens, min_size=1, max_size=3)
)
def test_a_row_ends_within_a_few_tokens_of_the_last_list_it_needs(groups, drawn):
    rows = phrase_rows(tuple(map(tuple, groups)), len(drawn), 40)
    feed(rows, drawn)
    for row, ids in enumerate(drawn):
        hits = [n for n in range(1, 41) if all(any(p in letters(ids[:n]) for p in g) for g in groups)]
        looked = [n for n in range(CHECK_EVERY, 41, CHECK_EVERY) if hits and n >= hits[0]]
        assert rows.reason[row] == ("verdict" if looked else "length")
        assert rows.ids[row] == ids[: looked[0] if looked else 40]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 3, 2, 1, 99]), min_size=40, max_size=40), min_size=1, max_size=3),
    st.data(),
)
def test_rows_end_where_they_would_one_token_at_a_time(groups, drawn, data):
    gaps = [[100.0 - i - row for i in range(40)] for row in range(len(drawn))]  # what lies behind an end is smaller
    single, several = (phrase_rows(tuple(map(tuple, groups)), len(drawn), 36) for _ in range(2))
    for step in range(40):
        give(single, [[t[step]] for t in drawn], [[g[step]] for g in gaps])
    start = [0] * len(drawn)
    while min(start) < 40:
        stop = [min(40, at + data.draw(st.integers(1, 20))) for at in start]
        spans = [range(min(a, 39), max(b, min(a, 39) + 1)) for a, b in zip(start, stop, strict=True)]
        give(several, [[t[i] for i in s] for t, s in zip(drawn, spans, strict=True)],
             [[g[i] for i in s] for g, s in zip(gaps, spans, strict=True)])  # fmt: skip
        start = stop
    assert several.ids == single.ids
    assert several.reason == single.reason
    assert [several.gap(row) for row in range(len(drawn))] == [single.gap(row) for row in range(len(drawn))]


def test_a_phrase_is_found_across_a_flood_of_special_tokens():
    rows = phrase_rows((("abc",),), 1, 64)
    feed(rows, [[1, *[SPECIAL] * 50, 2, 3, *[SPECIAL] * 11]])
    assert rows.reason == ["verdict"]


def test_every_list_needs_a_hit_and_case_matters():
    rows = phrase_rows((("ab",), ("A", "ca")), 2, 8)
    feed(rows, [[1, 2, 1, 2, 1, 2, 1, 2], [1, 2, 3, 1, 1, 1, 1, 1]])
    assert rows.reason == ["length", "verdict"]


def test_an_empty_list_ends_nothing():
    rows = phrase_rows(((), ("a",)), 1, 8)
    feed(rows, [[1] * 8])
    assert rows.reason == ["length"]


def test_reasoning_does_not_end_a_row():
    watch = RefusalWatch(
        (("ab",),),
        decode=lambda tails: [letters(tail) for tail in tails],
        response=lambda _, ids: letters(ids).partition("c")[2],
        ignored=[],
        n_rows=1,
    )
    rows = Rows([12], eos=[], refusals=watch)
    feed(rows, [[1, 2, 1, 2, 3, 1, 1, 2, 1, 1, 1, 1]])
    assert rows.reason == ["verdict"]
    assert letters(rows.ids[0]) == "ababcaab"


# --- rules ------------------------------------------------------------------------------------------------------------


class Sentence:
    """A rule on letters: a text decides once `ab` has been followed by `c`, within its horizon."""

    name, version, monotone, phrases, rule = "sentence", "1", True, (), "sentence@1"
    cues, horizon = ("ab",), 30

    def judge(self, prompt, response, score):
        raise NotImplementedError

    def decides(self, text: str) -> bool:
        return "c" in text[: self.horizon].partition("ab")[2]


def ruled(n_rows: int, n_tokens: int, phrases: tuple[tuple[str, ...], ...] = (), **options) -> tuple[Rows, list[int]]:
    """Rows under the rule, and the length of each text that was decoded whole."""
    looked: list[int] = []

    def response(row: int, ids: list[int]) -> str:
        looked.append(len(ids))
        return options.get("answer", lambda text: text)(letters(ids))

    watch = RefusalWatch(
        phrases,
        rules=[Sentence()],
        decode=lambda tails: [letters(tail) for tail in tails],
        response=response,
        ignored=[SPECIAL],
        n_rows=n_rows,
    )
    return Rows([n_tokens] * n_rows, eos=[99], refusals=watch), looked


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(tokens, min_size=1, max_size=3))
def test_a_rule_ends_a_row_at_the_first_look_at_which_it_decides(drawn):
    rows, _ = ruled(len(drawn), 40)
    feed(rows, drawn)
    for row, ids in enumerate(drawn):
        looked = [n for n in range(CHECK_EVERY, 41, CHECK_EVERY) if Sentence().decides(letters(ids[:n]))]
        assert rows.reason[row] == ("verdict" if looked else "length")
        assert rows.ids[row] == ids[: looked[0] if looked else 40]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(tokens, min_size=1, max_size=3), st.integers(2, 20))
def test_a_rule_ends_rows_where_it_would_one_token_at_a_time(drawn, step):
    single, several = (ruled(len(drawn), 40)[0] for _ in range(2))
    feed(single, drawn)
    for at in range(0, 40, step):
        give(several, [t[at : at + step] for t in drawn])
    assert several.ids == single.ids


def test_a_rule_and_a_list_must_both_have_their_hit():
    rows, _ = ruled(3, 24, (("bb",),))
    feed(rows, [[1, 2, 3] + [1] * 21, [2, 2] + [1] * 22, [1, 2, 3] + [1] * 7 + [2, 2] + [1] * 12])
    assert rows.reason == ["length", "length", "verdict"]
    assert len(rows.ids[2]) == 16


def test_a_row_without_a_cue_is_never_decoded_whole_and_one_beyond_the_horizon_no_more():
    rows, looked = ruled(1, 80)
    feed(rows, [[1] * 80])
    assert looked == []
    rows, looked = ruled(1, 80)
    feed(rows, [[1, 2] + [1] * 78])
    assert looked == [8, 16, 24, 32]


def test_a_cue_in_reasoning_is_forgotten():
    rows, looked = ruled(1, 80, answer=lambda text: text.partition("cc")[2])
    feed(rows, [[1, 2] + [1] * 40 + [3, 3] + [1, 2, 1, 1, 3] + [1] * 31])
    assert rows.reason == ["verdict"]
    assert len(rows.ids[0]) == 56
    assert looked[0] == 8


# --- cycles -----------------------------------------------------------------------------------------------------------


def repeats(ids: list[int]) -> bool:
    """The rule as it is written down, by brute force."""
    for p in range(1, PERIOD + 1):
        run = max(LOOP_TOKENS, LOOP_REPEATS * p)
        if len(ids) >= run + p and ids[-run:] == ids[-run - p : -p]:
            return True
    return False


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=70), st.integers(0, 1)
)
def test_a_cycle_ends_a_row_when_the_rule_says_so(start, cycle, other):
    text = (start + cycle * 320)[:320]
    steady = [i * (i + other) % 997 for i in range(320)]
    rows = Rows([320, 320], eos=[], loops=LoopWatch(2, 320))
    feed(rows, [text, steady])
    first = next((n for n in range(1, 321) if repeats(text[:n])), None)
    assert rows.ids[0] == text[:first]
    assert rows.reason[0] == ("loop" if first else "length")
    assert rows.reason[1] == "length"


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=20), st.lists(st.integers(1, 3), min_size=1, max_size=30), st.data())
def test_a_cycle_ends_a_row_where_it_would_one_token_at_a_time(start, cycle, data):
    text = [*(start + cycle * 80)[: data.draw(st.integers(30, 79))], data.draw(st.sampled_from([1, 9, 99]))]
    text += [2] * (80 - len(text))  # behind the end of a turn (9, an "i") or of the sequence, or neither
    single, several = (
        Rows(
            [80],
            eos=[99],
            loops=LoopWatch(1, 80),
            refusals=watch_for((("cab",),), 1),
            ends=EndWatch("i", decode=letters),
        )
        for _ in range(2)
    )
    feed(single, [text])
    at = 0
    while at < 80:
        n = data.draw(st.integers(1, 12))
        give(several, [text[at : at + n]])
        at += n
    assert (several.ids, several.reason, several.surplus) == (single.ids, single.reason, single.surplus)


def test_the_last_row_may_end_its_turn_by_a_text_where_loops_are_watched():
    rows = Rows([10], eos=[], loops=LoopWatch(1, 10), ends=EndWatch(["c"], decode=letters))
    feed(rows, [[1, 2, 3]])
    assert (rows.ids, rows.reason) == ([[1, 2]], ["stop"])


def test_a_ruled_line_is_not_a_collapse():
    rows = Rows([100], eos=[], loops=LoopWatch(1, 100))
    feed(rows, [[7] * 30 + list(range(70))])
    assert rows.reason == ["length"]


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_end_of_sequence_length_and_broken_logits():
    rows = Rows([3, 3, 3, 3], eos=[9])
    tops, gaps = [[1.0], [1.0], [NAN], [float("inf")]], [[0.5], [0.4], [NAN], [NAN]]
    rows.advance([0, 1, 2, 3], [[1], [9], [1], [1]], tops, gaps)
    rows.advance([0, 1, 2, 3], [[2, 9], [5, 5], [5, 5], [5, 5]], [[1.0, 1.0]] * 4, [[0.3, 0.9]] * 4)
    assert rows.ids == [[1, 2], [], [], []]
    assert rows.reason == ["stop"] * 4
    assert rows.broken == ["", "", "nan logits", "inf logits"]
    assert [rows.gap(0), rows.gap(1)] == [0.3, 0.4]


def test_each_row_has_its_own_limit():
    rows = Rows([1, 3], eos=[])
    feed(rows, [[5, 5, 5], [6, 6, 6]])
    assert rows.ids == [[5], [6, 6, 6]]
    assert rows.reason == ["length", "length"]


# --- texts that end a turn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 5, 30])
def test_a_row_ends_at_the_text_that_ends_a_turn(step):
    pieces = ["Gre", "en", ".<", "|im_", "end", "|>", "\n", "user", " why"]
    watch = EndWatch(["<|im_end|>", "</s>"], decode=lambda ids: "".join(pieces[i] for i in ids))
    rows = Rows([len(pieces)], eos=(), ends=watch)
    for start in range(0, len(pieces), step):
        tokens = list(range(len(pieces)))[start : start + step]
        rows.advance([0], [tokens], [[1.0] * len(tokens)], [[1.0] * len(tokens)])
    assert (rows.ids[0], rows.surplus[0], rows.reason[0]) == ([0, 1, 2], 1, "stop")


@pytest.mark.parametrize("step", [1, 4, 50])
def test_tokens_without_text_in_the_midst_of_the_end_of_a_turn_do_not_hide_it(step):
    pieces = ["Sure", "### ", *[""] * 40, "Hum", *[""] * 3, "an:", " why"]
    silent = [i for i, piece in enumerate(pieces) if not piece]
    watch = EndWatch(["### Human:"], decode=lambda ids: "".join(pieces[i] for i in ids), ignored=silent)
    rows = Rows([len(pieces)], eos=(), ends=watch)
    for start in range(0, len(pieces), step):
        give(rows, [list(range(len(pieces)))[start : start + step]])
    assert (rows.ids[0], rows.surplus[0], rows.reason[0]) == ([0], 0, "stop")


@pytest.mark.parametrize("step", [1, 3, 30])
def test_a_character_of_several_tokens_before_the_end_of_a_turn_is_whole(step):
    pieces = [b"Sure ", *(bytes([byte]) for byte in "🙂".encode()), b"### ", b"Human:"]
    watch = EndWatch(["### Human:"], decode=lambda ids: b"".join(pieces[i] for i in ids).decode(errors="replace"))
    rows = Rows([len(pieces)], eos=(), ends=watch)
    for start in range(0, len(pieces), step):
        give(rows, [list(range(len(pieces)))[start : start + step]])
    assert (rows.ids[0], rows.surplus[0], rows.reason[0]) == ([0, 1, 2, 3, 4], 0, "stop")


@pytest.mark.slow
@given(st.lists(st.integers(1, 4), min_size=40, max_size=40), st.lists(st.integers(1, 14), min_size=40, max_size=40))
@settings(deadline=None)
def test_of_a_refusal_and_the_end_of_a_turn_the_first_ends_a_row_however_many_tokens_come_at_once(drawn, sizes):
    def ended(parts: list[int]) -> tuple[object, ...]:
        watch = EndWatch(["dd"], decode=letters)
        rows = Rows([40], eos=[99], refusals=watch_for((("ab",),), 1), ends=watch)
        start = 0
        for size in parts:
            if rows.is_live(0) and drawn[start : start + size]:
                give(rows, [drawn[start : start + size]])
            start += size
        return rows.ids[0], rows.reason[0], rows.surplus[0], rows.gap(0)

    assert ended(sizes) == ended([1] * 40)
