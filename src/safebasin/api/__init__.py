"""The Python API: one function a verb, with the power of the command line. Composes run and report; prints nothing.

    import safebasin
    mapped = safebasin.map_basin("world:guild/aligned", out="runs/guild", directions=3)
    print(mapped.landscape.summary["radius"])

Every function raises `safebasin.errors.UsageError` for what a user can mend. Heavy libraries are imported when needed.

    certifying  certificates of a stored study, beside how far a tuned model has moved, in the same unit
    doctor      what this machine and installation can do, check by check
    edits       one model made of another, without training it on rows
    evidence    folders of results checked and packed for others, and packs checked
    judging     how judges agree, what they say of responses made elsewhere, and what asking them costs
    locating    the layers that tell harmful requests from benign ones
    mapping     from arguments to a study, from a study to a landscape
    mechanism   what safety training did to a model
    requests    engine and prompts of the verbs that ask a model without a study
    screening   a look at tuned models before an audit
    prefilling  refusal behind a forced beginning of the answer
    progress    a bar on a terminal and in a notebook
    results     what the verbs give back of studies
    showing     frames and plots of results that lie below what draws them
    starting    files to begin with, and the schemas that editors read
    stored      stored studies read, judged again, reported, exported, compared
    sweeping    many tuned models of one base in one study
    trials      defenses beside each other: one attack under each of them
    tuning      attacks, mitigations, the worst case, and the audit that tells before from after
    viewing     a tree of stored folders, served on loopback or written as pages
    worlds      the embedded worlds, the claims that are checked on them, and the environment
"""

from __future__ import annotations

from safebasin.api.certifying import CertifiedStudy, certify_study
from safebasin.api.edits import attribute, edit_model
from safebasin.api.evidence import (
    VerifiedPack,
    pack_results,
    read_audit,
    report_audit,
    results_root,
    verify_pack,
    verify_study,
)
from safebasin.api.judging import agreement, estimate_judging, judge_file, judging_cost, read_grades
from safebasin.api.locating import locate_layers
from safebasin.api.mapping import (
    MappedModels,
    default_folder,
    make_studies,
    make_study,
    map_basin,
    map_models,
    map_shard,
    merge_shards,
    plan_study,
)
from safebasin.api.mechanism import measure_mechanism
from safebasin.api.prefilling import measure_prefill
from safebasin.api.results import Compared, Mapped
from safebasin.api.screening import screen_models
from safebasin.api.showing import plot_landscape, plot_losses, to_frame
from safebasin.api.starting import file_schema, write_starter
from safebasin.api.stored import (
    compare_studies,
    export_model,
    export_study,
    judge_study,
    open_study,
    read_study,
    report_study,
)
from safebasin.api.sweeping import Swept, sweep_models
from safebasin.api.trials import compare_defenses
from safebasin.api.tuning import (
    audit,
    audit_fleet,
    defend,
    estimate_moderation,
    find_worst_case,
    finetune,
    finetune_sweep,
    plan_audit,
    prepare_finetuning,
)
from safebasin.api.viewing import bundle_view, view
from safebasin.api.worlds import build_world, check_claims, check_environment, world
from safebasin.processors import settle

settle()  # before any of these loads torch

__all__ = [
    "CertifiedStudy",
    "Compared",
    "Mapped",
    "MappedModels",
    "Swept",
    "VerifiedPack",
    "agreement",
    "attribute",
    "audit",
    "audit_fleet",
    "build_world",
    "bundle_view",
    "certify_study",
    "check_claims",
    "check_environment",
    "compare_defenses",
    "compare_studies",
    "default_folder",
    "defend",
    "edit_model",
    "estimate_judging",
    "estimate_moderation",
    "export_model",
    "export_study",
    "file_schema",
    "find_worst_case",
    "finetune",
    "finetune_sweep",
    "judge_file",
    "judge_study",
    "judging_cost",
    "locate_layers",
    "make_studies",
    "make_study",
    "map_basin",
    "map_models",
    "map_shard",
    "measure_mechanism",
    "measure_prefill",
    "merge_shards",
    "open_study",
    "pack_results",
    "plan_audit",
    "plan_study",
    "plot_landscape",
    "plot_losses",
    "prepare_finetuning",
    "read_audit",
    "read_grades",
    "read_study",
    "report_audit",
    "report_study",
    "results_root",
    "screen_models",
    "sweep_models",
    "to_frame",
    "verify_pack",
    "verify_study",
    "view",
    "world",
    "write_starter",
]
