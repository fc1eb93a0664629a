"""What a study is: the one border where untrusted text (YAML, arguments) becomes a frozen, checked `Study`.

`load` reads a study file, `make` takes arguments; both fill the same defaults and raise the same `StudyError`.
A study says *what* is measured; `device`, `batch_size` and `low_memory` say *how* and are left out of `Study.hash`.
Nothing here looks at the disk beyond the study file and the system prompts it names, and nothing imports torch.
"""

from __future__ import annotations

from safebasin.study.arguments import template_arguments
from safebasin.study.files import dump, load, load_fields, make, with_flags
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
    "parse_range",
    "template_arguments",
    "with_flags",
]
