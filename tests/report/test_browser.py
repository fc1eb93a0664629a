"""The page in a real browser: no request, no error, points lead to responses, a phone does not scroll sideways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from helpers.browser import Visit
from helpers.landscapes import make_landscape, make_manifest, make_sample, make_samples
from safebasin.report.html import render_html

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\x1b[2J\u202e"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    landscape = make_landscape(points=11, prompts=12, panels=2, missing=0.02, model="org/" + "long-name" * 12)
    samples = [*make_samples(landscape), make_sample(HOSTILE, category=HOSTILE, prompt_text=HOSTILE, prompt_id="bad")]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(landscape, make_manifest(), samples, title="Safety basin"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, address) -> Iterator:
    visits: list[Visit] = []

    def open_page(width: int = 1280, ready="#panel-2 .asr .scatterlayer .trace", **options) -> Visit:
        visits.append(Visit(browser, address, ready, viewport={"width": width, "height": 800}, **options))
        return visits[-1]

    yield open_page
    for found in visits:
        found.context.close()


def click_lone_point(page) -> tuple[float, int]:
    """Click the point of one direction that lies farthest from all others; its α and direction."""
    x, y, alpha, direction = lone_point(page)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    return alpha, direction


def lone_point(page) -> tuple[float, float, float, int]:
    """Where on the screen that point is, its α and direction."""
    return page.evaluate(
        """() => {
            const node = document.querySelector('#panel-1 .asr');
            const box = node.getBoundingClientRect(), full = node._fullLayout;
            const points = node.data.filter((t) => t.customdata).flatMap((t) => t.x.map((x, i) => [
                box.x + full._size.l + full.xaxis.d2p(x), box.y + full._size.t + full.yaxis.d2p(t.y[i]),
                ...t.customdata[i]]));
            const far = (p, q) => Math.hypot(q[0] - p[0], q[1] - p[1]);
            const gap = (p) => Math.min(...points.filter((q) => q !== p).map((q) => far(p, q)));
            return points.filter((p) => p[3] > 0).sort((p, q) => gap(q) - gap(p))[0];
        }"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_quiet_and_alone(visit, address, width, scheme):
    seen = visit(width, color_scheme=scheme)
    seen.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    seen.page.wait_for_timeout(200)
    assert seen.said == []
    assert seen.requests == [address]


