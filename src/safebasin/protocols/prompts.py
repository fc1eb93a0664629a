"""The seams of prompts: where prompts and system prompts come from."""

from __future__ import annotations

from typing import Protocol

from safebasin.records import Prompt, System


class PromptSource(Protocol):
    """Yields prompts, in a stable order, with revision and licence known to the catalogue."""

    def load(self) -> tuple[Prompt, ...]:
        """Raises: PromptError where the source is missing, empty or not in a known layout."""
        ...


class SystemSource(Protocol):
    """A source of system prompts: what a row of kind `system` points to."""

    def load(self) -> System:
        """The system prompt; `name` is that of the row."""
        ...
