"""Which folders are found, under which names; what is never followed or opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebasin.errors import UsageError
from safebasin.viewer.tree import file_of, find, make_roots, walk


def ids(tree: Path) -> list[str]:
    return [found.id for found in walk(make_roots([tree]))]


def test_every_folder_with_something_to_show_is_found(tree: Path) -> None:
    assert ids(tree) == ["runs/audit", "runs/claims", "runs/more/target", "runs/plain"]


def test_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "claims.json").write_text("{}")
    (tree / "linked").symlink_to(outside)
    (tree / "half").mkdir()
    (tree / "half" / "claims.json").symlink_to(outside / "claims.json")
    roots = make_roots([tree])
    assert "runs/linked" not in ids(tree)
    assert find(roots, "runs/linked") is None
    found = find(roots, "runs/half")
    assert found is not None
    assert found.problem == "claims.json is a link, which is not followed"


def test_a_root_that_is_named_may_be_a_link_and_has_the_name_of_where_it_leads(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tree)
    (tmp_path / "again").symlink_to(tmp_path / "latest")
    assert ids(tmp_path / "again") == ids(tree)
    assert find(make_roots([tmp_path / "latest"]), "runs/plain") is not None
    assert len(make_roots([tree, tmp_path / "latest", tmp_path / "again"])) == 1
    (tree / "up").symlink_to(tmp_path)  # what is inside leads nowhere, also behind a root that is a link
    assert find(make_roots([tmp_path / "latest"]), "runs/up/runs") is None


def test_files_beside_the_named_ones_are_not_served(tree: Path, tmp_path: Path) -> None:
    found = find(make_roots([tree]), "runs/plain")
    assert found is not None
    (tmp_path / "secret.png").touch()
    (tree / "plain" / "figures" / "linked.png").symlink_to(tmp_path / "secret.png")
    assert file_of(found, "figures/asr.png") is not None
    for name in ("figures/linked.png", "study.sqlite", "figures/../study.sqlite", "figures/../../../secret.png", "x"):
        assert file_of(found, name) is None
    (tree / "plain" / "figures").rename(tmp_path / "figures")
    (tree / "plain" / "figures").symlink_to(tmp_path / "figures")
    assert file_of(found, "figures/asr.png") is None


@pytest.mark.parametrize(
    "id", ["", "runs/..", "runs/../outside", "other/plain", "runs//plain", "runs/plain/\0", "runs/.git"]
)
def test_ids_that_name_nothing(tree: Path, id: str) -> None:
    assert find(make_roots([tree]), id) is None


def test_roots_of_one_name_are_told_apart(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "runs"
    other.mkdir(parents=True)
    assert [root.name for root in make_roots([tree, other, tree])] == ["runs", "runs-2"]


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for none in ("nowhere", "round", "broken"):
        with pytest.raises(UsageError, match="what is viewed must be a folder that exists"):
            make_roots([tmp_path / none])
