"""The FSDP configuration of the docs, which needs GPUs to run: read by accelerate as its launcher reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "fsdp.yaml"


def launched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The arguments of `accelerate launch --config_file`, its environment set."""
    pytest.importorskip("accelerate")
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    before = dict(os.environ)
    given = ["--config_file", str(FILE), "-m", "safebasin", "finetune"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    for name, value in prepare_multi_gpu_env(arguments).items():
        if before.get(name) != value and name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)
    return arguments


def test_the_page_quotes_the_file() -> None:
    assert FILE.read_text(encoding="utf-8") in (DOCS / "finetuning.md").read_text(encoding="utf-8")


def test_accelerate_reads_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key of the file is an error of accelerate; one of `fsdp_config` would only be ignored."""
    arguments = launched(monkeypatch)
    assert arguments.use_fsdp
    assert (arguments.num_processes, arguments.mixed_precision, arguments.module) == (4, "no", True)
    from accelerate.commands.config.config_args import load_config_from_file

    unknown = [key for key in load_config_from_file(str(FILE)).fsdp_config if not hasattr(arguments, key)]
    assert unknown == []


def test_the_trainer_finds_it_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch)
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import StateDictType

    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.cpu_ram_efficient_loading) == (2, True, True)
    # Whole weights are what every verb reads, and what a checkpoint's record vouches for.
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    assert plugin.auto_wrap_policy is not None
