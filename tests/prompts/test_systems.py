"""System prompts: names, files and texts; what ships and what says where it is found."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from safebasin import catalog
from safebasin.catalog import lookup
from safebasin.catalog.systems import RESERVED, SYSTEMS
from safebasin.errors import PromptError, UnknownName
from safebasin.prompts.systems import system_prompt
from safebasin.records import System

OWN = [entry.name for entry in SYSTEMS if entry.file]
ABSENT = [entry.name for entry in SYSTEMS if not entry.file and entry.name not in RESERVED]


def test_the_papers_five_are_named() -> None:
    assert {"default", "none", "roleplay", "llama2", "safety"} <= {row.name for row in catalog.of_kind("system")}


def test_default_passes_no_turn_and_none_an_empty_one() -> None:
    assert system_prompt("default") == System(name="default", text=None)
    assert system_prompt("none") == System(name="none", text="")


@pytest.mark.parametrize("name", OWN)
def test_own_texts_ship(name: str) -> None:
    found = system_prompt(name)
    assert found.name == name
    assert found.text is not None
    assert found.text == found.text.strip()
    assert len(found.text.split()) > 5
    assert "\n" not in found.text
    assert catalog.get("system", name).source == "safebasin"


def test_the_neutral_control_is_as_long_as_the_long_safety_prompt() -> None:
    safety, neutral = (system_prompt(name).text or "" for name in ("safety/long", "neutral/long"))
    assert abs(len(neutral.split()) / len(safety.split()) - 1) < 0.15
    assert not {"harm", "harmful", "safe", "safety", "law", "refuse", "decline"} & set(neutral.lower().split())


@pytest.mark.parametrize("name", ABSENT)
def test_a_published_text_does_not_ship_and_says_where_it_is(name: str) -> None:
    row = catalog.get("system", name)
    with pytest.raises(PromptError, match=r"pass @FILE\.$") as caught:
        system_prompt(name)
    assert (row.fact("text in") or "nowhere") in str(caught.value)
    assert (row.fact("ships") or "").startswith("no")


def test_a_file_is_read_and_named_by_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "llama2.txt"
    path.write_text("Mind the kiln.\n\nAlways.\n")
    assert system_prompt(f"@{path}") == System(name="llama2", text="Mind the kiln.\n\nAlways.")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\xfd"])
def test_a_file_without_a_text_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        PromptError, match=r"system prompt must be an? (existing file|UTF-8 text file|file with a text)"
    ):
        system_prompt(f"@{path}")


@pytest.mark.parametrize("text", ["Be brief.", "Speak as the smith.", "Obey!", "pirate", "Sei höflich. " * 20])
def test_anything_else_is_a_text(text: str) -> None:
    found = system_prompt(text)
    assert found.text == text
    assert len(found.name) <= 40


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("safety/lnog", "safety/long"),
        ("defualt", "default"),
        ("None", "none"),
        ("empty", "none"),
        ("role-play", "roleplay"),
        ("llama-2", "llama2"),
        ("Safety/Long", "safety/long"),
    ],
)
def test_a_misspelled_name_is_no_text(word: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
        system_prompt(word)


def test_a_word_with_a_slash_is_meant_as_a_name() -> None:
    with pytest.raises(UnknownName, match=r"system prompt must be one of .*; got 'kiln/xyzzy'"):
        system_prompt("kiln/xyzzy")


@pytest.mark.parametrize("text", ["", "  "])
def test_no_text_is_ambiguous(text: str) -> None:
    with pytest.raises(PromptError, match="Use none for an empty system turn, default for no system turn"):
        system_prompt(text)


def test_a_plugin_provides_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clerk:
        def load(self) -> System:
            return System(name="kiln/clerk", text="You are the clerk of the kiln.")

    row = catalog.Row(kind="system", name="kiln/clerk", target="kiln_systems:Clerk", summary="One.", source="test")
    monkeypatch.setitem(sys.modules, "kiln_systems", SimpleNamespace(Clerk=Clerk))
    monkeypatch.setattr(lookup, "rows", lambda: (row,))
    assert system_prompt("kiln/clerk").text == "You are the clerk of the kiln."
