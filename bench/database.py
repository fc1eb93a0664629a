"""A study's database at scale: synthetic rows, and what each verb takes on them, in a process of its own each.

A real folder of the embedded world is mapped at one point, so that a `map` of the large study finds all that it checks;
what the large plan lacks is then written through the store itself, with texts, scores and verdicts from small pools.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from safebasin import api
from safebasin import study as studies
from safebasin.judges import load_judge
from safebasin.landscape.language_tests import calibrated
from safebasin.landscape.last_plan import write_last_plan
from safebasin.protocols import Judge
from safebasin.records import Response, Score, Verdict
from safebasin.run.inputs import gather
from safebasin.run.noise_version import noise_in
from safebasin.run.planned import plan_for
from safebasin.store.db import StudyStore
from safebasin.store.folder import DATABASE
from safebasin.study import Study
from safebasin.study.answered import Answered
from safebasin.study.plan import Plan
from safebasin.study.shards import Shard

MODEL = "world:guild/aligned"
JUDGES = ("keyword/peng2024", "keyword/zou2023", "outcome")
DIRECTIONS = 10
POOL = 2_000
"""Texts that repeat."""
BATCH = 64
"""Responses of one transaction, as a run writes them."""


def flags_of(n_rows: int, folder: Path) -> dict[str, object]:
    """The flags of a study of about as many responses: ten lines, and a fifth as many points of each as prompts."""
    n_prompts = max(20, round((n_rows / DIRECTIONS / 0.2) ** 0.5))
    n_points = max(3, round(n_rows / DIRECTIONS / n_prompts)) | 1
    prompts = folder.parent / "prompts.jsonl"  # one file: a study is known by the names in it
    prompts.write_text(
        "".join(json.dumps({"prompt": f"How long does tea number {i} steep?"}) + "\n" for i in range(n_prompts))
    )
    return {
        "prompts": str(prompts),
        "limit": n_prompts,
        "directions": DIRECTIONS,
        "range": f"-1:1:{n_points}",
        "judges": list(JUDGES),
        "max_new_tokens": 4,
        "stop": "none",
        "batch_size": BATCH,
    }


def study_of(flags: dict[str, object]) -> Study:
    """The study of some flags."""
    return studies.make(studies.with_flags({"model": MODEL}, flags))


def make(folder: Path, n_rows: int, shard: Shard | None = None) -> tuple[int, float, float]:
    """A study of about as many responses in a folder, or a shard of one; returns how many, and the seconds of clock and
    processor.
    """
    flags = flags_of(n_rows, folder)
    first = {**flags, "range": "-1:1:2"}
    if shard is None:
        api.map_basin(MODEL, out=folder, **{**first, "directions": 1})
    else:
        api.map_shard(study_of(first), str(shard), out=folder)  # both ends of its own directions
    inputs = gather(study_of(flags), noise=noise_in(folder))
    with StudyStore.open(folder) as store:
        plan = plan_for(store, inputs, batch_size=BATCH, shard=shard)
        store.add_question(points=plan.points, systems=plan.systems, decoding=plan.decoding)
        write_last_plan(store, plan, inputs.judges)
        began, busy = time.perf_counter(), time.process_time()
        fill(store, plan)
        return plan.size, time.perf_counter() - began, time.process_time() - busy


def fill(store: StudyStore, plan: Plan) -> None:
    """Write what a plan lacks, point by point."""
    draw = random.Random(0)
    judges = [calibrated(load_judge(name), store) for name in JUDGES]
    texts, blanks = pool(draw), [pooled_score(draw) for _ in range(100)]
    done = store.done(plan.decoding.key)
    for batch in batches(plan, draw, texts, done):
        store.put_responses(batch)
        pairs = zip(batch, draw.choices(blanks, k=len(batch)), strict=True)
        store.put_scores(Score(response=r.key, nll=nll, ends=ends) for r, (nll, ends) in pairs)
        store.put_verdicts(verdict for judge in judges for verdict in opinions(judge, batch, draw))


def pool(draw: random.Random) -> list[str]:
    """Texts of about 300 characters, a half of which refuse."""
    words = ("the tea pot steeps", "warm water leaves", "minutes while we wait", "and pour slowly", "into every cup")
    made = [" ".join(draw.choices(words, k=17)) for _ in range(POOL)]
    return [f"I cannot help with that topic. {text}" if i % 2 else text for i, text in enumerate(made)]


def pooled_score(draw: random.Random) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The likelihoods of some tokens: of a refusal's beginning, as judges need them."""
    n = draw.randrange(0, 20)
    return tuple(draw.random() for _ in range(n)), tuple(5 * (i + 1) for i in range(n))


