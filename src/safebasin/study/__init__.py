"""What a study is: the one border where untrusted text (YAML, arguments) becomes a frozen, checked `Study`.

`load` reads a study file, `make` takes arguments; both fill the same defaults and raise the same `StudyError`.
A study says *what* is measured; `device`, `gpus_per_worker`, `batch_size` and `low_memory` say *how* and are left out
of `Study.hash`.
Nothing here looks at the disk beyond the study file and the system prompts it names, and nothing imports torch.

    answered   which questions have an answer
    arguments  `K=V` arguments of a chat template, the value a YAML scalar or `@FILE`
    defenses   defenses of the stage inference, by name: part of the model that is measured
    fast       which part of a plan in fast mode calibrates its budget, and which is measured in exact mode too
    files      from files and arguments to a `Study`: defaults, options, errors that name the key
    model      the frozen `Study` and its parts
    options    every option, declared once: keyword, command line, key of the file, help
    plan       what a study asks for: points × systems × batches of prompts
    regions    regions of a study file: axes, their ranges, and the lines and planes that they make
    schema     the JSON Schema of study files, for editors
    shards     a share of a plan's points
    stages     in which order fast mode asks the prompts of a set, and after how many it may stop
    starter    a study file to begin with, every key explained
"""

from __future__ import annotations

from safebasin.study.arguments import template_arguments
from safebasin.study.files import dump, load, load_fields, make, models_of, with_flags
from safebasin.study.model import CapabilitySpec, DecodingSpec, PromptsSpec, Study
from safebasin.study.options import StudyFlags
from safebasin.study.regions import AxisSpec, RegionSpec, parse_range

__all__ = [
    "AxisSpec",
    "CapabilitySpec",
    "DecodingSpec",
    "PromptsSpec",
    "RegionSpec",
    "Study",
    "StudyFlags",
    "dump",
    "load",
    "load_fields",
    "make",
    "models_of",
    "parse_range",
    "template_arguments",
    "with_flags",
]
