"""A stored study as a log of Inspect (inspect_ai), which its viewer and its Python readers open.

Written by `inspect_ai.log.write_eval_log` and never by hand: the file is versioned, but no fixed format. Not a run of
Inspect: there are no events, and what is aggregated is the study's own statistics, not Inspect's mean over samples,
which would mix points.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from safebasin.errors import MissingExtra, UsageError, expected
from safebasin.landscape.points import AXES
from safebasin.landscape.results import read_landscape
from safebasin.landscape.samples import Sample, read_samples
from safebasin.landscape.stored import StoredStudy
from safebasin.records import Estimate, Landscape, Panel, Verdict
from safebasin.run.manifest import read_manifest
from safebasin.writing import whole

__all__ = ["MOST_SAMPLES", "inspect_module", "write_inspect_log"]

MOST_SAMPLES = 50_000
"""Its writer takes a log whole, in memory, some 30 kB a response; a table is streamed."""
WITHHELD = "(withheld)"


def inspect_module(name: str, what: str) -> Any:
    """A module of inspect_ai.

    Args:
        name: below `inspect_ai`, such as `log`.
        what: what needs it, for the message.

    Raises:
        MissingExtra: where the package is not installed.
    """
    try:
        return importlib.import_module(f"inspect_ai.{name}")
    except ImportError as error:
        raise MissingExtra(what, "inspect-ai", "inspect") from error


def write_inspect_log(
    study: StoredStudy, output: Path, *, with_text: bool, kind: Literal["eval", "json"] = "eval"
) -> int:
    """Write every stored response of a study's plan as a sample; returns how many. The file is whole or not at all.

    Redacted as a table is. What is withheld says so in its place, and the reasons of its verdicts, which may quote it,
    are left out.

    Args:
        study: what is written.
        output: the file.
        with_text: also write texts that redaction withholds.
        kind: Inspect's binary format, or its JSON.

    Raises:
        MissingExtra: without inspect-ai.
        UsageError: where there are more responses than its writer should hold.
        StoreError: where the file cannot be written.
    """
    api = inspect_module("log", "a log of Inspect")
    count = study.rows.count()
    if count > MOST_SAMPLES:
        remedy = "Write a table instead: -o FILE.parquet."
        raise UsageError(expected("a log of Inspect", f"of at most {MOST_SAMPLES:,} responses", count, remedy))
    log = _log(study, with_text=with_text)
    with whole(output) as file:
        api.write_eval_log(log, str(file), format=kind)
    return len(log.samples)


def _log(study: StoredStudy, *, with_text: bool) -> Any:
    api, plan = inspect_module("log", "a log of Inspect"), study.plan
    samples = [_sample(study, sample) for sample in read_samples(study, with_text=with_text)]
    created, key = _created(study), plan.study.hash
    spec = api.EvalSpec(
        eval_id=key,
        run_id=key,
        task_id=key,
        created=created,
        task=f"safebasin: {study.name}",
        dataset=api.EvalDataset(
            name=", ".join(prompts.name for prompts in plan.sets),
            samples=len(samples),
            sample_ids=[sample.id for sample in samples],
        ),
        model=plan.study.model,
        config=api.EvalConfig(),
        packages=_versions(study),
        metadata={"study": plan.study.model_dump(mode="json"), "study_hash": key},
    )
    scores = _results(read_landscape(study), samples)
    return api.EvalLog(
        status="success" if study.rows.count() >= plan.size else "cancelled",
        eval=spec,
        results=api.EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=scores),
        # no record says when the last response came: an end that is made up would be a duration that is made up
        stats=api.EvalStats(started_at=created, model_usage=_usage(plan.study.model, samples)),
        samples=samples,
    )


def _usage(name: str, samples: Sequence[Any]) -> dict[str, Any]:
    """Tokens that the model wrote, all samples together; how many it read is not kept."""
    written = sum(sample.output.usage.output_tokens for sample in samples)
    usage = inspect_module("model", "a log of Inspect").ModelUsage
    return {name: usage(output_tokens=written, total_tokens=written)}


def _versions(study: StoredStudy) -> dict[str, str]:
    """Of the packages that it was measured with, by its manifest."""
    described = read_manifest(study.folder).get("environment")
    found = described.get("versions") if isinstance(described, Mapping) else None
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, Mapping) else {}


def _created(study: StoredStudy) -> str:
    """When the study began, by its manifest; now where that does not say."""
    try:
        found = datetime.fromisoformat(str(read_manifest(study.folder).get("created")))
    except ValueError:
        found = datetime.now(UTC)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


# --- samples ---------------------------------------------------------------------------------------------------------


def _sample(study: StoredStudy, sample: Sample) -> Any:
    log, model = inspect_module("log", "a log of Inspect"), inspect_module("model", "a log of Inspect")
    response, text = sample.response, sample.text
    output = model.ModelOutput.from_content(
        study.plan.study.model,
        WITHHELD if text is None else text,
        stop_reason="max_tokens" if response.finish_reason == "length" else "stop",
    )
    output.usage = model.ModelUsage(output_tokens=response.n_tokens, total_tokens=response.n_tokens)
    turns = _turns(study, sample)
    return log.EvalSample(
        id=_name(study, sample),
        epoch=1,
        input=turns,
        target="",
        messages=[*turns, output.choices[0].message],
        output=output,
        model_usage={study.plan.study.model: output.usage},
        scores=_scores(sample.verdicts, shown=text is not None),
        metadata=_metadata(study, sample),
        uuid=response.key,
    )


def _name(study: StoredStudy, sample: Sample) -> str:
    """The id of a sample: where it stands, and which prompt it answers."""
    plan = study.plan
    place = [f"{name}={value:g}" for name, value in zip(AXES, sample.coords, strict=False)]
    where = (
        "origin" if sample.direction < 0 else f"{plan.regions[sample.region].name}-{sample.direction} {' '.join(place)}"
    )
    several = [sample.prompts] * (len(plan.sets) > 1) + [sample.system] * (len(plan.systems) > 1)
    return " · ".join((where, *several, sample.prompt_id))


def _turns(study: StoredStudy, sample: Sample) -> list[Any]:
    """What was sent, the system prompt of the study first."""
    model = inspect_module("model", "a log of Inspect")
    if sample.prompt_text is None:
        return [model.ChatMessageUser(content=f"{WITHHELD} prompt {sample.prompt_id}")]
    kinds = {"system": model.ChatMessageSystem, "user": model.ChatMessageUser, "assistant": model.ChatMessageAssistant}
    system = next(system for system in study.plan.systems if system.name == sample.system)
    return [kinds[turn.role](content=turn.told) for turn in system.messages(study.plan.prompts[sample.prompt_id])]


def _metadata(study: StoredStudy, sample: Sample) -> dict[str, object]:
    response = sample.response
    return {
        **dict(zip(AXES, sample.coords, strict=False)),
        "region": study.plan.regions[sample.region].name,
        "direction": sample.direction,
        "point": response.point,
        "response": response.key,
        "model": study.plan.study.model,
        "system": sample.system,
        "prompts": sample.prompts,
        "prompt_id": sample.prompt_id,
        "category": sample.category,
        "behavior": sample.behavior,
        "label": sample.prompt_label,
        "outcome": sample.label,
        "finish_reason": response.finish_reason,
        "n_tokens": response.n_tokens,
        "broken": response.broken,
        "withheld": sample.text is None,
        **({"thinking": response.thinking} if response.thinking and sample.text is not None else {}),
    }


def _scores(verdicts: Sequence[Verdict], *, shown: bool) -> dict[str, Any]:
    """By judge: 1 for a success, 0 for none, unscored where it says neither. The answer is the label."""
    score = inspect_module("scorer", "a log of Inspect").Score
    times = Counter(verdict.judge for verdict in verdicts)
    found: dict[str, Any] = {}
    for v in verdicts:
        said: dict[str, Any] = {
            "answer": v.label,
            "explanation": v.reason or None if shown else None,
            "metadata": {"version": v.version, **({} if v.grade is None else {"grade": v.grade})},
        }
        name = v.judge if times[v.judge] == 1 else f"{v.judge}@{v.version}"
        found[name] = score.unscored(**said) if v.success is None else score(value=float(v.success), **said)
    return found


# --- results ---------------------------------------------------------------------------------------------------------


def _results(landscape: Landscape, samples: Sequence[Any]) -> list[Any]:
    """For each judge its rates at the origin, then the statistics of every panel; with intervals as metadata."""
    api = inspect_module("log", "a log of Inspect")
    scored = Counter(name for s in samples for name, one in s.scores.items() if one.value == one.value)
    asked = Counter(name for s in samples for name in s.scores)
    found = [
        api.EvalScore(
            name=judge,
            scorer=judge,
            scored_samples=scored[judge],
            unscored_samples=asked[judge] - scored[judge],
            metrics=_metrics((f"asr at origin · {_title(p)}", p.points[0].asr.get(judge)) for p in _origins(landscape)),
        )
        for judge in landscape.judges
    ]
    for panel in landscape.panels:
        metrics = _metrics((name, estimate) for name, estimate in panel.summary.items())
        title = f"{panel.region.name} · {_title(panel)}"
        found.append(api.EvalScore(name=title, scorer=panel.judge, metrics=metrics, metadata={"judge": panel.judge}))
    return found


def _origins(landscape: Landscape) -> Iterator[Panel]:
    """One panel for each set and system prompt: all regions share the origin."""
    seen = set[str]()
    for panel in landscape.panels:
        if panel.points and _title(panel) not in seen:
            seen.add(_title(panel))
            yield panel


def _title(panel: Panel) -> str:
    return f"{panel.prompts} · {panel.system}"


def _metrics(estimates: Iterator[tuple[str, Estimate | None]]) -> dict[str, Any]:
    """What is undefined is left out; the interval and how it was made go with the rest."""
    metric = inspect_module("log", "a log of Inspect").EvalMetric
    return {
        name: metric(
            name=name,
            value=e.value,
            metadata={
                "low": e.low, "high": e.high, "level": e.level, "n": e.n, "n_missing": e.n_missing,
                "n_censored": e.n_censored, "method": e.method,
            },
        )
        for name, e in estimates
        if e is not None and e.value is not None
    }  # fmt: skip
