"""The command line as a user meets it: help, exit codes, one-line errors, and what goes to which stream."""

from __future__ import annotations

import gc
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
import typer.main

from helpers.command import exit_code, safebasin
from safebasin import api, catalog, cli
from safebasin.cli import app, main
from safebasin.cli.app import ORDER
from safebasin.landscape import landscape_json

pytestmark = pytest.mark.integration

WORLD = "world:guild/aligned"
SMALL = ("--limit", "6", "--directions", "1", "--range", "-1.2:1.2:3", "--max-new-tokens", "40")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "study"
    done = safebasin("map", "-o", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    assert f"report   {folder}/report.html" in done.stdout
    assert "VISAGE" in done.stdout
    return folder


def test_every_file_of_the_design_is_there(mapped: Path) -> None:
    names = {p.name for p in mapped.iterdir()}
    assert {"study.yaml", "manifest.json", "study.sqlite", "landscape.json", "report.html", "figures"} <= names
    assert {p.suffix for p in (mapped / "figures").iterdir()} == {".png", ".svg", ".pdf", ".csv"}


def test_landscape_fits_its_schema(mapped: Path) -> None:
    document = json.loads((mapped / "landscape.json").read_text())
    jsonschema.Draft202012Validator(landscape_json.schema()).validate(document)
    broken = {**document, "summary": {"visage": {"value": "high"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(landscape_json.schema()).validate(broken)
    assert {"visage", "margin", "radius", "depth", "harm_margin", "harm_radius", "collapse"} <= set(document["summary"])


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (lambda: torch.empty(1 << 55), "DefaultCPUAllocator: can't allocate memory"),
        (lambda: np.empty(1 << 55), "Unable to allocate"),
        (lambda: bytearray(1 << 62), "none left"),
        (lambda: mmap.mmap(-1, 1 << 62), "Cannot allocate memory"),
    ],
)
def test_memory_that_is_short_is_help_whoever_says_it(
    take: Callable[[], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "read_study", lambda *_, **__: take())
    done = safebasin("stats", "study")
    assert done.returncode == 2
    assert done.stderr.startswith("safebasin: memory must be enough for the next step; got ")
    assert said in done.stderr
    assert done.stderr.endswith("then run the same command again: what was done is kept.\n")
    assert done.stderr.count("\n") == 1


def test_json_is_all_there_is_on_stdout(mapped: Path) -> None:
    done = safebasin("stats", mapped, "--json")
    assert json.loads(done.stdout) == json.loads((mapped / "landscape.json").read_text())


@pytest.mark.slow
def test_judge_and_stats_show_the_judge_that_is_asked_for(mapped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(mapped, folder)
    done = safebasin("judge", folder, "--judge", "oracle", "--judge", "refusal")
    assert re.findall(r"^ASR by (\S+);", done.stdout, flags=re.MULTILINE) == ["oracle", "refusal"]
    assert "ASR by oracle;" in safebasin("stats", folder, "--judge", "oracle").stdout
    assert "ASR by keyword/peng2024;" in safebasin("stats", folder).stdout
    shown = json.loads(safebasin("judge", folder, "--judge", "refusal", "--json").stdout)
    assert shown["judge"] == "refusal"
    done = safebasin("stats", folder, "--judge", "orcale")
    assert done.returncode == 2
    assert "stored here (keyword/peng2024, oracle, outcome, refusal); got 'orcale'" in done.stderr


def test_export_has_a_row_a_response(mapped: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert safebasin("export", mapped, "--format", "jsonl", "-o", out).returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 6 * 3
    origin = [row for row in rows if row["coords"] == [0.0]]
    assert len(origin) == 6
    wanted = {"prompt", "response", "coords", "direction", "system", "finish_reason", "verdicts"}
    assert wanted <= set(rows[0])
    assert {v["judge"] for v in rows[0]["verdicts"]} == {"keyword/peng2024", "outcome"}

    import pyarrow.parquet as pq

    table = tmp_path / "rows.parquet"
    assert safebasin("export", mapped, "-o", table).returncode == 0
    assert [row["response"] for row in pq.read_table(table).to_pylist()] == [row["response"] for row in rows]


def test_verify_finds_nothing_in_a_sound_study_and_something_in_a_broken_one(mapped: Path) -> None:
    assert safebasin("verify", mapped).returncode == 0
    landscape = mapped / "landscape.json"
    text = landscape.read_text()
    landscape.unlink()
    done = safebasin("verify", mapped)
    landscape.write_text(text)
    assert done.returncode == 1
    assert "landscape.json is missing" in done.stderr


@pytest.mark.slow
def test_shards_of_one_command_each_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--limit", "4", "--directions", "1", "--range=-1:1:3", "--max-new-tokens", "4", "--batch-size", "4")
    for n in (1, 2):
        done = safebasin("map", *small, "--shard", f"{n}/2", "--json")
        assert json.loads(done.stdout) == {"shard": f"{n}/2", "folder": f"runs/guild-aligned-shard-{n}-of-2"}, (
            done.stderr
        )
    folders = sorted(path.relative_to(tmp_path) for path in (tmp_path / "runs").iterdir())
    done = safebasin("merge", *map(str, folders), "-o", "whole")
    assert (done.returncode, "report   whole/report.html" in done.stdout) == (0, True), done.stderr
    assert (tmp_path / "whole" / "report.html").is_file()


def test_plan_says_what_is_done_and_what_is_left(mapped: Path) -> None:
    done = safebasin("plan", "-o", mapped, *SMALL, "--json")
    planned = json.loads(done.stdout)
    assert (planned["responses"], planned["done"], planned["batches_left"]) == (18, 18, 0)
    wider = ("--limit", "6", "--directions", "1", "--range", "-2.4:2.4:5", "--max-new-tokens", "40")
    planned = json.loads(safebasin("plan", "-o", mapped, *wider, "--json").stdout)
    assert (planned["responses"], planned["done"]) == (30, 18)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mpa",), r"No such command 'mpa'.*map"),
        (("map", "--dirctions", "3"), r"--dirctions.*--directions"),
        (("map", "nowhere/model"), r"prompts must be given"),
        (("map", "/nowhere", "--prompts", "world:guild/harmful"), r"model must be an existing folder .*nowhere"),
        (("map", "world:gild/aligned"), r"Did you mean 'guild'\?"),
        (("map", "world:guild/alined"), r"Did you mean 'aligned'\?"),
        (("map", "--judge", "outcom"), r"judge must be one of .*Did you mean 'outcome'\?"),
        (("map", "--range", "1:-1:3"), r"range must be ascending"),
        (("map", "--range", "-1:1:0"), r"at least one point"),
        (("map", "--range", "0:nan:3"), r"range must be finite"),
        (("map", "--directions", "0"), r"directions must be at least 1; got 0"),
        (("map", "--limit", "0"), r"limit must be at least 1; got 0"),
        (("map", "--max-new-tokens", "0"), r"--max-new-tokens must be at least 1; got 0"),
        (("map", "--device", "cuda"), r"device|cuda"),
        (("map", "--gpus-per-worker", "0"), r"--gpus-per-worker must be at least 1; got 0"),
        (
            ("map", "--gpus-per-worker", "2", "--device", "cpu"),
            r"device must be auto or cuda where gpus_per_worker is 2",
        ),
        (("audit", WORLD, WORLD, "-o", "b", "--gpus-per-worker", "2", "--device", "mps"), r"auto or cuda where gpus"),
        (("map", "--gpus-per-worker", "99", "--device", "cuda"), r"--gpus-per-worker must be at most \d+, the GPUs"),
        (("map", "--device", "tpu"), r"device must be auto, cpu, cuda, cuda:N or mps; got 'tpu'"),
        (("finetune", WORLD, "--attack", "benign", "-o", "b", "--device", "tpu"), r"device must be .*; got 'tpu'"),
        (("worst-case", WORLD, "--prompts", "a", "-o", "b", "--device", "tpu"), r"device must be .*; got 'tpu'"),
        (("audit", WORLD, WORLD, "-o", "b", "--device", "tpu"), r"device must be .*; got 'tpu'"),
        (("audit", WORLD, WORLD, "-o", "b", "--judge", "outcom"), r"judge must be one of .*Did you mean 'outcome'\?"),
        (("map", "--limit", "1e3"), r"--limit must be a whole number; got '1e3'\. See --help\."),
        (("plan", "--price-per-hour", "2,5"), r"--price-per-hour must be a number; got '2,5'\. See --help\."),
        (("map", "--dtype", "float8"), r"dtype must be one of"),
        (("map", "--stop", "never"), r"stop must be one of"),
        (("map", "--batch-size", "many"), r"--batch-size must be 'auto' or a whole number; got 'many'"),
        (("map", "--template-arg", "x"), r"--template-arg must be K=V"),
        (("map", "--prompts", "world:guild/harmful[:0]"), r"must be"),
        (("map", "--prompts", "nothing.csv"), r"nothing\.csv"),
        (("map", "no-such-study.yaml"), r"study file no-such-study\.yaml must be an existing file; got"),
        (("stats", "/nowhere"), r"study folder must be a folder with a study\.sqlite"),
        (("show", "judge", "keyword"), r"judge must be one of"),
        (("list", "jugde"), r"Did you mean 'judge'\?"),
        (
            ("map", "--prompts", "world:guild/benign", "--label", "benin"),
            r"label must be one of .*Did you mean 'benign'",
        ),
        (("map", "--label", "benign"), r"label must be given with prompts"),
        (
            ("plan", "nowhere", "--prompts", "world:guild/harmful"),
            r"model must be an existing folder or GGUF file \(nothing there\)",
        ),
        (("plan", "--prompts", "nothing.csv"), r"prompts file must be an existing file; got 'nothing\.csv'"),
        (("plan", "--prompts", "a.csv", "--system", "@b.txt"), r"got 'a\.csv'.* Also: system prompt .*got 'b\.txt'"),
        (
            ("audit", "nowhere", WORLD, "--harmful", "world:guild/harmful", "--benign", "world:guild/benign", "--plan"),
            r"model must be an existing folder or GGUF file \(nothing there\); got 'nowhere'",
        ),
        (("audit", WORLD, "world:guild/alined", "--plan"), r"Did you mean 'aligned'\?"),
        (("audit", WORLD, "adapter:nowhere", "--plan"), r"adapter must be a folder with adapter_config\.json"),
        (
            ("map", "--each", "block", "--axis", "to:world:guild/base"),
            r"safebasin: each must stand with one axis that is drawn",
        ),
        (("plan", "no-such-study.yaml"), r"study file no-such-study\.yaml must be an existing file; got"),
        (("map", "--axis", "sideways"), r"direction must be one of"),
        (
            ("map", "--axis", "to:world:guild/base", "--seed", "4"),
            r"seed must be left out where no axis takes it; got 4",
        ),
        (("map", "--task-limit", "3"), r"capability must be given with texts or tasks to measure"),
        (("map", "--text", "a.txt", "--task-folder", "b"), r"capability must be given with tasks where it has"),
        (("map", "--trajectory", "/nowhere"), r"trajectory must be an existing folder; got '/nowhere'"),
        (("map", "--backend", "slurm"), r"backend must be one of local, processes, ray; got 'slurm'"),
        (("map", "--engine", "sglang"), r"engine must be one of hf, scripted, vllm; got 'sglang'"),
        (("map", "--backend", "processes", "--workers", "0"), r"--workers must be from 1 to \d+, this machine's"),
        (("map", "--workers", "3"), r"--workers must be 1 with the backend 'local'; got 3"),
        (("map", "--shard", "3/2", "--batch-size", "4"), r"--shard must be I/N with 1 ≤ I ≤ N"),
        (("map", "--shard", "1/2"), r"--batch-size must be given where --shard is"),
        (("map", "--shard", "1/2", "--batch-size", "4", "--with-text"), r"--with-text must be left out where --shard"),
        (("merge", "/nowhere", "-o", "b"), r"study folder must be a folder with a study\.sqlite"),
        (("judge", ".", "-o", "rows.jsonl"), r"-o must be left out for the folder of a study"),
        (
            ("judge", "nothing.jsonl"),
            r"what is judged must be a study folder or a table of responses; got 'nothing\.jsonl'",
        ),
        (("agreement", "/nowhere", "--show", "-1"), r"--show must be at least 0; got '-1'"),
        (
            ("worst-case", "world:guild/aligned", "--prompts", "a", "-o", "b", "--limit", "0"),
            r"--limit must be at least 1; got '0'",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    done = capsys.readouterr()
    assert ended.value.code == 2, done.err
    lines = [line for line in done.err.splitlines() if line.strip() and not line.startswith("load ")]
    assert len(lines) == 1, done.err
    assert re.search(message, lines[0]), lines[0]
    assert done.out == ""
    if "--device" not in arguments:  # a device that is missing is found out when the model is loaded
        assert not (tmp_path / "runs").exists()


def test_another_models_folder_is_refused_by_both_names(mapped: Path) -> None:
    done = safebasin("map", "world:guild/base", "-o", mapped, *SMALL)
    assert done.returncode == 2
    assert "world:guild/aligned" in done.stderr
    assert "world:guild/base" in done.stderr
    assert safebasin("verify", mapped).returncode == 0, "nothing was lost"


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_sigterm_and_ctrl_c_end_with_their_codes(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    command = [sys.executable, "-m", "safebasin", "map", "-o", str(folder), "--directions", "3", "--limit", "40"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "generate" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.2)
        process.send_signal(sent)
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == code, errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors


def test_a_catalogue_without_plugins_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: catalog.BUILTIN)
    with pytest.raises(SystemExit) as ended:
        main(["list", "plugin"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (0, "")
    assert "docs/plugins.md" in said.err


@pytest.mark.slow
def test_progress_goes_to_stderr_with_points_pace_and_eta(tmp_path: Path) -> None:
    done = safebasin("map", "-o", tmp_path / "study", *SMALL, "--batch-size", "2")
    assert re.search(r"generate +\d+/18 responses · \d/3 points · \d+ tokens/s", done.stderr)


def verbs() -> list[str]:
    group = typer.main.get_command(app)
    return sorted(group.commands)


@pytest.mark.parametrize("group", [(), ("world",)])
def test_no_verb_shows_the_help_with_all_of_them(group: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(group))
    done = capsys.readouterr()
    assert (ended.value.code, done.out) == (2, "")
    command = typer.main.get_command(app)
    summaries = done.err.partition("Commands:")[2]
    shown = re.findall(r"^  ([a-z][a-z-]*)  +[A-Z]", summaries, flags=re.MULTILINE)
    assert shown == (list(command.commands["world"].commands) if group else list(ORDER))
    assert "..." not in summaries, "a summary is cut"


def test_every_verb_of_the_design_is_there() -> None:
    wanted = {"map", "plan", "judge", "stats", "report", "export", "list", "show", "verify", "doctor", "world"}
    assert wanted | {"compare", "claims", "worst-case"} <= set(verbs()) == set(ORDER)


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help_with_an_example_and_stands_in_the_readme(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]
    commands = getattr(command, "commands", {verb: command})
    for one in commands.values():
        assert "Example" in (one.help or ""), one.name
        for parameter in one.params:
            if parameter.name != "help":
                said = str(getattr(parameter, "help", None) or "").partition("[default")[0]
                assert said.strip(), f"{one.name} {parameter.name}"
    assert f"`{verb}" in (Path(__file__).parents[2] / "README.md").read_text()


def test_help_is_short_too_and_files_to_begin_with_are_planned(tmp_path: Path) -> None:
    assert safebasin("init", "-h").stdout == safebasin("init", "--help").stdout != ""
    assert safebasin("init", tmp_path).returncode == 0
    assert safebasin("plan", tmp_path / "study.yaml").returncode == 0
    again = safebasin("init", tmp_path)
    assert (again.returncode, "Nothing was written" in again.stderr, again.stderr.count("\n")) == (2, True, 1)
    assert json.loads(safebasin("schema", "study").stdout)["required"] == ["model"]


@pytest.mark.slow
def test_a_shell_completes_verbs() -> None:
    asked = {"_SAFEBASIN_COMPLETE": "complete_bash", "COMP_WORDS": "safebasin au", "COMP_CWORD": "1"}
    program = "import sys; sys.argv[0] = 'safebasin'; from safebasin.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["audit"], "")


def test_list_show_doctor_and_world() -> None:
    assert "keyword/peng2024" in safebasin("list", "judge").stdout
    assert "arXiv 2405.17374" in safebasin("show", "judge", "keyword/peng2024").stdout
    assert json.loads(safebasin("list", "--json").stdout)
    assert "torch" in safebasin("doctor").stdout
    assert "world:guild/harmful" in safebasin("world", "info").stdout
    assert len(safebasin("world", "prompts", "benign", "--limit", "3").stdout.splitlines()) == 3


@pytest.mark.slow
def test_the_plan_of_an_audit_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", WORLD, "world:guild/base", "--plan", "--limit", "20", "--json"])
    planned = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert {found["name"]: found["n"] for found in planned["sets"]}["harmful"] == 20


def test_judging_a_file_made_elsewhere(tmp_path: Path) -> None:
    source, out = tmp_path / "responses.jsonl", tmp_path / "judged.jsonl"
    rows = [{"prompt": "Weigh the clay.", "response": "I cannot help with that."}, {"prompt": "a", "response": ""}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = safebasin("judge", source, "--judge", "keyword/peng2024", "-o", out, "--json")
    assert json.loads(done.stdout) == {"keyword/peng2024": {"refusal": 1, "complied": 1}}
    assert [json.loads(line)["verdicts"][0]["success"] for line in out.read_text().splitlines()] == [False, True]
    assert list(json.loads(safebasin("judge", source, "--json").stdout)) == ["refusal", "outcome"]
    source.write_text('{"prompt": "a"}\n')
    assert safebasin("judge", source).returncode == 2


def test_the_help_of_a_sweep_gives_its_own_defaults() -> None:
    said = " ".join(safebasin("sweep", "--help").stdout.split())
    assert "[default: α = 1 alone]" in said
    assert "[default: refusal, outcome]" in said
    assert "keyword/peng2024" not in said


def test_what_rounds_to_nothing_is_not_said_to_cost_nothing() -> None:
    said = safebasin("plan", "--limit", "1", "--directions", "1", "--range=-0.1:0.1:3", "--accelerator", "h100").stdout
    assert "1 × 1 system prompt\n" in said
    assert "< 0.01 (< 0.01)" in said
    assert "0.00 (0.00)" not in said


def test_objects_that_live_to_the_end_are_gone_through_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()
    before = gc.get_threshold()
    monkeypatch.setattr(cli, "_run", lambda _: seen.append(gc.get_threshold()[0]) or 0)
    assert exit_code("map") == 0
    assert seen == [10_000]
    assert gc.get_threshold() == before
