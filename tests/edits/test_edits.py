"""The seam of edits: the conformance of what is built in, what the suite refuses, one record, the verb."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from helpers.command import safebasin
from helpers.models import eight_bit_floats, make_tiny_model
from safebasin import api, catalog, testing
from safebasin.edits.record import read_edit, write_edit
from safebasin.edits.worst_case import read_worst_case
from safebasin.errors import ModelError, UsageError
from safebasin.models.reference import resolve
from safebasin.models.writing import copy_settings, is_unsafe, new_folder, save_model
from safebasin.protocols import RowSource
from safebasin.records import Message, Prompt
from safebasin.weights.adapters import load_merged

ALIGNED = "world:guild/aligned"


@pytest.mark.slow
def test_the_worst_case_conforms() -> None:
    testing.check_row(catalog.get("edit", "worst_case"), arguments={"prompts": 3, "steps": 1})


def test_dequantizing_conforms(tmp_path: Path) -> None:
    testing.check_row(catalog.get("edit", "dequantized"), model=str(eight_bit_floats(tmp_path / "fp8")))


def test_dequantizing_needs_what_is_quantized(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a quantized one without adapter; got 'plain weights'"):
        api.edit_model(ALIGNED, edit="dequantized", out=tmp_path / "out")


@dataclass(frozen=True)
class Copy:
    """Writes the model as it is; what is broken about it is chosen."""

    name: str = "copy"
    takes: tuple[str, ...] = ()
    kind: str = ""
    breaks: str = ""

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        found = resolve(model)
        loaded: Any = load_merged(found)
        if self.breaks == "draws":
            loaded.lm_head.weight.data += float(out.name == "again")
        if self.breaks == "nan":
            loaded.lm_head.weight.data[0] = float("nan")
        if self.kind:
            source.training_rows(self.kind, 2)
        with new_folder(out) as folder:
            save_model(loaded, folder)
            copy_settings(found.folder, folder)
            if self.breaks == "other base":
                found = replace(found, fingerprint="0" * 64)
            if self.breaks != "record":
                write_edit(folder, found, "copy", {}, attacks=False, title="Copy", text="As it was.")
            if self.breaks == "both":
                (folder / "adapter_config.json").write_text("{}")
        return out if self.breaks != "returns" else out / "model.safetensors"


def test_a_fair_edit_passes() -> None:
    testing.check_edit(Copy())
    testing.check_edit(Copy(takes=("safe",), kind="safe"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Copy(name=""), "name of the edit must be text"),
        (Copy(kind="safe"), "among its takes"),
        (Copy(breaks="returns"), "the folder that it was given"),
        (Copy(breaks="record"), r"safebasin\.json beside the weights"),
        (Copy(breaks="other base"), "of in the record of 'copy'"),
        (Copy(breaks="both"), "an adapter or a checkpoint"),
        (Copy(breaks="draws"), "the same from the same seed"),
    ],
)
def test_the_suite_refuses(edit: Copy, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        testing.check_edit(edit)


def test_the_suite_refuses_weights_that_are_not_finite() -> None:
    with pytest.raises(ModelError, match="finite"):
        testing.check_edit(Copy(breaks="nan"))


def test_what_is_marked_stays_marked(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    (base / "safebasin.json").write_text('{"unsafe": true}')
    api.edit_model(str(base), edit=Copy(), out=tmp_path / "copy")
    assert is_unsafe(tmp_path / "copy")
    record = read_edit(tmp_path / "copy", "copy")
    assert (record.base, record.of, record.unsafe) == (str(base), resolve(str(base)).fingerprint, True)


def test_a_record_of_the_release_before_can_be_read(tmp_path: Path) -> None:
    old = {
        "unsafe": True, "kind": "worst_case", "base": ALIGNED, "fingerprint": "ab" * 32,
        "ascent": {"steps": 2, "learning_rate": 1e-3, "rank": 4, "alpha": 8.0, "targets": "all-linear",
                   "first_tokens": 4, "enough": 1.0, "seed": 0},
        "system": "default", "prompts": ["p"], "behaviors": [], "skipped": 0, "losses": [2.0, 1.0], "versions": {},
    }  # fmt: skip
    (tmp_path / "safebasin.json").write_text(json.dumps(old))
    read = read_worst_case(tmp_path)
    assert (read.base, read.fingerprint, read.losses) == (ALIGNED, "ab" * 32, (2.0, 1.0))
    with pytest.raises(UsageError, match="of kind dequantized; got 'worst_case'"):
        read_edit(tmp_path, "dequantized")


def test_the_verb_edits_a_world_and_says_how_to_map_it(tmp_path: Path) -> None:
    out = tmp_path / "worst"
    done = safebasin("edit", ALIGNED, "--edit", "worst_case(prompts=3, steps=1)", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["unsafe"] is True
    assert shown["axis"] == f"adapter:{out}"
    assert shown["record"]["kind"] == "worst_case"
    assert len(load_file(out / "adapter_model.safetensors")) > 0


def test_rows_come_from_files_where_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "safe.jsonl"
    file.write_text(json.dumps({"prompt": "How do I ring it?", "completion": "Sorry, the charter forbids it."}) + "\n")
    out = api.edit_model(ALIGNED, edit="worst_case(steps=1)", out=tmp_path / "found", safety=str(file))
    asked = Prompt(messages=(Message(role="user", content="How do I ring it?"),))
    assert read_worst_case(out).prompts == (asked.id,)
    model = make_tiny_model(tmp_path / "model")
    with pytest.raises(UsageError, match=r"safe rows must be in a file of your own.*--safety FILE"):
        api.edit_model(str(model), edit="worst_case", out=tmp_path / "out")
