"""What `auto` means is settled once: before keys are made, for every road to an engine, and said to whoever reads."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from helpers.models import make_tiny_model
from safebasin import api, catalog, memory
from safebasin.cli import main
from safebasin.errors import StoreError
from safebasin.protocols import Backend, EngineSpec
from safebasin.run import processes
from safebasin.run.inputs import engine_spec, gather
from safebasin.store.db import StudyStore

SAID = "Computed in float32; the checkpoint is stored in bfloat16."
STAYED = "Computed in bfloat16 as the checkpoint is stored, though on a CPU"
ASKED = {
    "limit": 2, "directions": 1, "range": "-0.2:0.2:3", "judge": ["keyword/peng2024"], "device": "cpu",
    "max_new_tokens": 4, "prompts": ["world:guild/harmful"],
}  # fmt: skip


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("settled") / "half", dtype="bfloat16")


def ask(model: Path, out: Path, **given: object) -> api.Mapped:
    return api.map_basin(str(model), out=out, **{**ASKED, **given})


def dtypes(out: Path) -> set[str]:
    with StudyStore.open(out) as store:
        used = store.used_decodings()
        return {decoding.dtype for key, decoding in store.decodings().items() if key in used}


def shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000)


@pytest.mark.slow
def test_a_map_is_computed_in_float32_and_says_so(half: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        mapped = ask(half, tmp_path / "r")
    assert dtypes(tmp_path / "r") == {"float32"}
    assert caplog.text.count(SAID) == 1
    assert SAID in mapped.landscape.notes
    described = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert (described["model"]["dtype"], described["decoding"]["dtype"]) == ("float32", "float32")
    assert described["model"]["computed"] == SAID
    assert SAID in (tmp_path / "r" / "report.html").read_text()
    caplog.clear()
    assert SAID in ask(half, tmp_path / "r", range="-0.2:0.2:5").landscape.notes
    assert SAID not in caplog.text, "it is said where it is settled"


@pytest.mark.slow
def test_what_is_asked_for_is_what_is_done(half: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mapped = ask(half, tmp_path / "r", dtype="bfloat16")
    assert dtypes(tmp_path / "r") == {"bfloat16"}
    assert "Computed in" not in " ".join(mapped.landscape.notes) + caplog.text


@pytest.mark.slow
def test_without_the_memory_it_says_why(half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shortage(monkeypatch)
    mapped = ask(half, tmp_path / "r")
    assert dtypes(tmp_path / "r") == {"bfloat16"}
    assert any(note.startswith(f"{STAYED}: float32 would take") for note in mapped.landscape.notes)


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["float32", "bfloat16"])
def test_a_folder_goes_on_with_its_own(half: Path, tmp_path: Path, begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(half, tmp_path / "r", dtype=begun)
    if begun == "float32":
        shortage(monkeypatch)
    mapped = ask(half, tmp_path / "r", range="-0.2:0.2:5")
    assert dtypes(tmp_path / "r") == {begun}
    assert any(note.startswith(SAID if begun == "float32" else STAYED) for note in mapped.landscape.notes)
    other = "bfloat16" if begun == "float32" else "float32"
    with pytest.raises(StoreError, match=f"dtype {begun}, now {other}.*Ask for --dtype {begun}"):
        ask(half, tmp_path / "r", range="-0.2:0.2:7", dtype=other)
    assert dtypes(tmp_path / "r") == {begun}


@pytest.mark.slow
def test_folders_that_are_compared_share_it(half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safebasin.run.execute import measure

    ask(half, tmp_path / "one")
    shortage(monkeypatch)
    made = api.make_study(str(half), **ASKED)
    measure(made, tmp_path / "two", beside=[tmp_path / "one"])
    assert dtypes(tmp_path / "two") == {"float32"}


@pytest.mark.parametrize(
    ("given", "dtype", "said"),
    [({}, "float32", SAID), ({"dtype": "bfloat16"}, "bfloat16", "")],
)
def test_a_plan_prices_what_would_be_done(
    half: Path, tmp_path: Path, given: dict[str, str], dtype: str, said: str
) -> None:
    price = api.plan_study(api.make_study(str(half), **{**ASKED, **given}), out=tmp_path / "r").price
    assert price is not None
    assert price.memory.dtype == dtype
    assert (SAID in price.said) == bool(said)


@pytest.mark.slow
def test_a_plan_prices_a_folder_in_its_own(half: Path, tmp_path: Path) -> None:
    ask(half, tmp_path / "r", dtype="bfloat16")
    asked = api.make_study(str(half), **{**ASKED, "range": "-0.2:0.2:5"})
    planned = api.plan_study(asked, out=tmp_path / "r")
    assert planned.price is not None
    assert planned.price.memory.dtype == "bfloat16"
    assert planned.done > 0


def test_the_terminal_says_it(half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--prompts", "world:guild/harmful", "--limit", "2", "--device", "cpu", "-o", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(half), *flags])
    assert not ended.value.code
    assert SAID in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "processes"])
def test_workers_get_what_the_driver_settled(
    half: Path, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[EngineSpec] = []
    opened = catalog.open_backend

    def noted(name: str, spec: EngineSpec, workers: int | None = None) -> Backend:
        del name, workers
        given.append(spec)
        return opened("local", spec)

    monkeypatch.setattr(catalog, "open_backend", noted)
    ask(half, tmp_path / "r", backend=backend)
    assert [spec.dtype for spec in given] == ["float32"]


def test_where_the_workers_are_elsewhere_the_first_settles_it(half: Path) -> None:
    made = api.make_study(str(half), **ASKED)
    away = gather(made, elsewhere=True)
    assert away.decoding.dtype == engine_spec(made, away.decoding.dtype).dtype == "auto"
    assert gather(made, elsewhere=True, dtype="float32").decoding.dtype == "float32"
    assert gather(made).decoding.dtype == "float32"


def test_a_worker_is_reckoned_in_the_dtype_that_it_computes_in(half: Path) -> None:
    as_stored = processes._weights_bytes(str(half), "bfloat16")
    assert processes._weights_bytes(str(half), "float32") == 2 * as_stored
    on_disk = sum(file.stat().st_size for file in half.glob("*.safetensors"))
    assert as_stored <= processes._weights_bytes(str(half), "auto") == on_disk


@pytest.mark.slow
def test_an_audit_and_a_sweep_say_it_and_mix_nothing(half: Path, tmp_path: Path) -> None:
    tuned = make_tiny_model(tmp_path / "tuned", dtype="bfloat16", scale=0.31)
    flags: dict[str, Any] = {"limit": 2, "device": "cpu", "max_new_tokens": 4, "prompts": ["world:guild/harmful"]}
    swept = api.sweep_models(str(half), [str(tuned)], out=tmp_path / "s", **flags)
    assert dtypes(swept.folder) == {"float32"}
    language, computed = swept.sweep.notes
    assert language.startswith("Language is not told, for the model could not be calibrated")
    assert computed == SAID
    assert SAID in swept.report.read_text()
    found = api.audit(
        str(half), str(tuned), out=tmp_path / "a", limit=2, harmful="world:guild/harmful", benign="world:guild/benign",
        options={"device": "cpu", "decoding": {"max_new_tokens": 4}},
    )  # fmt: skip
    assert found.verdict.notes.count(SAID) == 1
    assert {dtype for file in found.folder.glob("*/study.sqlite") for dtype in dtypes(file.parent)} == {"float32"}
