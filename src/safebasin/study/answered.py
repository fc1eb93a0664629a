"""Which questions have an answer: by point and system prompt, the prompts.

Most points hold the same prompts, so equal sets of them are held once: what is known of ten million responses takes as
much as what is known of their points. No keys of responses, no disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakValueDictionary

__all__ = ["Answered", "Question"]

Question = tuple[str, str, str]
"""`Point.key`, `System.id`, `Prompt.id`."""
_NONE: frozenset[str] = frozenset()


class Answered:
    """Questions that have an answer. Grows by `add`."""

    def __init__(self, there: Mapping[tuple[str, str], frozenset[str]] | None = None) -> None:
        """The prompts that are answered, by (point, system prompt); those without any may be left out."""
        self._shared: WeakValueDictionary[int, frozenset[str]] = WeakValueDictionary()
        self._there = {} if there is None else {pair: self._share(p) for pair, p in there.items() if p}

    @classmethod
    def of(cls, questions: Iterable[Question]) -> Answered:
        """These questions, in any order."""
        found: dict[tuple[str, str], set[str]] = {}
        for point, system, prompt in questions:
            found.setdefault((point, system), set()).add(prompt)
        return cls({pair: frozenset(prompts) for pair, prompts in found.items()})

    def prompts(self, point: str, system: str) -> frozenset[str]:
        """List those that are answered there."""
        return self._there.get((point, system), _NONE)

    def add(self, questions: Iterable[Question]) -> int:
        """Take further ones in; returns how many were new."""
        new = 0
        for pair, prompts in Answered.of(questions)._there.items():
            known = self._there.get(pair, _NONE)
            self._there[pair] = self._share(known | prompts)
            new += len(prompts - known)
        return new

    def within(
        self,
        points: Iterable[str],
        systems: Iterable[str],
        prompts: Iterable[str],
        *,
        without: Mapping[str, frozenset[str]] | None = None,
    ) -> Answered:
        """Keep those of them that are among these, without some prompts at some points."""
        wanted, pairs = frozenset(prompts), [(point, system) for system in systems for point in points]
        without = {} if without is None else without
        kept: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}
        found: dict[tuple[str, str], frozenset[str]] = {}
        for point, system in pairs:
            key = self._there.get((point, system), _NONE), without.get(point, _NONE)
            if key not in kept:
                kept[key] = (key[0] & wanted) - key[1]
            found[point, system] = kept[key]
        return Answered(found)

    def _share(self, prompts: frozenset[str]) -> frozenset[str]:
        """The same set as it is held already, if it is: points fill up one after the other, in the same way."""
        held = self._shared.setdefault(hash(prompts), prompts)
        return held if held == prompts else prompts

    def __len__(self) -> int:
        return sum(map(len, self._there.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answered) and self._there == other._there
