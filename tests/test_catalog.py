"""The catalogue: lookup with "did you mean", calls that parse, rows that resolve."""

from __future__ import annotations

import pytest

from safebasin import catalog
from safebasin.errors import UnknownName


def test_every_row_resolves_and_says_what_and_whence() -> None:
    for row in catalog.rows():
        assert row.resolve() is not None
        assert row.summary.endswith(".")
        assert "\n" not in row.summary
        assert row.source


def test_every_judge_says_what_it_measures() -> None:
    for row in catalog.of_kind("judge"):
        assert row.fact("measures") in ("refusal", "outcome", "harm", "truth")
    assert catalog.measures("outcome(harm=oracle)") == "outcome"
    assert catalog.measures("refusal") == catalog.measures("keyword/zou2023") == "refusal"
    assert catalog.measures("a plugin's that is gone") is catalog.measures("no call(") is None
    judges = [row.name for row in catalog.of_kind("judge")]
    assert [*filter(catalog.is_keyword, judges)] == ["keyword/peng2024", "keyword/qi2023", "keyword/zou2023"]
    assert [*filter(catalog.is_exact, judges)] == ["oracle"]


def test_did_you_mean() -> None:
    with pytest.raises(UnknownName, match=r"got 'keyword/peng2023'\. Did you mean 'keyword/peng2024'\?"):
        catalog.get("judge", "keyword/peng2023")
    with pytest.raises(UnknownName, match=r"kind must be one of .*Did you mean 'judge'\?"):
        catalog.of_kind("juge")
    with pytest.raises(UnknownName, match=r"See: safebasin list judge\."):
        catalog.get("judge", "zzzzzz")


@pytest.mark.parametrize("kind", catalog.kinds())
def test_a_kind_is_known_in_the_singular_and_the_plural(kind: str) -> None:
    one = kind.removesuffix("s")
    assert catalog.of_kind(one) == catalog.of_kind(one + "s") == catalog.of_kind(kind) != ()
    name = catalog.of_kind(kind)[0].name
    assert catalog.get(one, name) == catalog.get(one + "s", name)


def test_plugins_are_what_other_packages_provide(monkeypatch: pytest.MonkeyPatch) -> None:
    own = catalog.Row(kind="judge", name="kiln/warm", target="a:b", summary="Warm.", source="kiln")
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: (*catalog.BUILTIN, own))
    assert catalog.of_kind("plugin") == catalog.of_kind("plugins") == (own,)
    assert catalog.get("plugin", "kiln/warm") == own
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: catalog.BUILTIN)
    assert catalog.of_kind("plugin") == ()
    with pytest.raises(UnknownName, match=r"plugin must be one that is installed; got 'kiln/warm'\. No package"):
        catalog.get("plugin", "kiln/warm")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("outcome", "outcome", {}),
        ("outcome()", "outcome", {}),
        ("outcome(threshold=1.5)", "outcome", {"threshold": 1.5}),
        (" outcome( harm=oracle , threshold = 2 ) ", "outcome", {"harm": "oracle", "threshold": 2}),
    ],
)
def test_calls_parse(text: str, name: str, arguments: dict[str, object]) -> None:
    assert catalog.parse_call(text) == (name, arguments)


@pytest.mark.parametrize("text", ["", "outcome(", "outcome(1)", "a b", "outcome(=1)"])
def test_broken_calls_are_named(text: str) -> None:
    with pytest.raises(UnknownName, match="must be"):
        catalog.parse_call(text)


def test_an_argument_that_is_not_taken_is_named() -> None:
    with pytest.raises(UnknownName, match=r"argument of judge 'outcome' must be one of .*Did you mean 'threshold'\?"):
        catalog.create("judge", "outcome(treshold=1)")


def test_a_broken_target_says_what_to_do() -> None:
    row = catalog.Row(kind="judge", name="lost", target="nowhere:thing", summary="None.", source="a test")
    with pytest.raises(UnknownName, match="Install or mend the package"):
        row.resolve()
