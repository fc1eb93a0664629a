"""The exceptions of safebasin, and nothing else.

    SafebasinError
    ├── UsageError            what a user can mend: printed as one line, exit code 2
    │   ├── StudyError        a study file or an argument that does not hold together
    │   ├── UnknownName       a name that the catalogue does not know ("did you mean")
    │   ├── ModelError        a checkpoint, tokenizer or adapter that cannot be used
    │   │   └── UnseenModel   a hub repository, or weights, that cannot be seen from here: a plan can still be made
    │   ├── PromptError       a prompts file or set that cannot be used
    │   │   └── MissingFile   a file of prompts, or of a system prompt, that is not there
    │   ├── StoreError        a study folder that cannot be used: another model's, damaged, locked, full
    │   └── MissingExtra      an optional dependency that is not installed
    └── NotDecidable          the data do not decide the question: exit code 3

Every message has one form: *"{what} must be {constraint}; got {value!r}. {what to do}"*, in one line. `expected` builds
it. Anything else that escapes is a defect of safebasin (exit code 70).
"""

from __future__ import annotations

from collections.abc import Mapping


class SafebasinError(Exception):
    """Root of everything safebasin raises on purpose."""

    exit_code = 70


class UsageError(SafebasinError):
    """Something that the user can mend. The command line prints it as one line and ends with exit code 2."""

    exit_code = 2


class StudyError(UsageError):
    """A study file, or an argument, that does not hold together."""


class UnknownName(UsageError):
    """A name that the catalogue does not know."""


class ModelError(UsageError):
    """A checkpoint, tokenizer or adapter that cannot be used."""


class UnseenModel(ModelError):
    """A hub repository that is not in the cache or not open to this user, or a folder whose weights are not there yet:
    a plan can be made.
    """


class PromptError(UsageError):
    """A prompts file, or a prompt set, that cannot be used."""


class MissingFile(PromptError):
    """A file of prompts, or of a system prompt, that is not there: a plan names all of them at once."""


class StoreError(UsageError):
    """A study folder that cannot be used: another model's, damaged, locked by another process, or on a full disk."""


class MissingExtra(UsageError):
    """An optional dependency that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} must have the package {package!r} installed; got none. Run: pip install 'safebasin[{extra}]'"
        )


class NotDecidable(SafebasinError):
    """The data do not decide the question that was asked."""

    exit_code = 3


def expected(what: str, constraint: str, value: object, remedy: str) -> str:
    """The message of every usage error: what was wrong, what was expected, what came, what to do.

    Args:
        what: the argument or thing, in the user's words.
        constraint: what it must be, fitting after "must be".
        value: what came; shown with `repr`, cut at 200 characters; None is `nothing`.
        remedy: one sentence that tells the user what to do, with its full stop.
    """
    try:
        shown = "nothing" if value is None else repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes out, or endless levels
        shown = f"a {type(value).__name__} that is too large to show"
    if len(shown) > 200:
        shown = shown[:197] + "..."
    return f"{what} must be {constraint}; got {shown}. {remedy}".replace("\n", " ")


def none_usable(what: str, failed: Mapping[str, UsageError]) -> UsageError:
    """The error where each of several models failed: the one that is wrong with all, else one that says each reason.

    Args:
        what: the models, in the user's words.
        failed: name of a model → what is wrong with it; one or more.
    """
    first = next(iter(failed.values()))
    if len({str(error) for error in failed.values()}) == 1:
        return first
    reasons = [f"{name}: {error}" for name, error in failed.items()]
    left = f" … and {len(reasons) - 8} more." if len(reasons) > 8 else ""
    return ModelError(expected(what, "usable, one at least", f"none of {len(failed)}", " ".join(reasons[:8]) + left))
