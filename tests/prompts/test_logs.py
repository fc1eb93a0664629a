"""Logs of Inspect, lm-eval and garak as prompts, and as responses to judge. About tea throughout."""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from safebasin import api
from safebasin.errors import MissingExtra, PromptError
from safebasin.prompts.sources import load_prompts


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def sample(number: int, asked: object, *texts: str) -> dict[str, object]:
    """A line as `--log_samples` of lm-eval 0.4 writes it: one request, answered as often as there are texts."""
    return {
        "doc_id": number, "doc": {"question": "…"}, "target": "",
        "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": {}}},
        "resps": [list(texts)], "filtered_resps": list(texts[:1]), "filter": "none", "metrics": ["acc"], "acc": 1.0,
    }  # fmt: skip


def attempt(name: str, asked: object, *outputs: object, status: int = 2) -> dict[str, object]:
    """An attempt of a garak report."""
    return {
        "entry_type": "attempt", "uuid": name, "seq": 0, "status": status, "probe_classname": "tea.Steeping",
        "prompt": asked, "outputs": list(outputs), "detector_results": {},
    }  # fmt: skip


SAID = {"role": "user", "content": {"text": "How long does tea steep?", "lang": "en"}}
START = {"entry_type": "start_run setup", "_config.version": "0.17.1"}


def judged(path: Path, out: Path) -> list[dict[str, Any]]:
    api.judge_file(path, ["refusal"], out=out)
    return [json.loads(line) for line in out.read_text().splitlines()]


# --- lm-eval ---------------------------------------------------------------------------------------------------------


def test_samples_of_lm_eval_are_prompts_and_responses(tmp_path: Path) -> None:
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is tea hot?"}])
    log = write(
        tmp_path / "samples_tea.jsonl",
        sample(0, "Tea is", " warm", "I cannot help with that."),
        sample(1, chat, "Yes."),
    )
    prompts = load_prompts(str(log))
    assert [[(m.role, m.content) for m in p.messages] for p in prompts] == [
        [("user", "Tea is")], [("system", "Be brief."), ("user", "Is tea hot?")]
    ]  # fmt: skip
    rows = judged(log, tmp_path / "out.jsonl")
    assert [(row["doc_id"], row["verdicts"][0]["label"]) for row in rows] == [
        (0, "complied"),
        (0, "refusal"),
        (1, "complied"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {**sample(1, "Tea is", "x"), "resps": [[["-0.5", "False"]]]},  # of log-likelihoods
        {**sample(1, "Tea is", "x"), "arguments": {}},
        {**sample(1, "Tea is", "x"), "resps": None},
        sample(1, {"text": "Tea is"}, "x"),
    ],
)
def test_a_sample_of_another_kind_is_named(tmp_path: Path, broken: dict[str, object]) -> None:
    log = write(tmp_path / "samples.jsonl", sample(0, "Tea is", "warm"), broken)
    with pytest.raises(
        PromptError, match=r"line 2 of samples\.jsonl must be .* Take the samples of a task that generates"
    ):
        load_prompts(str(log))


# --- garak -----------------------------------------------------------------------------------------------------------


def test_a_report_of_garak_is_prompts_and_responses(tmp_path: Path) -> None:
    log = write(
        tmp_path / "garak.report.jsonl",
        START,
        attempt("a", {"turns": [SAID]}, {"text": "Four minutes.", "lang": "en"}, None, status=1),
        attempt("a", {"turns": [SAID]}, {"text": "Four minutes.", "lang": "en"}, None),
        attempt("b", "Is tea hot?", "I cannot help with that."),  # as older versions wrote it
        attempt("c", "never sent", status=0),
        {"entry_type": "eval", "probe": "tea.Steeping", "passed": 1, "total": 2},
    )
    assert [p.text for p in load_prompts(str(log))] == ["How long does tea steep?", "Is tea hot?"]
    assert {p.category for p in load_prompts(str(log))} == {"tea.Steeping"}
    rows = judged(log, tmp_path / "out.jsonl")
    assert [(row["response"], row["verdicts"][0]["label"]) for row in rows] == [
        ("Four minutes.", "complied"), ("I cannot help with that.", "refusal")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([START], "with an attempt that was answered; got '1 lines'"),
        ([START, attempt("a", {"parts": []}, "x")], "line 2 of garak.report.jsonl must be an attempt with a prompt"),
        ([START, attempt("a", {"turns": ["x"]}, "x")], "line 2 of garak.report.jsonl must be an attempt with a prompt"),
        (
            [START, {**attempt("a", "x"), "outputs": "x"}],
            "line 2 of garak.report.jsonl must be an attempt with a prompt",
        ),
    ],
)
def test_a_report_that_gives_nothing_is_told(tmp_path: Path, lines: list[object], said: str) -> None:
    with pytest.raises(PromptError, match=said):
        load_prompts(str(write(tmp_path / "garak.report.jsonl", *lines)))


