"""The page: well-formed, self-contained, and no text of others in it is ever markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import xml.etree.ElementTree as ET
import zlib
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from helpers.landscapes import make_landscape, make_manifest, make_sample, make_samples
from helpers.regions import make_group, make_plane_landscape, make_study
from safebasin.records import Estimate
from safebasin.report import figures
from safebasin.report.explanations import EXPLANATIONS, explanation, in_order
from safebasin.report.headlines import group_headline, headline
from safebasin.report.html import render_html
from safebasin.report.payload import MAX_CHARACTERS, embedded_json
from safebasin.report.payload import samples as payload_samples

OF_PANEL = figures.Figures.of_panel
VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "\u2028\u2029",
    "\udfff\ud800",
    "\x1b[2J\x00",
    "{{ 7*7 }}{% raw %}",
    "]]>&lt;&amp;",
)


@pytest.fixture(scope="module", autouse=True)
def _quick_pictures():
    """Drawing is test_figures' business and slow; one test below draws."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("of_panel", "of_group", "of_overlay"):
            patch.setattr(figures.Figures, name, lambda *_: [("ASR", b"<svg/>"), ("outcomes", b"<svg/>")])
        yield


class Page(HTMLParser):
    """Elements, attributes, text by element; a tag that does not close where it should is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
            if tag == "script":
                self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    @property
    def payload(self):
        return json.loads(self.scripts[0])


@cache
def page_text(panels: int = 1) -> str:
    landscape = make_landscape(points=5, prompts=8, panels=panels)
    return render_html(landscape, make_manifest(), make_samples(landscape), title="Safety basin of the guild")


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(page_text())


def test_well_formed(page):
    assert page.stack == []
    assert page.elements[0][0] == "html"
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_it_names_no_other_place(page):
    for tag, attrs in page.elements:
        for name, value in attrs.items():
            if name in {"src", "href", "action", "data", "poster", "srcset"}:
                assert (value or "").startswith(("data:", "#")), (tag, name, value[:60])
    styles = " ".join(page.words)
    assert "url(" not in styles
    assert "@import" not in styles
    without_plotly = page_text().replace(page.scripts[1], "")
    assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", without_plotly)


def test_only_its_own_scripts_may_run(page):
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    scripts = policy.split("script-src ")[1].split(";")[0]
    assert "unsafe" not in scripts
    library = zlib.decompress(base64.b64decode(page.scripts[1])).decode()
    digests = (hashlib.sha256(text.encode()).digest() for text in (library, page.scripts[2]))
    wanted = {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}
    assert set(scripts.split()) == wanted
    assert len(page.scripts) == 3
    types = [attrs.get("type") for tag, attrs in page.elements if tag == "script"]
    assert types == ["application/json", "application/octet-stream", None]
    assert not [a for _, a in page.elements for name in a if name.startswith("on")]


def test_a_page_of_one_line_is_small():
    assert len(page_text().encode()) < 3_000_000


def test_many_sections_are_folded_but_the_first():
    assert "fold" not in {attrs.get("class") for _, attrs in Page(page_text(panels=3)).elements}
    many = Page(page_text(panels=6))
    assert many.stack == []
    sections = [attrs["id"] for _, attrs in many.elements if attrs.get("data-kind")]
    assert sum(attrs.get("class") == "fold" for _, attrs in many.elements) == len(sections) - 2


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_model_output_is_data(text):
    landscape = dataclasses.replace(make_landscape(points=3, prompts=4, model=f"org/{text}"), notes=(text,))
    sample = make_sample(text, category=text, prompt_text=text, prompt_label=text, prompt_id=text)
    hostile = Page(render_html(landscape, {"model": text, text: {"nested": text}}, [sample], title=f"Basin of {text}"))
    calm = Page(page_text())
    assert hostile.stack == []
    assert len(hostile.scripts) == len(calm.scripts)
    assert hostile.scripts[1:] == calm.scripts[1:]
    assert {t for t, _ in hostile.elements} <= {t for t, _ in calm.elements} | {"aside"}
    assert {n for _, a in hostile.elements for n in a} <= {n for _, a in calm.elements for n in a}
    shown = hostile.payload["panels"][0]["samples"][0]["text"]
    assert shown in "".join(hostile.words)  # the note: the same text, the same way
    assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u2029\ud800-\udfff]", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_json_cannot_leave_its_element(text):
    made = embedded_json({text: [text]})
    assert json.loads(made) == {text: [text]}
    assert made.isascii()
    assert not set("<>&") & set(made)


def test_first_screen_answers(page):
    words = " ".join(page.words)
    assert "Unperturbed, the model withstands" in words
    assert words.index("Unperturbed") < words.index("Statistics")
    landscape = make_landscape(points=5, prompts=8)
    for name in landscape.summary:
        assert EXPLANATIONS[name].plain in words
        assert EXPLANATIONS[name].caveat in words
        assert landscape.summary[name].method in words


def test_panels_have_a_table_of_contents():
    page = Page(page_text(panels=3))
    links = [a["href"] for t, a in page.elements if t == "a"]
    assert links == ["#panel-1", "#compared-1", "#compared-2", "#panel-2", "#panel-3"]
    assert {link[1:] for link in links} <= {a.get("id") for _, a in page.elements}
    assert len(page.payload["panels"]) == 3


def test_samples_are_where_they_belong():
    landscape = make_landscape(points=5, prompts=8, panels=2)
    data = Page(render_html(landscape, {}, make_samples(landscape), title="t")).payload
    for panel, made in zip(landscape.panels, data["panels"], strict=True):
        counts = {(c.coords[0], c.direction): sum(c.outcomes.values()) for c in panel.points}
        found: dict[tuple[float, int], int] = {}
        for sample in made["samples"]:
            cell = made["cells"][sample["cell"]]
            key = (cell["at"][0], cell["direction"])
            found[key] = found.get(key, 0) + 1
        assert found == counts


def test_withheld_texts_are_nowhere():
    sample = make_sample(None, label="complied", prompt_text=None)
    secret = dataclasses.replace(
        sample,
        response=dataclasses.replace(sample.response, text="sealed recipe"),
        verdicts=tuple(dataclasses.replace(v, reason="sealed recipe") for v in sample.verdicts),
    )
    text = render_html(make_landscape(points=3, prompts=4), {}, [secret], title="t")
    assert "sealed recipe" not in text
    row = Page(text).payload["panels"][0]["samples"][0]
    assert (row["text"], row["asked"], row["tokens"]) == (None, False, 9)


def test_a_long_text_is_cut_and_says_so():
    text = render_html(make_landscape(points=3), {}, [make_sample("x" * (MAX_CHARACTERS + 5))], title="t")
    assert Page(text).payload["panels"][0]["samples"][0]["text"].endswith("x … (5 more characters)")


def test_readers_without_scripts_get_pictures(monkeypatch):
    monkeypatch.setattr(figures.Figures, "of_panel", OF_PANEL)
    page = Page(render_html(make_landscape(points=3), {}, [], title="t"))
    images = [base64.b64decode((a["src"] or "").split(",", 1)[1]) for t, a in page.elements if t == "img"]
    assert len(images) == 2
    assert all(ET.fromstring(image).tag.endswith("svg") for image in images)


def test_the_same_study_gives_the_same_page():
    assert page_text.__wrapped__() == page_text()


# --- words ------------------------------------------------------------------------------------------------------------


def test_visage_is_last_and_never_alone():
    order = in_order({"visage": Estimate(value=1), "new": Estimate(value=1), "radius": Estimate(value=1)})
    assert order == ["radius", "new", "visage"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "its basin ends at |α| ≈ 0.80 [0.62, 0.97] on average over 3 random directions"),
        ({"directions": 1}, " on the one direction measured, where half of them succeed"),
        ({"rim": 9}, "over the whole measured range, |α| ≤ 1.50"),
        ({"rim": -1}, "There is no basin to speak of"),
        ({"missing": 1.0}, "Too little is measured yet"),
    ],
)
def test_the_answer_fits_the_numbers(fields, words):
    assert words in headline(make_landscape(**fields).panels[0])


# --- regions ----------------------------------------------------------------------------------------------------------


@cache
def study_page() -> tuple[Page, str]:
    landscape = make_study(points=5, prompts=4)
    text = render_html(landscape, make_manifest(), make_samples(landscape), title="t")
    return Page(text), text


def test_a_study_has_its_sections_in_the_order_of_its_regions():
    page, _ = study_page()
    links = [a["href"] for t, a in page.elements if t == "a"]
    assert links == [
        "#panel-1", "#compared-1", "#compared-2", "#panel-2", "#panel-3", "#panel-4", "#group-1", "#differences"
    ]  # fmt: skip
    ids = {a.get("id") for _, a in page.elements}
    assert {link[1:] for link in links} <= ids
    assert page.stack == []


def test_headings_are_in_order():
    levels = [int(tag[1]) for tag, _ in study_page()[0].elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_lines_of_a_group_are_rows_of_one_table():
    words = " ".join(study_page()[0].words)
    assert words.count("The basin is narrowest along block 2") == 1
    assert all(f"block {i}" in words for i in range(4))
    assert "panel-5" not in {a.get("id") for _, a in study_page()[0].elements}


def test_differences_say_what_follows():
    words = " ".join(" ".join(study_page()[0].words).split())
    assert "default → none" in words
    assert "−12.0 points" in words
    assert "[−17.0, −7.0]" in words
    assert "lower" in words
    assert "cannot be told apart" in words


def test_trajectories_and_measurements_have_their_tables():
    words = " ".join(" ".join(study_page()[0].words).split())
    assert words.count("Trajectory: harmful fine-tuning") == 2
    assert words.count("Left out: checkpoint-240: no weights in it") == 2
    assert "checkpoint-200 (epoch 5)" in words
    assert "perplexity:crafts.txt" in words
    assert "2 not measurable" in words
    assert words.count("Other measurements at the same points") == 1


def test_a_plane_is_explained_as_a_plane():
    landscape = make_plane_landscape(points=5, prompts=4, gaps=0.4)
    words = " ".join(" ".join(Page(render_html(landscape, {}, [], title="t")).words).split())
    assert "is as large as a disk of radius 0.85 [0.75, 0.95] on the one plane measured" in words
    assert "√(area / π)" in words
    assert re.search(r"\d+ of 25 points are not measured and left blank", words)
    assert "sides and directions" not in words


def test_a_judge_that_reads_no_keywords_is_named():
    first = make_landscape(points=3, prompts=4).panels[0]
    panel = dataclasses.replace(first, judge="outcome")
    assert "before half of the prompts succeed by outcome." in explanation("radius", panel).plain
    assert "by the keyword judge" in explanation("radius", first).plain


def test_the_answer_of_a_group_names_the_narrowest_line():
    panels = make_group(blocks=4, points=11).panels
    assert group_headline(panels).startswith("The basin is narrowest along block 2: radius 0.")
    wide = tuple(dataclasses.replace(p, summary={"radius": Estimate(value=1.5, low=1.2, n_censored=6)}) for p in panels)
    assert "No line of the 4 leaves its basin" in group_headline(wide)
    bare = tuple(dataclasses.replace(p, summary={}) for p in panels)
    assert "Too little is measured" in group_headline(bare)


def test_a_page_holds_the_first_responses_of_a_large_study(monkeypatch):
    monkeypatch.setattr(payload_samples, "MAX_SAMPLES", 100)
    landscape = make_plane_landscape(points=5, prompts=10)
    data = Page(render_html(landscape, {}, make_samples(landscape), title="t")).payload["panels"][0]
    shown = [row["prompt"] for row in data["samples"] if row["cell"] == 3]
    assert shown == ["p00", "p01", "p02", "p03"]
    assert data["cells"][3]["planned"] == 10


def test_gaps_of_a_plane_are_null():
    landscape = make_plane_landscape(points=5, prompts=4, gaps=0.4)
    mean = Page(render_html(landscape, {}, [], title="t")).payload["panels"][0]["judges"][0]["mean"]
    assert sum(value is None for row in mean["asr"] for value in row) == mean["gaps"] > 0
