"""What a study asks for: points × systems × batches of prompts. Pure: no disk, no model, no clock.

Resume is subtraction: `Plan.tasks(done)` leaves out what the store holds. Batches are a function of the plan and of
the batches that earlier plans of the same folder made, never of what is left to do: a row decoded after a crash sits
beside the same rows as it would have without one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from safebasin.errors import StudyError, expected
from safebasin.protocols import EngineFacts, Generate, Judge, RuleJudge
from safebasin.records import Decoding, Place, Point, Prompt, Region, System
from safebasin.study import Study
from safebasin.study.answered import Answered, Question
from safebasin.study.defenses import keys_of
from safebasin.study.shards import Shard
from safebasin.study.stages import ask_order, stages

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """A named set of prompts, in the order of its source."""

    name: str
    source: str
    prompts: tuple[Prompt, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """`Prompt.id` of each."""
        return tuple(prompt.id for prompt in self.prompts)

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """`Prompt.id` → its number in the order in which fast mode asks, from 0."""
        return {prompt: rank for rank, prompt in enumerate(ask_order(self.ids))}

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """After how many prompts fast mode may stop a point; none where it never does."""
        return stages(len(self.ids)) if len(self.ranks) == len(self.ids) else ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a study asks for. `tasks` subtracts what is done.

    Without slots: what follows from the fields is worked out once, for a plan may hold 100,000 points.
    """

    study: Study
    sets: tuple[PromptSet, ...]
    systems: tuple[System, ...]
    regions: tuple[Region, ...]
    decoding: Decoding
    batches: Mapping[str, int]
    """Prompt id → batch number."""
    chosen: Mapping[str, tuple[Place, ...]] = field(default_factory=dict[str, tuple[Place, ...]])
    """By name of a region that is sampled adaptively: the places chosen so far, the origin left out."""
    measurements: tuple[str, ...] = ()
    """Settings of what is measured beside the responses (`safebasin.run.measurements`)."""
    shard: Shard | None = None
    """The share of the points that is measured here; None is all of them."""
    exact: Decoding | None = None
    """In fast mode the decoding of exact mode, in which a sample is measured too (`safebasin.study.fast`)."""
    stopped: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """In fast mode, by `Point.key`: of each named set that is not asked whole there, how many of its first prompts."""

    @cached_property
    def prompts(self) -> Mapping[str, Prompt]:
        """Every prompt of the plan by id; one that stands in two sets is asked once."""
        return {p.id: p for s in self.sets for p in s.prompts}

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Unique points, the origin first, then region by region, direction by direction, ascending.

        Of a shard they are its own.
        """
        found = [Point()]
        for region in self.regions:
            found += [region.point(place) for place in self.places(region)]
        unique = tuple(dict.fromkeys(found))
        return unique if self.shard is None else self.shard.share(unique)

    @cached_property
    def point_keys(self) -> Mapping[str, Point]:
        """The same by key."""
        return {point.key: point for point in self.points}

    def places(self, region: Region) -> tuple[Place, ...]:
        """List where a region is measured, the origin left out: its grid, or what is chosen of it so far."""
        return tuple(region.grid()) if region.points == "grid" else self.chosen.get(region.name, ())

    def numbered_places(self) -> Iterator[tuple[int, Place, Point]]:
        """Every place, with the number of its region, and its point: the origin first, under the first region."""
        yield 0, self.regions[0].origin, Point()
        for number, region in enumerate(self.regions):
            for place in self.places(region):
                yield number, place, region.point(place)

    @cached_property
    def left_out(self) -> Mapping[str, frozenset[str]]:
        """By `Point.key`, the prompts that are not asked there; points at which all are have no entry.

        Equal sets are one object.
        """
        made: dict[tuple[tuple[str, int], ...], frozenset[str]] = {}
        found: dict[str, frozenset[str]] = {}
        for point, counts in self.stopped.items():
            key = tuple(sorted(counts.items()))
            if key not in made:
                asked = {i for s in self.sets for i, rank in s.ranks.items() if rank < counts.get(s.name, len(s.ids))}
                made[key] = frozenset(self.prompts.keys() - asked)
            if made[key] and point in self.point_keys:
                found[point] = made[key]
        return found

    @cached_property
    def stopped_points(self) -> Mapping[frozenset[str], tuple[str, ...]]:
        """The same the other way round: the `Point.key`s at which the same prompts are not asked."""
        found: dict[frozenset[str], list[str]] = {}
        for point, prompts in self.left_out.items():
            found.setdefault(prompts, []).append(point)
        return {prompts: tuple(points) for prompts, points in found.items()}

    @property
    def size(self) -> int:
        """Responses that the plan asks for."""
        n_asked = len(self.points) * len(self.prompts) - sum(map(len, self.left_out.values()))
        return len(self.systems) * n_asked

    def batch_members(self) -> dict[int, tuple[str, ...]]:
        """Batch number → prompt ids of this plan, in batch order (shortest first, so padding is small)."""
        members: dict[int, list[Prompt]] = {}
        for prompt in self.prompts.values():
            members.setdefault(self.batches[prompt.id], []).append(prompt)
        return {n: tuple(p.id for p in sorted(members[n], key=_by_length)) for n in sorted(members)}

    def tasks(
        self, done: Answered | None = None, *, whole: bool = True, date: str | None = None
    ) -> tuple[Generate, ...]:
        """Batches of which at least one response is missing, point by point.

        Args:
            done: the responses that exist; None is none.
            whole: whether a batch is decoded as it stands in the plan, what exists of it included; not where an engine
                is invariant to its batch.
            date: the day that the template is told.
        """
        prompts, done = self.prompts, Answered() if done is None else done
        members = [(n, [(i, prompts[i]) for i in ids]) for n, ids in self.batch_members().items()]
        found: list[Generate] = []
        for key, point in self.point_keys.items():
            left_out = self.left_out.get(key, _NOTHING)
            for system in self.systems:
                there = done.prompts(key, system.id) | left_out
                if there >= prompts.keys():
                    continue
                for number, batch in members:
                    missing = [prompt for i, prompt in batch if i not in there]
                    if missing:
                        asked = tuple(p for i, p in batch if i not in left_out) if whole else tuple(missing)
                        task = Generate(
                            point=point,
                            system=system,
                            prompts=asked,
                            decoding=self.decoding,
                            batch=number,
                            date=date,
                        )
                        found.append(task)
        return tuple(found)

    def keys(self) -> Iterable[Question]:
        """(point, system, prompt) of every response that the plan asks for."""
        prompts = tuple(self.prompts)
        for key in self.point_keys:
            left_out = self.left_out.get(key, _NOTHING)
            for system in self.systems:
                for prompt in prompts:
                    if prompt not in left_out:
                        yield key, system.id, prompt

    def asked(self, done: Answered) -> Answered:
        """Keep those of some answered questions that the plan asks; `keys` is not built for it."""
        return done.within(self.point_keys, [s.id for s in self.systems], self.prompts, without=self.left_out)


def _by_length(prompt: Prompt) -> tuple[int, str]:
    return sum(len(m.content) for m in prompt.messages), prompt.id


def assign_batches(prompts: Iterable[Prompt], known: Mapping[str, int], batch_size: int) -> dict[str, int]:
    """Give every prompt a batch: the known ones keep theirs, new ones are sorted by length and cut into batches.

    Args:
        prompts: the prompts of a plan.
        known: prompt id → batch number, from earlier plans of the same folder.
        batch_size: the most prompts a new batch may hold, ≥ 1.
    """
    new = sorted({p.id: p for p in prompts if p.id not in known}.values(), key=_by_length)
    first = max(known.values(), default=-1) + 1
    return {**known, **{p.id: first + i // batch_size for i, p in enumerate(new)}}


def _by_stages(sets: Iterable[PromptSet]) -> Iterator[tuple[Prompt, ...]]:
    """The prompts of each stage of fast mode, so that a batch holds none that is asked later than another."""
    first: dict[str, int] = {}
    found: dict[int, list[Prompt]] = {}
    for prompt_set in sets:
        for prompt, rank in prompt_set.ranks.items():
            stage = sum(rank >= count for count in prompt_set.stages)
            first[prompt] = min(stage, first.get(prompt, stage))
    for prompt in (prompt for prompt_set in sets for prompt in prompt_set.prompts):
        found.setdefault(first[prompt.id], []).append(prompt)
    return (tuple(found[stage]) for stage in sorted(found))


def make_plan(
    study: Study,
    sets: Sequence[PromptSet],
    *,
    systems: Sequence[System],
    regions: Sequence[Region],
    decoding: Decoding,
    known: Mapping[str, int],
    batch_size: int,
    chosen: Mapping[str, tuple[Place, ...]] | None = None,
    measurements: Sequence[str] = (),
    shard: Shard | None = None,
    exact: Decoding | None = None,
) -> Plan:
    """Put a plan together; `known` is what `assign_batches` takes."""
    batches = dict(known)
    for prompts in [[p for s in sets for p in s.prompts]] if exact is None else _by_stages(sets):
        batches = assign_batches(prompts, batches, batch_size)
    return Plan(
        study=study,
        sets=tuple(sets),
        systems=tuple(systems),
        regions=tuple(regions),
        decoding=decoding,
        batches=batches,
        chosen=chosen or {},
        measurements=tuple(measurements),
        shard=shard,
        exact=exact,
    )


def plain_decoding(study: Study) -> Decoding:
    """Make the decoding that a study says, its stop rule aside and nothing looked up."""
    return Decoding(
        max_new_tokens=study.decoding.max_new_tokens,
        template_args=tuple(sorted(study.template_args.items())),
        dtype=study.dtype,
        engine=study.engine,
        defenses=keys_of(study.defenses),
    )


def decoded_by(facts: EngineFacts, decoding: Decoding) -> Decoding:
    """A decoding as an engine does it: under its name, in the dtype that its weights have."""
    return replace(decoding, engine=facts.engine, dtype=facts.dtype)


def resolve_decoding(
    study: Study,
    judges: Sequence[Judge],
    stored: Iterable[Decoding] = (),
    plain: Decoding | None = None,
    *,
    stops: Collection[str] = ("none", "verdict", "loop"),
) -> Decoding:
    """The decoding of a study, its stop rule resolved.

    `auto` ends a row at a refusal if every judge is monotone and the engine can do so, else decodes to the end. A
    folder that already holds a decoding of the same settings under such a rule keeps it, whatever its judges were, so
    that a judge added later finds the responses there are: what such a judge cannot decide on a cut text it calls
    `unscored (cut)`.

    Args:
        study: the study.
        judges: its judges.
        stored: decodings that the folder holds.
        plain: the study's decoding with everything looked up, without a stop rule; None looks nothing up. Where even
            its dtype could not be seen, it is that of a stored decoding of the same settings.
        stops: the stop rules that the engine honors.

    Raises:
        StudyError: where the study asks for another.
    """
    asked, stored = study.decoding, tuple(stored)
    plain = plain_decoding(study) if plain is None else plain
    if asked.stop not in ("auto", *stops):
        constraint = f"auto, or one that the engine {plain.engine!r} honors ({', '.join(sorted(stops))})"
        raise StudyError(expected("decoding.stop", constraint, asked.stop, "Leave it out, or use another engine."))
    if plain.dtype == "auto":
        plain = next((e.unstopped for e in stored if replace(e.unstopped, dtype="auto") == plain), plain)
    if asked.stop == "none":
        return plain
    phrases = tuple(dict.fromkeys(judge.phrases for judge in judges if judge.phrases))
    rules = tuple(dict.fromkeys(judge.rule for judge in judges if isinstance(judge, RuleJudge)))
    known = [earlier for earlier in stored if earlier.unstopped == plain]
    if asked.stop != "auto":
        exact = replace(plain, stop=asked.stop, phrases=phrases, rules=rules)
        return next((e for e in known if e.stop == asked.stop and exact not in known), exact)
    for earlier in known:
        if earlier.stop != "loop" and earlier.stop in stops:
            return earlier
    if "verdict" in stops and (phrases or rules) and all(judge.monotone for judge in judges):
        return replace(plain, stop="verdict", phrases=phrases, rules=rules)
    return plain
