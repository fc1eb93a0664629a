"""Title, limits, size and language of figures; what is not asked for stays as it was."""

from __future__ import annotations

import re

import matplotlib
import pytest
from matplotlib.text import Text

from helpers.landscapes import make_landscape
from helpers.regions import make_group, make_plane_landscape
from safebasin.errors import UsageError
from safebasin.report.figures import files
from safebasin.report.figures.canvas import STYLE
from safebasin.report.figures.labels import LANGUAGES
from safebasin.report.figures.look import Look, apply_look

ENGLISH = re.compile(
    r"\b(the|of|by|range|mean|band|points|not|radius|rim|origin|along|units|refused|complied|responses|direction)\b"
)


def drawn(landscape, look: Look):
    """Every figure of a landscape, with the look."""
    made = []
    with matplotlib.rc_context(STYLE):
        for job in files._jobs(landscape):
            figure = job.draw()
            apply_look(look, figure)
            made.append(figure)
    return made


def test_title_limits_and_size():
    landscape = make_landscape(points=5, prompts=4)
    asr, outcomes = drawn(landscape, Look(title="Basin", xlim=(-1, 0.5), ylim=(0, 60), size=(3.3, 2.8)))
    for figure in (asr, outcomes):
        (axes,) = figure.axes
        assert axes.get_title(loc="left") == "Basin"
        assert (axes.get_title(), axes.get_title(loc="right")) == ("", "")
        assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 0.5), (0, 60))
        assert tuple(figure.get_size_inches()) == (3.3, 2.8)
        figure.canvas.draw()
        box = figure.get_tightbbox()
        assert 0 <= box.x0 < box.x1 <= 3.3
        assert 0 <= box.y0 < box.y1 <= 2.8


def test_a_plane_has_limits_on_both_axes():
    landscape = make_plane_landscape(points=5, prompts=4)
    figure = drawn(landscape, Look(title="Plane", xlim=(-0.5, 0.5), ylim=(-0.25, 0.25)))[0]
    assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == ((-0.5, 0.5), (-0.25, 0.25))
    assert figure.get_suptitle() == "Plane"


@pytest.mark.parametrize("size", [None, (3.3, 2.8)], ids=["usual", "small"])
@pytest.mark.parametrize(
    "landscape",
    [
        make_landscape(points=5, prompts=4, panels=2, missing=0.1),
        make_plane_landscape(points=5, prompts=4, planes=2, target="./tuned", gaps=0.1),
        make_group(points=5, prompts=4),
    ],
    ids=["line", "plane", "group"],
)
def test_german_figures_have_no_english_words(landscape, size):
    """Small ones neither: what is cut to its width is cut in German."""
    for figure in drawn(landscape, Look(labels="de", size=size)):
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert [text for text in texts if ENGLISH.search(text)] == []


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (Look(labels="fr"), f"labels must be one of {', '.join(LANGUAGES)}"),
        (Look(xlim=(1, -1)), "xlim must be two numbers, the lower first"),
        (Look(ylim=(0, float("nan"))), "ylim must be"),
        (Look(size=(0, 4)), "size must be width and height"),
    ],
)
def test_what_no_figure_can_look_like(look, words):
    with pytest.raises(UsageError, match=words):
        look.check()
