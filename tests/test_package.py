"""The top of the package: every verb is there, and nothing is loaded before it is used."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys

import pytest

import safebasin
from safebasin import api


def test_every_function_of_the_api_is_at_the_top() -> None:
    assert set(api.__all__) <= set(safebasin.__all__)
    for name in api.__all__:
        found, function = getattr(safebasin, name), getattr(api, name)
        assert inspect.signature(found) == inspect.signature(function)
        assert found is function or name in ("audit", "finetune")


def test_the_command_line_loads_nothing_heavy_before_a_verb_works() -> None:
    """Numpy waits for ever where memory is short, and each costs time at every start."""
    program = (
        "import sys, safebasin.cli, safebasin.api\n"
        "heavy = {'numpy', 'torch', 'scipy', 'matplotlib', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_version_is_that_of_the_installed_package() -> None:
    assert safebasin.__version__ == importlib.metadata.version("safebasin")


@pytest.mark.slow
def test_packages_named_like_a_verb_can_be_called_whatever_was_imported_before() -> None:
    program = (
        "import sys, safebasin\n"
        "heavy = {'numpy', 'torch', 'pydantic', 'matplotlib', 'importlib.metadata'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        safebasin.audit('/none', '/none', out='/dev/null/x')\n"
        "    except safebasin.SafebasinError as error:\n"
        "        print(type(error).__name__)\n"
        "from safebasin.audit import Policy\n"
        "assert callable(safebasin.audit) and callable(safebasin.finetune)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
