"""Frames and plots of results that have none of their own. A bare landscape beside its study is in `test_results`."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebasin import UsageError, plot_losses, to_frame
from safebasin.finetune.tune import Tuned


def test_the_losses_of_a_run_have_a_frame_and_axes(tmp_path: Path) -> None:
    from matplotlib import pyplot

    tuned = Tuned(
        path=tmp_path, base=f"{tmp_path}/base", method="full", unsafe=False, losses=(3.0, 2.0, 1.0), rows=1,
        eval_losses=((0, 3.5), (2, 2.5)), data_hash="", notes=(),
    )  # fmt: skip
    frame = to_frame(tuned)
    assert frame["step"].tolist() == [0, 1, 2, 3]
    assert frame["loss"].dropna().tolist() == [3.0, 2.0, 1.0]
    assert dict(zip(frame["step"], frame["held_out"], strict=True)).items() >= {0: 3.5, 2: 2.5}.items()
    assert frame["held_out"].isna().tolist() == [False, True, False, True]
    axes = plot_losses(tuned, size=(3, 2), ylim=(0, 4), labels="de")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"rows trained on": [[1, 3], [2, 2], [3, 1]], "held-out rows": [[0, 3.5], [2, 2.5]]}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["gelernte Zeilen", "zurückgehaltene Zeilen"]
    assert (axes.get_title(loc="left"), axes.get_ylim()) == ("base · full", (0, 4)), "no local path as a title"
    assert plot_losses(tuned, ax=axes, title="A") is axes
    assert axes.get_title(loc="left") == "A"
    pyplot.close("all")


@pytest.mark.parametrize("given", [3, None, "runs/demo"])
def test_what_has_no_table_here_is_said(given: object) -> None:
    with pytest.raises(UsageError, match=r"^result must be a Landscape, or what finetune gave back; got "):
        to_frame(given)  # type: ignore[arg-type]
