"""The conformance suite tells defenses that keep their contract from those that break it, at every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from safebasin import testing
from safebasin.finetune.defenses import mix_safe, ptst
from safebasin.protocols import Defended, LiveBatch, RowSource, Setup
from safebasin.records import TrainingRow

PLUGIN = Path(__file__).parents[1] / "plugin_package" / "src"


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorial's package, without installing it."""
    monkeypatch.syspath_prepend(str(PLUGIN))


def kiln(name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"safebasin_kiln.{name}"), name.capitalize())


def fails(defense: Any, *words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        testing.check_defense(defense)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["sift", "cool", "temper", "steer"])
def test_one_of_each_stage_passes(name: str) -> None:
    testing.check_defense(kiln(name)())


@pytest.mark.parametrize("made", [mix_safe(2), ptst()])
def test_those_on_rows_pass(made: Any) -> None:
    testing.check_defense(made)


class Named:
    name = "loose"


@pytest.mark.parametrize(
    ("stage", "methods", "words"),
    [
        ("inference", {}, ("methods of 'loose'", "guard at the stage inference", "[]")),
        ("inference", {"generation": 0}, ("methods of 'loose'",)),
        ("inference", {"guard": 0}, ("guard of 'loose'", "a method")),
        ("finetuning", {}, ("data or training",)),
        ("finetuning", {"weights": lambda *_: None}, ("data or training at the stage finetuning, and no other",)),
        ("post_finetuning", {"data": lambda *_: None}, ("weights at the stage post_finetuning",)),
        ("later", {"data": lambda *_: None}, ("stage of 'loose'", "alignment, finetuning")),
    ],
)
def test_a_stage_without_its_method_is_refused(stage: str, methods: dict[str, Any], words: tuple[str, ...]) -> None:
    fails(type("Loose", (Named,), {"stage": stage, **methods})(), *words)


# --- rows ------------------------------------------------------------------------------------------------------------


class Greedy:
    """Takes rows that it does not name."""

    name, stage, takes = "greedy", "finetuning", ()

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        return Defended(rows=(*rows, *source.training_rows("safe", 2, seed=seed)))


def test_rows_that_are_taken_unsaid_are_refused() -> None:
    fails(Greedy(), "rows that 'greedy' asks for", "safe")


# --- training --------------------------------------------------------------------------------------------------------


def training(change: Callable[[Setup], Setup]) -> Any:
    class Changed:
        name, stage, takes = "changed", "finetuning", ()

        def training(self, setup: Setup, source: RowSource, *, seed: int = 0) -> Setup:
            return change(setup)

    return Changed()


class Thaw:
    """Writes to what is frozen."""

    def before(self, model: Any, step: int) -> None: ...

    def after(self, model: Any, step: int) -> None:
        with torch.no_grad():
            next(iter(model.parameters())).add_(0.1)


def nan(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).loss * float("nan")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: replace(s, frozen=("*embed_tokens*",), hooks=(Thaw(),)), ("what 'changed' freezes", "embed_tokens")),
        (lambda s: replace(s, loss=nan), ("loss of 'changed'", "finite scalar")),
        (lambda s: replace(s, rows=()), ("rows of 'changed'", "at least one")),
        (lambda s: replace(s, rows=(replace(s.rows[0], labels=(1,)),)), ("labels of 'changed'", "as many as tokens")),
        (lambda s: replace(s, rows=(replace(s.rows[0], labels=(-100,) * len(s.rows[0].ids)),)), ("carries loss",)),
    ],
)
def test_a_broken_setup_is_refused(change: Any, words: tuple[str, ...]) -> None:
    fails(training(change), *words)


# --- weights ---------------------------------------------------------------------------------------------------------


def test_a_weight_defense_that_rounds_at_strength_0_is_refused() -> None:
    class Rounding(kiln("temper")):
        def weights(self, tuned: Any, base: Any, *, seed: int = 0) -> Any:
            from safebasin_kiln.temper import Shorter

            return Shorter(tuned, 1 - self.strength - 1e-3 * (self.strength == 0))

    fails(Rounding(), "at strength 0", "bit for bit")


def test_a_weight_defense_that_counts_calls_is_refused() -> None:
    class Numbered:
        def __init__(self, move: Any) -> None:
            self.move, self.calls = move, 0

        def rows(self, name: str, start: int, stop: int) -> Any:
            self.calls += 1
            return self.move.rows(name, start, stop) * (1 + 0.1 * (self.calls > 12))

    class Counting(kiln("temper")):
        def weights(self, tuned: Any, base: Any, *, seed: int = 0) -> Any:
            return tuned if self.strength == 0 else Numbered(tuned)

    fails(Counting(), "the same from a second preparation")


# --- inference -------------------------------------------------------------------------------------------------------


def guarding(installed: Callable[[Any, LiveBatch], Any]) -> Any:
    """`steer` with another block around a batch."""

    class Changed(kiln("steer")):
        def guard(self, model: Any, tokenizer: Any) -> Any:
            inner = super().guard(model, tokenizer)

            class Other:
                @contextmanager
                def installed(self, batch: LiveBatch) -> Iterator[None]:
                    yield from installed(inner, batch)

            return Other()

    return Changed()


def test_steering_that_forgets_that_rows_are_dropped_is_refused() -> None:
    def installed(inner: Any, batch: LiveBatch) -> Iterator[None]:
        means = inner.embeddings(batch.ids).mean(dim=1)
        handle = inner.embeddings.register_forward_hook(
            lambda m, g, out: out + inner.strength * means[: len(out), None]
        )
        try:
            yield
        finally:
            handle.remove()

    fails(guarding(installed), "the others dropped", "batch.alive[i]")


def test_a_guard_that_stays_is_refused() -> None:
    def installed(inner: Any, batch: LiveBatch) -> Iterator[None]:
        inner.embeddings.register_forward_hook(lambda m, g, out: out + inner.strength)
        yield

    fails(guarding(installed), "logits under", "a second time")


def test_a_guard_that_always_acts_is_refused() -> None:
    def installed(inner: Any, batch: LiveBatch) -> Iterator[None]:
        with replace(inner, strength=0.1).installed(batch):
            yield

    fails(guarding(installed), "at strength 0", "bare module")


def test_strengths_under_one_name_are_refused() -> None:
    class Nameless(kiln("steer")):
        def __init__(self, strength: float = 0.1) -> None:
            super().__init__(strength)
            self.name = "safebasin-kiln/steer"

    fails(Nameless(), "at other strengths", "different")