def test_a_line_that_is_cut_short_is_named(tmp_path: Path) -> None:
    log = write(tmp_path / "garak.report.jsonl", START, attempt("a", "Is tea hot?", "Yes."))
    log.write_text(log.read_text()[:-20])
    for read in (load_prompts, api.judge_file):
        with pytest.raises(PromptError, match=r"line 2 of garak\.report\.jsonl must be valid JSON"):
            read(str(log))


# --- Inspect ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Any:
    """A log of Inspect of three samples, of which the last failed."""
    pytest.importorskip("inspect_ai")
    made, model = importlib.import_module("inspect_ai.log"), importlib.import_module("inspect_ai.model")
    asked = [
        [model.ChatMessageSystem(content="Be brief."), model.ChatMessageUser(content="Is tea hot?")],
        "Tea?",
        "Pot?",
    ]
    failed = made.EvalError(message="", traceback="", traceback_ansi="")
    samples = [
        made.EvalSample(
            id=n, epoch=1, input=text, target="", output=model.ModelOutput.from_content("m", said),
            metadata={"category": "tea"}, error=failed if n == 2 else None,
        )
        for n, (text, said) in enumerate(zip(asked, ("Yes.", "I cannot help with that.", ""), strict=True))
    ]  # fmt: skip
    spec = made.EvalSpec(
        created="2026-01-01T00:00:00+00:00", task="tea", dataset=made.EvalDataset(), model="m", config=made.EvalConfig()
    )
    return made.EvalLog(status="success", eval=spec, samples=samples)


@pytest.mark.parametrize("name", ["tea.eval", "tea.json"])
def test_a_log_of_inspect_is_prompts_and_responses(tmp_path: Path, log: Any, name: str) -> None:
    path = tmp_path / name
    importlib.import_module("inspect_ai.log").write_eval_log(log, str(path))
    prompts = load_prompts(str(path))
    assert [[m.role for m in p.messages] for p in prompts] == [["system", "user"], ["user"]]
    assert [(p.text, p.category) for p in prompts] == [("Is tea hot?", "tea"), ("Tea?", "tea")]
    rows = judged(path, tmp_path / "out.jsonl")
    assert [(row["sample"], row["verdicts"][0]["label"]) for row in rows] == [("0/1", "complied"), ("1/1", "refusal")]


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_log_of_inspect_that_is_cut_short_is_told_in_one_line(tmp_path: Path, log: Any, keep: int) -> None:
    path = tmp_path / "tea.eval"
    importlib.import_module("inspect_ai.log").write_eval_log(log, str(path))
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load_prompts, api.judge_file):
        with pytest.raises(PromptError, match=r"tea\.eval must be a log of Inspect; .* write it anew") as caught:
            read(str(path))
        assert "\n" not in str(caught.value)


def test_other_archives_and_later_versions_are_no_logs(tmp_path: Path, log: Any) -> None:
    path = tmp_path / "tea.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "tea")
    with pytest.raises(PromptError, match="must be a log of Inspect"):
        load_prompts(str(path))
    later = {**json.loads(log.model_dump_json()), "version": 99}
    (tmp_path / "later.json").write_text(json.dumps(later))
    with pytest.raises(PromptError, match="must be a log of Inspect"):
        load_prompts(str(tmp_path / "later.json"))


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tea.eval"
    importlib.import_module("inspect_ai.log").write_eval_log(log, str(path))
    monkeypatch.setattr("safebasin.prompts.logs._UNPACKED", 1000)
    with pytest.raises(PromptError, match="more than 1,000,000 parts, or than"):
        load_prompts(str(path))


def test_without_inspect_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    (tmp_path / "tea.eval").write_bytes(b"PK")
    with pytest.raises(MissingExtra, match=r"pip install 'safebasin\[inspect\]'"):
        load_prompts(str(tmp_path / "tea.eval"))
