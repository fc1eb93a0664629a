"""What a study refers to, looked up: what is pointed out, and what is refused, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.models import make_lora, make_tiny_model
from safebasin import study
from safebasin.api import plan_study
from safebasin.run.inputs import warn_of_bases


def test_an_adapter_of_another_base_is_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By name, on an axis as in the model; it may be moved on purpose, so it is no error."""
    base, other = make_tiny_model(tmp_path / "base"), make_tiny_model(tmp_path / "other", seed=1)
    adapter = make_lora(tmp_path / "lora", base, targets=["q_proj"])
    line = {"axis": [f"adapter:{adapter}"], "prompts": ["world:guild/harmful"]}
    plan_study(study.make(study.with_flags({"model": str(base)}, line)))
    assert not caplog.records
    plan_study(study.make(study.with_flags({"model": str(other)}, line)))
    assert [r.getMessage() for r in caplog.records] == [
        f"adapter {adapter} says it was trained on {base}, not on {other}"
    ]
    caplog.clear()
    warn_of_bases(study.make({"model": f"{other}+{adapter}", "prompts": ["world:guild/harmful"]}))
    assert "says it was trained on" in caplog.text
    caplog.clear()
    warn_of_bases(study.make({"model": str(tmp_path / "none"), "prompts": ["world:guild/harmful"]}))
    assert not caplog.records


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("harmful", "unsafe", ""), None),
        (("odd", "odd", "harmful"), "the label 'odd' is neither harmful nor benign"),
        (("odd", "Fine", "harmful"), "labels such as 'Fine' and 'odd' are neither harmful nor benign"),
    ],
)
def test_labels_that_mean_nothing_are_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], said: str | None
) -> None:
    file = tmp_path / "asked.csv"
    file.write_text("prompt,label\n" + "".join(f"How warm is tea {i}?,{word}\n" for i, word in enumerate(words)))
    plan_study(study.make({"model": "world:guild/aligned", "prompts": [str(file)]}))
    assert caplog.text.count("count as attacks") == (said is not None)
    assert said is None or said in caplog.text
    caplog.clear()
    plan_study(study.make({"model": "world:guild/aligned", "prompts": [{"source": str(file), "label": "harmful"}]}))
    assert "neither" not in caplog.text
