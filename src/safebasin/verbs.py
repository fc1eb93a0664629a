"""Packages that have the name of a verb: `safebasin.audit` and `safebasin.finetune`, called, are the verb of the API.

Their modules stay where they are (`from safebasin.audit import Policy`).
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


class _Verb(ModuleType):
    """A package that hands a call on to the function of `safebasin.api` of its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        return getattr(import_module("safebasin.api"), self.__name__.rpartition(".")[2])


def make_callable(package: str) -> None:
    """Let a package that is being imported be called like the verb of its name."""
    sys.modules[package].__class__ = _Verb
