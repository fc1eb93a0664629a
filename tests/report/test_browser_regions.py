"""Planes, groups, overlays and comparisons in a real browser: quiet, alone, clickable, and as wide as the screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.browser import Visit
from helpers.landscapes import make_manifest, make_samples
from helpers.regions import make_compared, make_plane_landscape, make_study
from safebasin.report.comparison import render_comparison
from safebasin.report.html import render_html

pytestmark = pytest.mark.browser

GL_HINTS = ("willReadFrequently", "GL Driver Message")
"""What Chromium says of any WebGL drawing that it does in software; hints on speed, not defects of the page."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    study = make_study(points=7, prompts=6)
    planes = make_plane_landscape(points=9, prompts=5, planes=2, systems=2, target="./tuned", gaps=0.1)
    texts = {
        "study": render_html(study, make_manifest(), make_samples(study), title="Safety basin"),
        "planes": render_html(planes, {}, make_samples(planes), title="Safety basin"),
        "compared": render_comparison(make_compared(), title="Compared"),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in texts}


READY = {
    "study": "#group-1 .blocks .heatmaplayer image, #group-1 .blocks .heatmaplayer .hm",
    "planes": "#panel-2 .map .contourlayer .contour",
    "compared": ".overlay .scatterlayer .trace",
}


@pytest.fixture
def visit(browser, pages) -> Iterator:
    visits: list[Visit] = []

    def open_page(name: str, width: int = 1280, **options) -> Visit:
        viewport = {"width": width, "height": 800}
        visits.append(Visit(browser, pages[name], READY[name], viewport=viewport, **options))
        return visits[-1]

    yield open_page
    for found in visits:
        found.context.close()


