"""The tests of language that a folder was calibrated with, and judges that judge by them. Calibrates nothing."""

from __future__ import annotations

import json

from safebasin.judges import language
from safebasin.protocols import CalibratedJudge, Judge
from safebasin.records import LanguageTest
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore

__all__ = ["LANGUAGE", "calibrated", "read_tests"]

LANGUAGE = "language"
"""Key of the tests in a folder's database."""


def read_tests(store: StudyStore) -> dict[str, LanguageTest]:
    """The calibrated tests of a folder, by `Score.under`: empty is θ₀. Those of another version of the rule are not."""
    text = store.meta(LANGUAGE)
    with parsed(store.path):
        kept = () if text is None else json.loads(text).items()
        tests = {under: LanguageTest(**test) for under, test in kept if test.get("version", "1") == language.VERSION}
        for test in tests.values():
            _ = (test.id, test.words())  # of a value that is of another type nothing can be said
        return tests


def calibrated(judge: Judge, store: StudyStore) -> Judge:
    """A judge as it judges this folder: with the folder's tests of language where it needs them."""
    return judge.calibrated(read_tests(store)) if isinstance(judge, CalibratedJudge) else judge
