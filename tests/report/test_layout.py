"""What is drawn together, and under which names."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from helpers.landscapes import make_landscape
from helpers.regions import make_group, make_plane_landscape, make_study
from safebasin.report.layout import groups, lone_panels, overlays, panel_title, slugs


def test_a_group_is_one_row_a_line():
    landscape = make_group(blocks=4, points=3)
    (group,) = groups(landscape)
    assert [panel.region.name for panel in group.panels] == ["block 0", "block 1", "block 2", "block 3"]
    assert group.alphas == (-1.5, 0.0, 1.5)
    assert lone_panels(landscape) == ()
    assert overlays(landscape) == ()


def test_a_group_is_of_one_prompt_set_and_one_system():
    landscape = make_group(blocks=2, points=3)
    again = tuple(dataclasses.replace(panel, prompts="benign") for panel in landscape.panels)
    found = groups(dataclasses.replace(landscape, panels=landscape.panels + again))
    assert [(g.prompts, len(g.panels)) for g in found] == [("harmful", 2), ("benign", 2)]


def test_a_lone_line_of_a_group_stands_for_itself():
    landscape = make_group(blocks=1, points=3)
    assert groups(landscape) == ()
    assert lone_panels(landscape) == landscape.panels


def test_panels_that_differ_in_one_thing_are_compared():
    found = overlays(make_landscape(panels=3, points=3))
    assert [(o.differs, o.fixed, [o.name_of(p) for p in o.panels]) for o in found] == [
        ("prompts", "default", ["harmful", "jailbreak/prefix_injection"]),
        ("system", "harmful", ["default", "none"]),
    ]
    assert [o.title for o in found] == ["Prompt sets", "System prompts, harmful"]


def test_regions_are_not_mixed():
    assert overlays(make_plane_landscape(points=3, prompts=2)) == ()
    assert {o.region.name for o in overlays(make_study(points=3, prompts=2))} == {"random"}


def test_slugs_say_what_they_name():
    assert slugs([("asr", "random", "jailbreak/prefix_injection", ""), ("asr", "to:../Tuned Model", "harmful")]) == (
        "asr-random-jailbreak-prefix-injection",
        "asr-to-tuned-model-harmful",
    )


def test_slugs_of_long_or_equal_names_differ():
    long = "org/" + "very-long-name" * 9
    found = slugs([("asr", long), ("asr", long + "x"), ("asr", "a b"), ("asr", "a/b"), ("asr", "a_b")])
    assert len(set(found)) == 5
    assert all(len(slug) <= 50 for slug in found)
    assert found[2:] == ("asr-a-b", "asr-a-b--2", "asr-a-b--3")


@given(st.lists(st.text(max_size=60), max_size=6))
def test_slugs_are_file_names(names):
    found = slugs(("plane", name) for name in names)
    assert len(set(found)) == len(names)
    assert all(slug and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for slug in found)
    assert found == slugs(("plane", name) for name in names)


def test_the_models_own_system_prompt_is_named_where_others_stand_beside_it() -> None:
    landscape = make_landscape()
    own = dataclasses.replace(landscape.panels[0], system="default")
    alone = dataclasses.replace(landscape, panels=(own,))
    beside = dataclasses.replace(landscape, panels=(own, dataclasses.replace(own, system="none")))
    assert panel_title(alone, own) == own.prompts
    assert panel_title(beside, own) == f"{own.prompts}, system prompt default"
