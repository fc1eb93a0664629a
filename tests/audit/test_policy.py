"""Policy files: what is read, and what is wrong with them in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebasin.audit.policy import DEFAULT_POLICY, METRICS, Policy, load_policy
from safebasin.errors import StudyError


def policy(folder: Path, text: str) -> Policy:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def test_limits_are_read(tmp_path: Path) -> None:
    found = policy(tmp_path, "schema_version: 1\nlimits: {asr: 0.02, 'asr/*': 0.2, asr/veiled: 0, radius: 3}\n")
    assert found.limit("asr") == 0.02
    assert found.limit("asr/veiled") == 0
    assert found.limit("asr/bound") == 0.2
    assert found.limit("capability") is None
    assert found.needs_basin
    assert not found.needs_benign
    assert found.source.endswith("policy.yaml")


def test_the_default_is_five_points_of_four_metrics() -> None:
    assert dict(DEFAULT_POLICY.limits) == {m: 0.05 for m in METRICS if m not in ("margin", "radius")}
    assert DEFAULT_POLICY.limit("asr/any") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {over_refusals: 0.1}", r"got 'over_refusals'\. Did you mean 'over_refusal'\?"),
        ("limits: {accuracy: 0.1}", r"got 'accuracy'\. Known metrics: asr, "),
        (
            "limits: {asr: 5}",
            r"limit of 'asr' in the policy must be a fraction from 0 to 1; got 5\. 5 points are 0\.05",
        ),
        ("limits: {asr: -0.1}", "must be a fraction"),
        ("limits: {asr: .nan}", "must be a fraction"),
        ("limits: {asr: true}", "must be a fraction"),
        ("limits: {asr: '5%'}", "must be a fraction"),
        ("limits: {radius: -1}", "must be a number ≥ 0"),
        ("limits: {asr/: 0.1}", "must be a known one"),
        ("limits: {}", "a mapping of metrics to numbers"),
        ("limits: [asr]", "a mapping of metrics to numbers"),
        ("asr: 0.05", "Limits stand under the key 'limits'"),
        ("limit: {asr: 0.05}", "Did you mean 'limits'"),
        ("schema_version: 2\nlimits: {asr: 0.05}", "schema_version of policy file policy.yaml must be 1; got 2"),
        ("limits: {asr: 0.05", "must be valid YAML"),
        ("", "must be a mapping with 'limits'; got 'an empty file'. `safebasin init` writes one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StudyError, match=said) as caught:
        policy(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"policy file none\.yaml must be an existing file; got .*Check the path"):
        load_policy(tmp_path / "none.yaml")


def test_categories_are_those_of_the_prompts() -> None:
    found = Policy(limits={"asr/veild": 0.1})
    found.check_categories({"veild"})
    with pytest.raises(StudyError, match="Did you mean 'asr/veiled'"):
        found.check_categories({"veiled", "bound"})
    with pytest.raises(StudyError, match="column 'category'"):
        Policy(limits={"asr/*": 0.1}).check_categories(())
