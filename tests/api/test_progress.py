"""Progress: a bar where somebody looks, nothing elsewhere, and one's own hook untouched."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from safebasin.api.progress import shown, shown_training
from safebasin.run.progress import Tick


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticks(n: int = 3) -> list[Tick]:
    return [Tick(stage="generate", done=i, total=n, point=i, points=n, seconds=1.0, fresh=i) for i in range(n + 1)]


def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(True) as hook:
        for tick in ticks():
            hook(tick)
    with shown_training(True) as hook:
        assert hook is None
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, words in ((True, "3/3 responses"), (False, "")):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with shown(wanted) as hook:
            for tick in ticks():
                hook(tick)
        assert words in terminal.getvalue()
        assert bool(terminal.getvalue()) is wanted
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown_training(True) as training:
        assert training is not None
        training(1, 1, 2.5)
    assert "1/1 steps · loss 2.5000" in terminal.getvalue()


def test_a_line_under_the_cell_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    class Handle:
        def update(self, line: object) -> None:
            seen[-1] = line

    def display(line: object, *, display_id: bool) -> Handle:
        assert display_id
        seen.append(line)
        return Handle()

    ipython, inner = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # pyright: ignore[reportAttributeAccessIssue]
    inner.display = display  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    with shown(True) as hook:
        for tick in ticks():
            hook(tick)
    (line,) = seen
    assert repr(line).startswith("generate  " + "█" * 30 + " 3/3 responses")
    assert '<progress value="3" max="3">' in line._repr_html_()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_hook_is_called_as_it_is() -> None:
    seen: list[Tick] = []
    with shown(seen.append) as hook:
        assert hook == seen.append