def place(page, selector: str, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a point of a chart is."""
    node = page.locator(selector)
    node.scroll_into_view_if_needed()
    return tuple(
        page.evaluate(
            """([selector, x, y]) => {
                const node = document.querySelector(selector);
                const box = node.getBoundingClientRect(), full = node._fullLayout;
                return [box.x + full._size.l + full.xaxis.d2p(x) + full.xaxis._offset - full._size.l,
                        box.y + full.yaxis._offset + full.yaxis.d2p(y)];
            }""",
            [selector, x, y],
        )
    )


@pytest.mark.parametrize("name", ["study", "planes", "compared"])
@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (768, "dark"), (1280, "light")])
def test_quiet_alone_and_as_wide_as_the_screen(visit, pages, name, width, scheme):
    seen = visit(name, width, color_scheme=scheme)
    seen.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    seen.page.wait_for_timeout(200)
    assert seen.said == []
    assert seen.requests == [pages[name]]
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    for chart in seen.page.query_selector_all(".chart .main-svg"):
        box = chart.bounding_box()
        assert box is None or box["x"] + box["width"] <= width


def test_a_click_on_the_map_shows_its_responses(visit):
    page = visit("study").page
    x, y = place(page, "#panel-4 .map", 0.75, -1.125)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.wait_for_function("() => document.querySelector('#panel-4 [name=alpha]').value === '0.75'")
    assert page.input_value("#panel-4 [name=beta]") == "-1.125"
    assert "At α = +0.75, β = −1.125, to ./tuned × random" in page.inner_text("#panel-4 .where")
    assert page.locator("#panel-4 .list > li").count() == 6
    assert page.input_value("#panel-1 [name=alpha]") == "0"


def test_hovering_a_place_gives_interval_and_n(visit):
    page = visit("study").page
    page.mouse.move(*place(page, "#panel-4 .map", 0.75, -1.125))
    page.wait_for_selector("#panel-4 .map .hovertext")
    said = page.text_content("#panel-4 .map .hovertext")
    assert "β = −1.125" in said
    assert "n = 6" in said


def test_the_switch_shows_the_plane_in_three_dimensions(visit, pages):
    seen = visit("study")
    page = seen.page
    flat, solid = "#panel-4 .map", "#panel-4 .surface"
    assert page.is_visible(flat)
    assert page.is_hidden(solid)
    page.click("#panel-4 [data-view='3d']")
    page.wait_for_selector(f"{solid} canvas")
    assert page.is_hidden(flat)
    assert page.get_attribute("#panel-4 [data-view='3d']", "aria-pressed") == "true"
    traces = page.evaluate(f"document.querySelector('{solid}').data.map((t) => t.type)")
    assert traces[0] == "surface"
    page.click("#panel-4 [data-view='2d']")
    assert page.is_visible(flat)
    assert [said for said in seen.said if not any(hint in said for hint in GL_HINTS)] == []
    assert seen.requests == [pages["study"]]


def test_a_browser_without_webgl_says_so(visit):
    page = visit("planes").page
    page.add_init_script(
        "const old = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return kind.includes('webgl') ? null : old.call(this, kind, ...rest); }"
    )
    page.reload()
    page.wait_for_selector(READY["planes"])
    assert page.is_disabled("#panel-1 [data-view='3d']")
    assert "draws no 3D" in page.get_attribute("#panel-1 [data-view='3d']", "title")


def test_each_plane_and_judge_can_be_chosen(visit):
    page = visit("planes").page
    field = "JSON.stringify(document.querySelector('#panel-1 .map').data[0].z)"
    mean = page.evaluate(field)
    page.select_option("#panel-1 [name=plane]", "1")
    page.wait_for_function(f"(old) => {field} !== old", arg=mean)
    one = page.evaluate(field)
    page.select_option("#panel-1 [name=judge]", "1")
    page.wait_for_function(f"(old) => {field} !== old", arg=one)
    scales = "document.querySelector('#panel-1 .map').data[0]"
    assert page.evaluate(f"[{scales}.zmin, {scales}.zmax]") == [0, 100]


def test_gaps_are_gaps(visit):
    page = visit("planes").page
    page.select_option("#panel-1 [name=plane]", "0")
    rows = page.evaluate("document.querySelector('#panel-1 .map').data[0].z")
    assert any(value is None for row in rows for value in row)
    assert "not measured and left blank" in page.inner_text("#panel-1 figcaption")


def test_arrow_keys_move_over_the_map_and_enter_goes_to_the_responses(visit):
    page = visit("study").page
    page.focus("#panel-4 .map")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#panel-4 [name=alpha]") == "0.375"
    assert page.input_value("#panel-4 [name=beta]") == "0.375"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "where"


def test_arrow_keys_move_along_a_line(visit):
    page = visit("study").page
    page.focus("#panel-1 .asr")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#panel-1 [name=alpha]") == "-0.5"
    assert page.input_value("#panel-1 [name=direction]") == "1"


def test_a_click_on_a_block_shows_its_responses(visit):
    page = visit("study").page
    x, y = place(page, "#group-1 .blocks", 1.5, 2)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.wait_for_function("() => document.querySelector('#group-1 [name=row]').value === '2'")
    assert page.input_value("#group-1 [name=alpha]") == "1.5"
    assert page.locator("#group-1 .list > li").count() == 6


def test_overlays_name_their_panels_and_change_with_the_judge(visit):
    page = visit("study").page
    drawn = "document.querySelector('#compared-1 .overlay').data"
    names = page.evaluate(f"{drawn}.filter((t) => t.showlegend !== false).map((t) => t.name)")
    assert names == ["harmful", "jailbreak/prefix_injection"]
    heights = f"JSON.stringify({drawn}.map((t) => t.y))"
    before = page.evaluate(heights)
    page.select_option("#compared-1 [name=judge]", index=1)
    page.wait_for_function(f"(old) => {heights} !== old", arg=before)
    ranges = "[...document.querySelectorAll('#compared-2 .multiple')].map((n) => n.layout.xaxis.range.join())"
    assert len(set(page.evaluate(ranges))) == 1


def test_paths_stand_on_the_map(visit):
    page = visit("study").page
    names = page.evaluate("document.querySelector('#panel-4 .map').data.map((t) => t.name)")
    assert "harmful fine-tuning (epochs)" in names


def test_the_contents_lead_to_every_section(visit):
    page = visit("study").page
    page.click("nav summary")
    for link in page.query_selector_all("nav a"):
        assert page.query_selector(link.get_attribute("href")) is not None


def test_a_fold_that_was_open_before_the_library_was_unpacked_is_drawn(visit):
    late = "{ const text = Response.prototype.text; Response.prototype.text = async function () {"
    late += " await new Promise((done) => setTimeout(done, 500)); return text.call(this); }; }"
    page = visit("study", before=late).page
    charts = page.query_selector_all(".fold .chart:not([hidden])")
    assert len(charts) >= 3
    for chart in charts:
        assert chart.query_selector(".main-svg") is not None


def test_without_scripts_every_chart_has_its_picture(visit):
    page = visit("study", java_script_enabled=False).page
    shown = [n.bounding_box() for n in page.query_selector_all("img")]
    assert len(shown) >= 8
    assert all(box and box["width"] > 400 for box in shown)
