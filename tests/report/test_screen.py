"""The page of a screen: order, flags, rates and the sentence that it is no verdict; hostile names are data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.browser import on_a_phone
from safebasin.report.screen import DISCLAIMER, render_screen, save_screen, screen_words


def model(name: str, opening: float, *, flags: list[str]) -> dict[str, Any]:
    block = {"name": "block 0", "relative": 0.1, "share": 1.0, "stable_rank": 2.0, "spectrum": [0.9, 0.3]}
    return {
        "name": name, "relative": 0.1, "n_tensors": 1, "blocks": [block, {**block, "name": "norm", "share": 0.0,
        "stable_rank": None, "spectrum": []}], "stable_rank": 2.0, "unalignment": None, "refusal": None,
        "separation": None, "opening": {"harmful": opening, "benign": 0.1, "n_harmful": 9, "n_benign": 9},
        "signals": {"opening": opening, "displacement": 0.1}, "flags": flags,
    }  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    rates = {"signal": "opening", "threshold": 1.0, "auc": 0.9, "auc_low": 0.8, "auc_high": 0.97, "false_alarms": 1,
             "n_harmless": 10, "misses": 2, "n_harmful": 20}  # fmt: skip
    made = {
        "schema_version": 1, "base": "world:guild/aligned",
        "before": None, "fingerprint": "f", "prompts": {}, "layer": None,
        "ordered_by": "opening", "flags_hold": True, "failed": {}, "notes": [], "rates": [rates],
        "models": [model("/runs/a", 3.0, flags=["opening"]), model("/runs/b", 0.2, flags=[])],
    }  # fmt: skip
    return {**made, **changes}


def test_words_and_page_say_order_rates_and_that_it_is_no_verdict() -> None:
    said = screen_words(document())
    assert said[0] == "1 of 2 tuned models is flagged; ordered by flags and first token."
    assert said[-1] == DISCLAIMER
    assert "first token missed 2 of 20, 10 % [3, 30], and flagged wrongly 1 of 10, 10 % [2, 40]." in said[-2]
    other = screen_words(document(flags_hold=False))[0]
    assert other.startswith("2 tuned models in the order of first token; none is flagged")
    page = render_screen(document())
    assert page.index(">a</th>") < page.index(">b</th>")
    assert "/runs/" not in page  # no path of a machine where a name will do
    assert DISCLAIMER in page
    assert "0.90 [0.80, 0.97]" in page


def test_equal_last_parts_keep_their_paths_and_hostile_names_are_data() -> None:
    hostile = "<script>alert(1)</script>"
    page = render_screen(
        document(models=[model("x/a", 1.0, flags=[]), model("y/a", 0.5, flags=[])], failed={hostile: "<b>no</b>"})
    )
    assert "x/a" in page
    assert "y/a" in page
    assert hostile not in page
    assert "<b>no" not in page


@pytest.mark.slow
def test_the_folder_holds_document_page_and_figure(tmp_path: Path) -> None:
    assert save_screen(document(), tmp_path) == tmp_path / "report.html"
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} >= {".png", ".svg"}


def test_no_rates_for_a_signal_are_said_by_no_row() -> None:
    page = render_screen(document(rates=[]))
    with pytest.raises(ValueError, match="substring"):
        page.index("of 20")


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(browser, tmp_path: Path) -> None:
    assert (
        on_a_phone(
            browser, render_screen(document(base="an-organisation/" + "long-name-" * 9)), tmp_path / "report.html"
        )
        == []
    )
