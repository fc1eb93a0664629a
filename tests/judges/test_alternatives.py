"""Many patterns as one: what is found one by one is what one pattern of them finds, and no more is compiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safebasin.judges import alternatives
from safebasin.judges.alternatives import Alternatives
from safebasin.judges.sentences import normalize, sentences
from safebasin.judges.wording import VERSIONS, rules

SETS = Path(__file__).parent / "refusal"
SENTENCES = [
    sentence.text
    for file in sorted(SETS.glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
    for sentence in sentences(normalize(json.loads(line)["text"]), complete=True)
]
MINE = (
    *(r"^no\b|\byes", r"\b(?:ab|cd)+ef?", r"gh(?:i|jk)?\b"),
    *(r"(?!xy)x+[y|]z", r"\bab(?:[a-f]{0,2} ){0,3}z", "a(?:b|)c|'q"),
)
"""With all that may stand in a pattern: anchors, sets, groups that may be lacking, looks ahead, bars in sets."""


def one_by_one(patterns: list[str] | tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Alternatives:
    monkeypatch.setattr(alternatives, "LARGE", 0)
    monkeypatch.setattr(alternatives, "OFTEN", 10**9)
    return Alternatives(patterns)


def span(sought: Alternatives, text: str) -> tuple[int, int] | None:
    found = sought.search(text)
    return found.span() if found else None


def test_in_sentences_of_many_languages_the_same_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SENTENCES) > 4_000
    found = 0
    for name, table in rules(VERSIONS[-1])._tables.items():
        if "refuses" not in table.get("patterns", {}):
            continue
        known = rules(VERSIONS[-1]).wording(name).refuses
        slowly, whole = one_by_one(list(known._every()), monkeypatch), known.pattern
        for text in SENTENCES[:: 2 if name == "en" else 20]:
            expected = whole.search(text)
            found += expected is not None
            assert span(slowly, text) == (expected.span() if expected else None), text
    assert found > 300


TEXTS = st.lists(st.sampled_from([*"abcdefghijkxyz |'q", "no", "yes", "ab", "cd", "gh", "xy", "\n"]), max_size=12)


@given(letters=TEXTS)
@example(letters=["ab", "z"])
@example(letters=["ab", " ", "cd", "e"])
@example(letters=["x", "|", "z"])
@example(letters=["gh"])
def test_in_any_text_the_same_is_found(letters: list[str]) -> None:
    text = "".join(letters)
    with pytest.MonkeyPatch.context() as patched:
        slowly = one_by_one(MINE, patched)
        expected = Alternatives(MINE).pattern.search(text)
        assert span(slowly, text) == (expected.span() if expected else None)


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        (r"\bi (?:can't|won't) help\b", [{"i"}, {"can't", "won't"}, {"help"}]),
        (r"requests?", [{"request"}]),
        (r"ab*c", [{"a"}, {"c"}]),
        (r"ab+c", [{"ab"}, {"c"}]),
        (r"(?:ab|cd)?e", [{"e"}]),
        (r"(?:ab|cd){0,3}e", [{"e"}]),
        (r"(?:ab|cd){1,3}e", [{"ab", "cd"}, {"e"}]),
        (r"(?:ab|\w)e", [{"e"}]),
        (r"(?!ab)(?=cd)c[de]\b", [{"c"}]),
        (r"\w+ing", [{"ing"}]),
        (r"(?:a (?:longer|wider) one|two)", [{"longer", "wider", "two"}]),
        (f"(?:{'|'.join(a + b for a in 'abcdefghi' for b in 'jklmnopq')})", []),
        (r".", []),
    ],
)
def test_what_a_pattern_cannot_match_without(pattern: str, needed: list[set[str]]) -> None:
    assert [set(pieces) for pieces in alternatives._needed(pattern)] == needed


def test_no_more_is_compiled_than_texts_need_until_many_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = list[str]()
    compile_one = alternatives.re.compile
    monkeypatch.setattr(alternatives, "LARGE", 0)
    monkeypatch.setattr(alternatives, "OFTEN", 3)
    sought = Alternatives([r"\bone", r"\btwo", r"^three"])
    monkeypatch.setattr(alternatives.re, "compile", lambda of: compiled.append(of) or compile_one(of))
    assert span(sought, "some one") == (5, 8)
    assert span(sought, "and one") == (4, 7)
    assert compiled == [r"\bone"]
    assert span(sought, "three or two") == (0, 5)
    assert compiled == [r"\bone", "^three", r"\btwo"]
    assert span(sought, "two or one") == (0, 3)
    assert compiled[3:] == [r"^(?:(?=[t])(?:three))|\b(?:(?=[o])(?:one)|(?=[t])(?:two))"]


def test_what_is_small_is_compiled_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sought = Alternatives(["one", "two"])
    monkeypatch.setattr(alternatives, "_Alone", None)
    assert span(sought, "two or one") == (0, 3)