def test_the_policy_stops_what_gets_in(visit):
    seen = visit()
    seen.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = "document.title = 'owned'";
            document.body.append(script);
            fetch('https://example.invalid/').catch(() => {});
        }"""
    )
    seen.page.wait_for_timeout(200)
    assert seen.page.title() == "Safety basin"
    assert any("Content Security Policy" in said for said in seen.said)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_sideways_scroll(visit, width):
    page = visit(width).page
    page.click("details.manifest > summary")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for chart in page.query_selector_all(".chart .main-svg"):
        box = chart.bounding_box()
        assert box is None or box["x"] + box["width"] <= width


def test_a_click_on_a_point_selects_its_responses(visit):
    page = visit().page
    alpha, direction = click_lone_point(page)
    page.wait_for_function(f"() => document.querySelector('#panel-1 [name=alpha]').value === '{alpha:g}'")
    assert page.input_value("#panel-1 [name=direction]") == str(direction) != "0"
    assert f"random, seed 0, direction {direction}. " in page.inner_text("#panel-1 .where")
    assert page.locator("#panel-1 .list > li").count() > 0
    assert page.input_value("#panel-2 [name=alpha]") == "0"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_clicked_point_shows_its_responses_in_view(visit, width):
    page = visit(width, folded=True).page
    assert page.is_hidden("#panel-1 .list")
    page.locator("#panel-1 .asr").scroll_into_view_if_needed()
    click_lone_point(page)
    page.wait_for_selector("#panel-1 .list > li")
    box = page.locator("#panel-1 .responses").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 801
    figure = page.locator("#panel-1 figure").first.bounding_box()
    assert box["y"] >= figure["y"] + figure["height"]
    assert page.is_hidden("#panel-2 .list")


def test_hovering_gives_interval_and_n(visit):
    page = visit().page
    page.mouse.move(*lone_point(page)[:2])
    page.wait_for_selector("#panel-1 .asr .hovertext")
    said = page.text_content("#panel-1 .asr .hovertext")
    assert re.search(r"ASR [\d.]+% \[[\d.]+%, [\d.]+%\], n = \d+", said)


def test_a_hidden_judge_stays_hidden_when_a_point_is_chosen(visit):
    page = visit().page
    hidden = "document.querySelector('#panel-1 .asr').data.filter((t) => t.visible === 'legendonly').length"
    page.locator("#panel-1 .asr .legendtoggle").nth(1).click()
    page.wait_for_function(f"() => {hidden} > 0")
    before = page.evaluate(hidden)
    page.select_option("#panel-1 [name=alpha]", "0.9")
    assert page.evaluate(hidden) == before


def test_selects_choose_point_direction_and_outcome(visit):
    page = visit().page
    page.select_option("#panel-1 [name=alpha]", "-1.5")
    page.select_option("#panel-1 [name=direction]", "1")
    assert "α = −1.5, random, seed 0, direction 1" in page.inner_text("#panel-1 .where")
    page.select_option("#panel-1 [name=outcome]", "incoherent")
    assert {n.inner_text() for n in page.query_selector_all("#panel-1 .badge")} == {"incoherent"}
    assert "seal seal 7" in page.inner_text("#panel-1 .list")
    page.select_option("#panel-1 [name=alpha]", "0")
    assert page.is_disabled("#panel-1 [name=direction]")
    before = page.locator("#panel-1 .list > li").count()
    page.click("#panel-1 .more")
    assert page.locator("#panel-1 .list > li").count() > before


def test_withheld_texts_say_so(visit):
    page = visit().page
    page.select_option("#panel-1 [name=alpha]", "0.9")
    page.select_option("#panel-1 [name=outcome]", "complied")
    assert "Text withheld" in page.inner_text("#panel-1 .list")
    assert "copper seals" not in page.content()


def test_hostile_output_is_text(visit):
    page = visit().page
    page.click("#panel-1 .more")
    said = page.locator("#panel-1 .said").last.inner_text()
    assert said == HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert page.title() == "Safety basin"
    assert page.locator("main img").count() == 0


def test_a_browser_that_cannot_unpack_shows_the_pictures(visit):
    seen = visit(ready="figure img", before="delete window.DecompressionStream;")
    assert seen.said == []
    assert len(seen.page.query_selector_all("figure img")) == 6
    assert seen.page.is_hidden("#panel-1 .asr")
    assert seen.page.is_hidden("#panel-1 .samples")


def test_a_link_opens_what_is_folded(browser, tmp_path):
    landscape = make_landscape(points=5, prompts=4, panels=6)
    path = tmp_path / "report.html"
    path.write_text(render_html(landscape, {}, make_samples(landscape), title="Many"), encoding="utf-8")
    seen = Visit(browser, path.as_uri(), "#panel-1 .asr .scatterlayer .trace", folded=True)
    assert seen.page.locator(".scatterlayer .trace").count() > 0
    assert seen.page.is_hidden("#panel-5")
    seen.page.click("nav summary")
    seen.page.click("nav a[href='#panel-5']")
    seen.page.wait_for_selector("#panel-5 .asr .scatterlayer .trace", state="attached")
    assert seen.page.locator("#panel-5 .asr .main-svg").first.bounding_box()["width"] > 600
    assert 0 <= seen.page.locator("#panel-5").bounding_box()["y"] < 400
    assert seen.page.is_hidden("#panel-6")
    assert seen.said == []
    seen.context.close()


def test_without_scripts_there_are_pictures_and_numbers(visit):
    page = visit(java_script_enabled=False).page
    sizes = [node.bounding_box() for node in page.query_selector_all("figure img")]
    assert len(sizes) == 6  # two of each panel, and two of their comparison
    assert all(size and size["width"] > 400 and size["height"] > 200 for size in sizes)
    assert page.is_hidden("#panel-1 .samples")
    assert "caveat" in page.inner_text("#panel-1 .statistics").lower()
