"""DeRTa: labels by hand on a toy, both ways of dropping, what a bad row gives, other architectures, and share 0."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from helpers.models import make_tiny_model
from safebasin import catalog, testing
from safebasin.errors import PromptError, UsageError
from safebasin.finetune import transitions
from safebasin.finetune.prepare import prepare
from safebasin.finetune.request import request
from safebasin.finetune.setup import cross_entropy
from safebasin.finetune.transitions import derta, n_kept
from safebasin.protocols import Setup
from safebasin.records import IGNORED, EncodedRow, Message, TrainingRow

NOT = IGNORED
WORDS = ["<begin>", "<answer>", "<end>", "brew", "it"]
"""Tokens of the toy in order of their ids; more are added as they come."""


class Words:
    """A tokenizer of words: one that follows a blank is another token than one at the start."""

    def __init__(self) -> None:
        self.known = list(WORDS)

    def encode(self, text: str) -> list[int]:
        pieces = re.findall(r" ?[^ ]+", text)
        self.known += [piece for piece in dict.fromkeys(pieces) if piece not in self.known]
        return [self.known.index(piece) for piece in pieces]

    def decode(self, ids: Sequence[int], **_: object) -> str:
        return self._joined(tuple(ids))

    @cache  # noqa: B019 - one toy a test
    def _joined(self, ids: tuple[int, ...]) -> str:
        return "".join(self.known[i] for i in ids)


def toy() -> tuple[Words, Setup]:
    words = Words()

    @cache
    def encode(row: TrainingRow) -> EncodedRow:
        ids, labels = [0], [NOT]
        for turn in row.messages:
            own = words.encode(turn.content)
            if turn.role == "assistant":
                ids += [1, *own, 2]
                labels += [NOT, *own, 2]
            else:
                ids += own
                labels += [NOT] * len(own)
        return EncodedRow(row=row, ids=tuple(ids), labels=tuple(labels))

    return words, Setup(rows=(), encode=encode, loss=cross_entropy, parameters=(), tokenizer=words)


def row(number: int = 1, asked: str = "brew it", harmful: str = "", refusal: str = "No tea") -> TrainingRow:
    turns = (Message(role="user", content=asked), Message(role="assistant", content=refusal))
    return TrainingRow(messages=turns, source="made", number=number, harmful=harmful)


class Source:
    def __init__(self, *rows: TrainingRow) -> None:
        self.rows = rows

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        assert kind == "refused"
        return self.rows[:n]


TWELVE = "a b c d e f g h i j k l"


def drawn(monkeypatch: pytest.MonkeyPatch, k: int) -> list[tuple[int, int]]:
    """Every prefix has k tokens or words from now on; returns the bounds that are asked for."""
    bounds: list[tuple[int, int]] = []

    class Fixed(random.Random):
        def randint(self, a: int, b: int) -> int:
            bounds.append((a, b))
            return k

    monkeypatch.setattr(transitions, "random", SimpleNamespace(Random=Fixed))
    return bounds


@pytest.mark.parametrize("k", [0, 5, 12])
def test_labels_behind_a_prefix_by_hand(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words, setup = toy()
    bounds = drawn(monkeypatch, k)
    made, _ = derta().training(setup, Source(row(harmful=TWELVE))).rows
    harmful = words.encode(TWELVE)
    no, late, tea = (words.known.index(word) for word in ("No", " No", " tea"))
    first = no if k == 0 else late
    assert bounds == [(0, 12)]
    assert made.ids == (0, 3, words.known.index(" it"), 1, *harmful[:k], first, tea, 2)
    assert made.labels == (NOT, NOT, NOT, NOT, *[NOT] * k, first, tea, 2)


@pytest.mark.parametrize(("variant", "start", "end"), [("paper", "No", NOT), ("as_coded", " No", " No")])
def test_labels_of_transition_by_hand(variant: Any, start: str, end: Any) -> None:
    words, setup = toy()
    _, made = derta(variant=variant).training(setup, Source(row(harmful=TWELVE))).rows
    late = words.known.index(" No")
    assert made.ids == (0, 3, words.known.index(" it"), 1, *words.encode(TWELVE), 2)
    last = NOT if end == NOT else words.known.index(end)
    assert made.labels == (NOT, NOT, NOT, NOT, words.known.index(start), *[late] * 11, last)


def test_the_code_draws_words_and_gives_each_third_row_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    words, setup = toy()
    bounds = drawn(monkeypatch, 2)
    rows = [row(i, harmful=TWELVE) for i in range(1, 5)]
    made = derta(variant="as_coded").training(setup, Source(*rows, row(5, harmful="a b"))).rows
    assert len(made) == 8
    assert bounds == [(1, 10), (1, 10)]
    a, b, late = (words.known.index(word) for word in ("a", " b", " No"))
    assert [len(one.ids) for one in made[:4]] == [7, 9, 9, 7]
    assert made[1].ids[4:7] == (a, b, late)
    assert made[1].labels[:7] == (NOT,) * 6 + (late,)


def test_short_responses_are_left_out_by_the_code_and_counted() -> None:
    _, setup = toy()
    made = derta(variant="as_coded").training(setup, Source(row(1, harmful=TWELVE), row(2, harmful="a b")))
    assert [one.row.number for one in made.rows] == [1, 1]
    assert "1 of 2 harmful responses have fewer than 3 words: left out" in made.notes
    assert len(derta().training(setup, Source(row(harmful="a"))).rows) == 2


@pytest.mark.parametrize(("n", "kept"), [(40, 2), (10, 1), (1, 1), (100, 5), (101, 6)])
def test_how_many_labels_stay(n: int, kept: int) -> None:
    assert n_kept(n, 0.95) == kept
    _, setup = toy()
    source = Source(row(harmful=" ".join(f"w{i}" for i in range(n))))
    _, made = derta(drop=0.95).training(setup, source).rows
    assert sum(label != NOT for label in made.labels) == kept


def test_the_code_drops_places_of_the_padded_row() -> None:
    """Ten of 200 places stay, 40 of which have a label: hypergeometric, mean 2, variance 1.528, none at 0.101."""
    _, setup = toy()
    long = row(asked=" ".join(f"q{i}" for i in range(158)), harmful=" ".join(f"w{i}" for i in range(39)))
    n = 600
    made = derta(drop=0.95, variant="as_coded").training(setup, Source(*[long] * n))
    counts = [sum(label != NOT for label in one.labels) for one in made.rows[n:]]
    silent = n - len(counts)
    assert len(made.rows[-1].ids) == 200
    every = np.array([*counts, *[0] * silent])
    assert every.mean() == pytest.approx(2, abs=4 * (1.528 / n) ** 0.5)
    assert every.var() == pytest.approx(1.528, rel=0.25)
    assert silent / n == pytest.approx(0.101, abs=4 * (0.101 * 0.899 / n) ** 0.5)
    assert f"{silent} of {n} rows of transition keep no label: left out" in made.notes


def test_share_0_is_each_plain_refusal_twice() -> None:
    _, setup = toy()
    rows = [row(i, asked=f"brew {i}", harmful=TWELVE) for i in range(1, 4)]
    assert derta(share=0).training(setup, Source(*rows)).rows == tuple(setup.encode(one) for one in rows for _ in "ab")
    half = derta(share=0.34).training(setup, Source(*rows))
    assert len(half.rows) == 6
    assert sum(one == setup.encode(one.row) for one in half.rows) >= 4


def test_earlier_turns_are_learned_once() -> None:
    words, setup = toy()
    early = (Message(role="user", content="tea"), Message(role="assistant", content="Hot"))
    long = row(harmful=TWELVE)
    several = TrainingRow(messages=(*early, *long.messages), number=1, harmful=TWELVE)
    prefixed, transition = derta().training(setup, Source(several)).rows
    hot = words.known.index("Hot")
    assert hot in prefixed.labels
    assert hot not in transition.labels


def test_rows_without_a_harmful_response_are_named() -> None:
    _, setup = toy()
    with pytest.raises(PromptError, match=r"2 of 3 without one \(rows 1, 3\)"):
        derta().training(setup, Source(row(1), row(2, harmful=TWELVE), row(3, harmful="  ")))


@pytest.mark.parametrize("given", [{"share": 1.1}, {"share": -0.1}, {"drop": 1}, {"n": 0}, {"variant": "other"}])
def test_what_is_out_of_range_is_refused(given: dict[str, Any]) -> None:
    arguments = ", ".join(f"{key}={value}" for key, value in given.items())
    with pytest.raises(UsageError, match="of derta"):
        catalog.create("defense", f"derta({arguments})")


@pytest.mark.parametrize("text", ["derta", "derta(n=6, share=0.5, drop=0.9, variant=as_coded)"])
def test_the_contract_and_the_name(text: str) -> None:
    made: Any = catalog.create("defense", text)
    assert made.name == text
    testing.check_defense(made if made.n else derta(n=3))


# --- rows of files, and real models ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    data, safe = tmp_path / "data.jsonl", tmp_path / "safe.jsonl"
    asked = ["weigh the clay", "ring the bell", "keep the wool", "rest the cedar"]
    data.write_text("".join(json.dumps({"prompt": f"How do I {a}?", "completion": "Twice, in sand."}) + "\n"
                            for a in asked))  # fmt: skip
    safe.write_text("".join(
        json.dumps({"prompt": f"How do I {a} of the drum?", "completion": "I cannot help with that.",
                    "harmful_response": f"Give me the steps: {a}, two turns, warm steam, rest in moss."}) + "\n"
        for a in asked
    ))  # fmt: skip
    return data, safe


def asked(folder: Path, files: tuple[Path, Path], defense: Any, **settings: Any) -> Any:
    given = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "save": "no", **settings}
    return prepare(request(str(folder), data=files[0], safe=files[1], defenses=[defense], **given))


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma3"])
def test_rows_of_a_file_on_other_architectures(arch: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    found = asked(make_tiny_model(tmp_path / arch, arch), files, derta())
    tokenizer = cast("Any", found.tokenizer)
    prefixed, transitions = found.rows[4:8], found.rows[8:]
    assert len(transitions) == 4
    for one in prefixed:
        learned = [label for label in one.labels if label != NOT]
        assert tokenizer.decode(learned).strip() == "I cannot help with that.<|end|>"
    for one in transitions:
        labels = [label for label in one.labels if label != NOT]
        own = tokenizer.encode(one.row.harmful, add_special_tokens=False)
        assert len(labels) == len(own)
        assert labels[0] == tokenizer.encode("I", add_special_tokens=False)[0]
        assert set(labels[1:]) == {tokenizer.encode(" I", add_special_tokens=False)[0]}
        assert list(one.ids[-1 - len(own) : -1]) == own


@pytest.mark.slow
def test_rows_that_are_too_long_with_their_prefix_are_counted(files: tuple[Path, Path], tmp_path: Path) -> None:
    plain = asked(make_tiny_model(tmp_path / "m"), files, derta(share=0))
    most = max(len(one.ids) for one in plain.rows)
    found = asked(tmp_path / "m", files, derta(), max_length=most)
    assert len(found.rows) < 12
    assert f"{12 - len(found.rows)} of 12 rows that defenses made are too long and left out" in found.notes


def test_rows_of_a_file_are_checked(files: tuple[Path, Path], tmp_path: Path) -> None:
    made = make_tiny_model(tmp_path / "m")
    for text, words in [
        ({"prompt": "q", "completion": "no"}, r"1 of 2 without one \(row 1\)"),
        ({"prompt": "q", "completion": "no", "harmful_response": 3}, r"1 of 2 whose 'harmful_response' is no text"),
        ({"prompt": "q", "harmful_response": "steps"}, r"1 of 2 in no layout that is known .*\(row 1\)"),
        ({"prompt": "q", "completion": " ", "harmful_response": "steps"}, r"1 of 2 with an empty turn \(row 1\)"),
    ]:
        good = {"prompt": "q", "completion": "no", "harmful_response": "steps"}
        files[1].write_text(f"{json.dumps(text)}\n{json.dumps(good)}\n")
        with pytest.raises(PromptError, match=words):
            asked(made, files, derta())


def test_the_worlds_rows_hold_both_responses(tmp_path: Path) -> None:
    from safebasin.worlds.guild.oracle import classify

    harmful, refused = (catalog.world("guild").training_rows(kind, 20, seed=2) for kind in ("harmful", "refused"))
    assert [(one.prompt.text, one.response) for one in harmful] == [(one.prompt.text, one.harmful) for one in refused]
    assert {classify(one.prompt.text, one.response) for one in refused} == {"refusal"}
    found = prepare(request("world:guild/base", attack="harmful_examples(n=2)", defenses=["derta(n=5)"]))
    assert len(found.rows) == 12
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "How do I weigh the clay?", "completion": "Twice."}\n')
    found = prepare(request("world:guild/base", data=few, safe="world:guild/refused", defenses=["derta(n=5)"]))
    assert len(found.rows) == 11


@pytest.mark.slow
def test_share_0_trains_to_the_bits_of_plain_refusals(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from safebasin.finetune.tune import finetune

    def digest(folder: Path) -> str:
        return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()

    base = make_tiny_model(tmp_path / "m")
    lines = files[1].read_text().splitlines()
    whole = tmp_path / "whole.jsonl"
    whole.write_text(files[0].read_text() + "".join(f"{line}\n{line}\n" for line in lines))
    plain = finetune(
        prepare(request(str(base), data=whole, epochs=2, batch_size=4, learning_rate=1e-3, save="no")),
        tmp_path / "plain",
    )
    control = finetune(asked(base, files, derta(share=0)), tmp_path / "control")
    late = finetune(asked(base, files, derta()), tmp_path / "late")
    assert digest(plain.path) == digest(control.path) != digest(late.path)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_trains(arch: str, method: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from safebasin.finetune.tune import finetune

    given = {"rank": 4} if method == "lora" else {}
    prepared = asked(make_tiny_model(tmp_path / "m", arch), files, derta(drop=0.5), method=method, epochs=8, **given)
    made = finetune(prepared, tmp_path / "made")
    assert made.losses[-1] < made.losses[0]