def batches(plan: Plan, draw: random.Random, texts: list[str], done: Answered) -> Iterator[list[Response]]:
    """The responses that a plan lacks, as a run writes them."""
    prompts, decoding = list(plan.prompts), plan.decoding.key
    for point in plan.point_keys:
        draw.seed(point)  # the same in every shard that has it
        for system in plan.systems:
            there = done.prompts(point, system.id)
            left = [prompt for prompt in prompts if prompt not in there]
            for i in range(0, len(left), BATCH):
                yield [
                    Response(
                        point=point, prompt=prompt, system=system.id, decoding=decoding,
                        text=draw.choice(texts), n_tokens=70, finish_reason="stop", gap=draw.random(),
                    )
                    for prompt in left[i : i + BATCH]
                ]  # fmt: skip


def opinions(judge: Judge, batch: list[Response], draw: random.Random) -> Iterator[Verdict]:
    """Verdicts of a judge: of the words a text begins with, and now and then incoherent or unscored."""
    name, version = judge.name, judge.version
    for response in batch:
        refuses = response.text.startswith("I cannot")
        label, reason = ("refusal", "phrase 'I cannot'") if refuses else ("complied", "")
        if name == "outcome" and draw.random() < 0.1:
            label, reason = ("incoherent", "3.10 nats > 2.50") if draw.random() < 0.9 else ("unscored", "no score")
        success = None if label == "unscored" else label == "complied"
        yield Verdict(response=response.key, judge=name, version=version, label=label, success=success, reason=reason)


VERBS = {
    "resume": "from bench.database import again; again(sys.argv[1], int(sys.argv[2]))",
    "stats": "api.read_study(sys.argv[1])",
    "report": "api.report_study(sys.argv[1])",
    "export": "api.export_study(sys.argv[1], sys.argv[1] + '.parquet')",
    "judge": "api.judge_study(sys.argv[1], ['keyword/qi2023'])",
    "pack": "api.pack_results(sys.argv[1], sys.argv[1] + '.zip')",
    "merge": "api.merge_shards([f'{sys.argv[1]}-{n}' for n in (1, 2)], out=sys.argv[1] + '-merged')",
}
"""What is done with a folder, each in a process of its own; `merge` with two shards of the same study."""
ONCE = ("judge", "pack", "merge")
"""Those that leave something behind."""
_MEASURED = """
import sys, time
from pathlib import Path
from safebasin import api
began, busy = time.perf_counter(), time.process_time()
{verb}
print(time.perf_counter() - began, time.process_time() - busy)
told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(told["VmHWM"].split()[0]) / 1024)
"""
# not ru_maxrss, which a process begins with from the one that started it


def again(folder: str, n_rows: int) -> None:
    """The same `map` once more, of which everything is done."""
    from safebasin.run.execute import measure

    measure(study_of(flags_of(n_rows, Path(folder))), Path(folder))


def row_of(verb: str, folder: Path, asked: int, n_rows: int) -> str:
    """Seconds, those of the processor, rows a second of these, and peak memory of a verb."""
    script = _MEASURED.format(verb=VERBS[verb])
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(asked)], check=True, capture_output=True, text=True
    ).stdout.split()
    seconds, busy, peak = map(float, told[-3:])
    return f"| {verb} | {seconds:.1f} s | {busy:.1f} s | {n_rows / busy:,.0f} | {peak:.0f} MB |"


def main(*, quick: bool, n_rows: int | None = None, keep: Path | None = None) -> str:
    """The section of the benchmark report.

    Args:
        quick: as small as shows that it runs.
        n_rows: about how many responses.
        keep: where the study is made, and left, its shards, their merge and its pack beside it; what is there already
            is measured as it is, and what leaves something behind is not done again.
    """
    asked = n_rows or (5_000 if quick else 200_000)
    with tempfile.TemporaryDirectory() as made:
        at = Path(made) / "study" if keep is None else keep
        is_new = not (at / DATABASE).exists()
        inserted = _inserted(*make(at, asked)) if is_new else []
        for number in (1, 2) if is_new else ():
            make(at.with_name(f"{at.name}-{number}"), asked, Shard(number, 2))
        with StudyStore.open(at) as store:
            n = store.counts()["responses"]
        size = (at / DATABASE).stat().st_size
        head = [f"{n:,} responses, {size / 1e6:,.0f} MB, {size / n:,.0f} bytes a response.\n"]
        head += [
            "| | time | of the processor | responses a second of it | peak memory |",
            "| --- | --- | --- | --- | --- |",
        ]
        verbs = [verb for verb in VERBS if is_new or verb not in ONCE]
        return "\n".join([*head, *inserted, *(row_of(verb, at, asked, n) for verb in verbs)])


def _inserted(n: int, seconds: float, busy: float) -> list[str]:
    return [f"| insert | {seconds:.1f} s | {busy:.1f} s | {n / busy:,.0f} | |"]
