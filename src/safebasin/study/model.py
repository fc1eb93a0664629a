"""The frozen `Study` and its parts. Checked by Pydantic; made from text by `files`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from safebasin.errors import expected
from safebasin.records import canonical_json, content_hash
from safebasin.study.regions import LATER, RegionSpec, Strict, several

SCHEMA_VERSION = 1
MOST_RESPONSES = 10_000_000
"""What no study can be meant to ask: at a hundred responses a second it would take more than a day."""
HOW = frozenset({"device", "gpus_per_worker", "batch_size", "low_memory"})
"""Keys that say how to run; the result must not depend on them."""

StudyScalar = str | int | float | bool | None


class PromptsSpec(Strict):
    """One named prompt set of a study; a plain string is its source."""

    name: str = ""
    """Name in tables and figures; the source's own name when empty."""
    source: str = Field(min_length=1)
    """File, `world:NAME/SET`, catalogue name, or hub id, each with an optional `[slice]`."""
    label: Literal["harmful", "benign"] | None = Field(default=None, json_schema_extra=LATER)
    """What the prompts are: those labelled otherwise are left out, those without a label take it."""

    @model_validator(mode="before")
    @classmethod
    def _source_alone(cls, value: object) -> object:
        return {"source": value} if isinstance(value, str) else value

    @property
    def title(self) -> str:
        """The name, or the source without slice and folder."""
        return self.name or re.sub(r"\[[^\]]*\]$", "", self.source).rstrip("/").rsplit("/", 1)[-1]


class DecodingSpec(Strict):
    """The decoding of a study; greedy."""

    max_new_tokens: int = Field(ge=1, le=1_000_000)
    stop: Literal["auto", "none", "verdict", "loop"] = "auto"


class CapabilitySpec(Strict):
    """The measurements at the points beside the responses."""

    texts: tuple[str, ...] = Field(default=(), max_length=1000)
    """Plain text files: perplexity, and KL divergence of the next token against θ₀."""
    max_tokens: int = Field(default=2048, ge=2, le=10**9)
    """At most this many tokens of each text."""
    tasks: tuple[str, ...] = Field(default=(), max_length=1000)
    """Tasks of lm-eval (extra `capability`)."""
    task_folder: str | None = None
    """Folder with tasks of one's own."""
    task_limit: int | None = Field(default=None, ge=1, le=10**9)
    """At most this many items of each task."""

    @field_validator("texts", "tasks", mode="before")
    @classmethod
    def _one_alone(cls, value: object) -> object:
        return several(value)

    @model_validator(mode="after")
    def _measures_something(self) -> CapabilitySpec:
        if not self.texts and not self.tasks:
            raise ValueError("must be given with texts or tasks to measure")
        if not self.tasks and (self.task_folder is not None or self.task_limit is not None):
            raise ValueError("must be given with tasks where it has a task_folder or a task_limit")
        return self


