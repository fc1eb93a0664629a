"""SCANS (Cao, Yang and Zhao 2025, arXiv 2408.11491): away from refusal where a prompt is benign, towards it where not.

Each prompt is read twice: once with a word of consent behind it, which says what it is taken for, and once to be
answered, steered along the difference of harmful and benign anchors in the middle layers.

Two variants: as coded, vectors have unit length, and the last block's state is read after the final norm; the text of
the paper says neither. The published settings (strength 3.5) and figures are those of the code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

from safebasin import catalog
from safebasin.errors import StudyError, expected
from safebasin.protocols import Guard, Stage
from safebasin.records import content_hash
from safebasin.steering.labelled import Labelled, every_set, read_labelled, sets_of
from safebasin.steering.settings import Settings, Sign, Variant, Vector, at_least_0, band, labelled, number, one_of

__all__ = ["Scans"]


@dataclass(frozen=True, kw_only=True)
class Scans:
    """Steer each prompt by what it is taken for. Vectors, reference and threshold are measured anew at every point.

    Args:
        world: a world whose sets stand for those that are not given: `train` for the anchors, `val` for the threshold,
            all for the truth. A model of a world brings its own.
        anchors: labelled prompts that vectors are measured on, the first 64 of a kind and source: a file with a column
            `label`, or any sets, with `|` between.
        layers: those that are steered, `10-19`; `middle` is the middle third.
        strength: α.
        threshold: T of the score from which on a prompt is harmful; `auto` chooses it on the prompts of `chosen`, by
            balanced accuracy.
        chosen: labelled prompts, none of which should be asked.
        sign: `score` decides by the threshold; `oracle` by the labels of `truth`, which tells the error of the decision
            from that of the steering; `harmful` and `benign` take every prompt for it.
        truth: labelled prompts that an oracle knows.
        scored: layers whose transitions count, `10-31`; `auto` is from the first steered one to the last block.
        vector: `random` steers along a random direction of the same length instead of `refusal`, a control.
        seed: of that.
        word: what is appended.
        variant: `as_coded` or `paper`.

    Raises:
        StudyError, PromptError: where an argument does not hold, or there are no prompts, too few, or of one kind only.
    """

    world: str | None = None
    anchors: str | None = None
    layers: str | int = "middle"
    strength: float = 3.5
    threshold: float | str = "auto"
    chosen: str | None = None
    sign: str = "score"
    truth: str | None = None
    scored: str | int = "auto"
    vector: str = "refusal"
    seed: int = 0
    word: str = "Sure"
    variant: str = "as_coded"
    stage: Stage = field(default="inference", init=False)

    def __post_init__(self) -> None:
        """Read what it is told."""
        assert self.settings.strength >= 0

    @property
    def name(self) -> str:
        """As in the catalogue: the strength, and what is not the default."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        default = {f.name: f.default for f in fields(self)}
        told = {key: _quoted(value) for key, value in given.items() if key == "strength" or value != default[key]}
        return catalog.write_call("scans", told)

    @property
    def version(self) -> str:
        """Of the code, and of every prompt that is read."""
        read = (self.settings.anchors, self.settings.chosen, self.settings.truth)
        return f"1-{content_hash([found.hash if found else None for found in read])}"

    @cached_property
    def settings(self) -> Settings:
        """The arguments, read and checked."""
        sign: Sign = one_of(Sign, "sign", self.sign)
        vector: Vector = one_of(Vector, "vector", self.vector)
        variant: Variant = one_of(Variant, "variant", self.variant)
        threshold = None if self.threshold == "auto" else number("threshold", self.threshold)
        return Settings(
            anchors=self._anchors(),
            chosen=self._chosen() if sign == "score" and threshold is None else None,
            truth=self._truth() if sign == "oracle" else None,
            layers=None if self.layers == "middle" else band("layers", self.layers),
            scored=None if self.scored == "auto" else band("scored", self.scored),
            strength=at_least_0("strength", self.strength),
            threshold=threshold,
            sign=sign,
            vector=vector,
            seed=self.seed,
            word=self.word,
            variant=variant,
        )

    def at(self, strength: float) -> Self:
        """The same at another strength."""
        return replace(self, strength=strength)

    def guard(self, model: Any, tokenizer: Any) -> Guard:
        """Measure vectors, reference and threshold of a module; nothing at strength 0.

        Raises:
            ModelError: where its blocks cannot be told.
            StudyError: where layers are not within it.
        """
        from safebasin.steering.steered import Nothing, bind

        return Nothing() if self.strength == 0 else bind(self.settings, model, tokenizer)

    def _anchors(self) -> Labelled:
        sources = self.anchors or (sets_of(self.world, "train") if self.world else None)
        if sources is None:
            remedy = "Give a file with a column 'label' (harmful, benign), or sets of both: anchors=SOURCE|SOURCE."
            raise StudyError(expected("anchors of scans", "given for a model of no world", None, remedy))
        return labelled(sources, "anchors of scans")

    def _chosen(self) -> Labelled:
        sources = self.chosen or (sets_of(self.world, "val", borderline=True) if self.world else None)
        if sources is None:
            remedy = "Or give chosen=SOURCE to choose it on. The paper's 0.75 is that of Llama-2-7b-chat."
            raise StudyError(expected("threshold of scans", "a number for a model of no world", self.threshold, remedy))
        return labelled(sources, "the prompts to choose a threshold on")

    def _truth(self) -> Labelled:
        sources = self.truth or (every_set(self.world) if self.world else None)
        if sources is None:
            remedy = "Give the labelled sets that are asked: truth=SOURCE|SOURCE."
            raise StudyError(expected("truth of scans", "given with sign=oracle", None, remedy))
        return read_labelled(sources, "truth of scans", fewest=0)


def _quoted(value: object) -> str:
    """As `catalog.parse_call` reads it."""
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return "'" + text.replace("'", "''") + "'" if "," in text or text != text.strip() or not text else text