class Study(Strict):
    """A study: model, prompts, systems, axes, judges and decoding. Frozen; equal content has an equal `hash`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str = Field(min_length=1)
    prompts: tuple[PromptsSpec, ...] = Field(min_length=1, max_length=1000)
    limit: int | None = Field(default=80, ge=1, le=10**9)
    """At most this many prompts of each set, from its start; None takes all."""
    systems: tuple[str, ...] = Field(default=("default",), min_length=1, max_length=1000)
    """`default` (no system turn passed), `none` (an empty one), a name of the catalogue, a text, or `@FILE`."""
    regions: tuple[RegionSpec, ...] = Field(min_length=1, max_length=1000)
    """Lines and planes; a study file may write `axes` instead for a single one."""
    judges: tuple[str, ...] = Field(default=("keyword/peng2024", "outcome"), min_length=1, max_length=1000)
    decoding: DecodingSpec
    fast: bool = Field(default=False, json_schema_extra=LATER)
    """Fast mode: adaptive points, the stop rule `loop`, a calibrated token budget, VISAGE not computed; its agreement
    with exact mode is measured on a sample (`safebasin.study.fast`)."""
    defenses: tuple[str, ...] = Field(default=(), max_length=100, json_schema_extra=LATER)
    """Defenses of the stage inference, installed while the model decodes, in this order."""
    trajectories: tuple[str, ...] = Field(default=(), max_length=1000)
    """Folders with the checkpoints of a training run, to be projected onto every line and plane."""
    capability: CapabilitySpec | None = None
    engine: str = Field(default="hf", min_length=1, json_schema_extra=LATER)
    """What runs the model: a name of the catalogue."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    template_args: dict[str, StudyScalar] = Field(default_factory=dict)
    trust_remote_code: bool = False
    device: str = "auto"
    gpus_per_worker: int = Field(default=1, ge=1, le=1024, json_schema_extra=LATER)
    """GPUs of one worker, over which its model is spread: for a model that does not fit one."""
    batch_size: Literal["auto"] | int = "auto"
    low_memory: Literal["auto"] | bool = "auto"

    @field_validator("prompts", "systems", "regions", "judges", "defenses", "trajectories", mode="before")
    @classmethod
    def _one_alone(cls, value: object) -> object:
        return several(value)

    @field_validator("device")
    @classmethod
    def _device_known(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
        return value

    @field_validator("batch_size")
    @classmethod
    def _batch_positive(cls, value: str | int) -> str | int:
        if isinstance(value, int) and not 1 <= value <= 10**9:
            raise ValueError("must be 'auto' or from 1 to 1,000,000,000")
        return value

    @model_validator(mode="after")
    def _names_unique(self) -> Study:
        for what, names in (
            ("prompts", [p.title for p in self.prompts]),
            ("systems", list(self.systems)),
            ("judges", list(self.judges)),
            ("defenses", list(self.defenses)),
            ("regions", [r.label for r in self.regions]),
        ):
            twice = next((n for n in names if names.count(n) > 1), None)
            if twice is not None:
                raise ValueError(f"{what} must have different names; {twice!r} is there twice")
        return self

    @model_validator(mode="after")
    def _measured_as_decoded(self) -> Study:
        if self.defenses and self.capability is not None:
            raise ValueError("capability must be left out where there are defenses, which it would not see")
        return self

    @model_validator(mode="after")
    def _spread_over_gpus(self) -> Study:
        if self.gpus_per_worker > 1 and self.device not in ("auto", "cuda"):
            constraint = f"auto or cuda where gpus_per_worker is {self.gpus_per_worker}"
            raise ValueError(expected("device", constraint, self.device, "Leave it out, or gpus_per_worker."))
        return self

    @model_validator(mode="after")
    def _can_be_done(self) -> Study:
        points = sum(region.most_points or 1 for region in self.regions)
        conversations = len(self.prompts) * len(self.systems)
        if points * conversations > MOST_RESPONSES:
            raise ValueError(
                f"study must be of at most {MOST_RESPONSES:,} responses; got {points * conversations:,} already with "
                f"one prompt a set ({points:,} points × {len(self.prompts)} prompt sets × {len(self.systems)} system "
                "prompts). Take a smaller range, or fewer of them."
            )
        return self

    @model_validator(mode="after")
    def _fast_holds_together(self) -> Study:
        if not self.fast:
            return self
        grid = next((region.points for region in self.regions if region.points != "auto"), None)
        for what, needed, got in (("points", "auto", grid), ("decoding.stop", "loop", self.decoding.stop)):
            if got not in (None, needed):
                remedy = f"Leave {what} out, or fast."
                raise ValueError(expected(what, f"{needed} where fast is asked for", got, remedy))
        return self

    @property
    def is_world(self) -> bool:
        """True where the model belongs to an embedded world."""
        return self.model.startswith("world:")

    @property
    def most_responses(self) -> int | None:
        """An upper bound of the responses that it asks for; None where only prompts or model could tell."""
        sizes = [region.most_points for region in self.regions]
        if self.limit is None or None in sizes:
            return None
        return sum(size or 0 for size in sizes) * self.limit * len(self.prompts) * len(self.systems)

    @property
    def hash(self) -> str:
        """Content hash of everything that determines the result."""
        return content_hash(self.model_dump(mode="json", exclude=set(HOW)))

    def canonical(self) -> str:
        """Canonical JSON of the whole study."""
        return canonical_json(self.model_dump(mode="json"))
