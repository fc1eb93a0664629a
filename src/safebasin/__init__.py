"""safebasin maps the safety basin of a language model, and audits what fine-tuning does to it.

The public names, nothing else: a function for every verb of the command line, and the records that they give back. See
`safebasin.api` for what they do. They are looked up on first use, so that importing the package costs nothing and
cannot fail: the command line is in charge before anything of ours is loaded.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safebasin.api import (
        CertifiedStudy,
        Compared,
        Mapped,
        MappedModels,
        Swept,
        VerifiedPack,
        agreement,
        attribute,
        audit,
        audit_fleet,
        build_world,
        bundle_view,
        certify_study,
        check_claims,
        check_environment,
        compare_defenses,
        compare_studies,
        default_folder,
        defend,
        edit_model,
        estimate_judging,
        estimate_moderation,
        export_model,
        export_study,
        file_schema,
        find_worst_case,
        finetune,
        finetune_sweep,
        judge_file,
        judge_study,
        judging_cost,
        locate_layers,
        make_studies,
        make_study,
        map_basin,
        map_models,
        map_shard,
        measure_mechanism,
        measure_prefill,
        merge_shards,
        open_study,
        pack_results,
        plan_audit,
        plan_study,
        plot_landscape,
        plot_losses,
        prepare_finetuning,
        read_audit,
        read_grades,
        read_study,
        report_audit,
        report_study,
        results_root,
        screen_models,
        sweep_models,
        to_frame,
        verify_pack,
        verify_study,
        view,
        world,
        write_starter,
    )
    from safebasin.errors import NotDecidable, SafebasinError, UsageError
    from safebasin.records import Estimate, Landscape, ModelRef, Prompt, Response, Score, Verdict
    from safebasin.study import Study

    __version__: str

__all__ = [
    "CertifiedStudy",
    "Compared",
    "Estimate",
    "Landscape",
    "Mapped",
    "MappedModels",
    "ModelRef",
    "NotDecidable",
    "Prompt",
    "Response",
    "SafebasinError",
    "Score",
    "Study",
    "Swept",
    "UsageError",
    "Verdict",
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


_HOMES = {
    "errors": ("NotDecidable", "SafebasinError", "UsageError"),
    "records": ("Estimate", "Landscape", "ModelRef", "Prompt", "Response", "Score", "Verdict"),
    "study": ("Study",),
}
"""Module → its public names; all others are of `api`."""
_MODULES = ("api", "audit", "finetune", *_HOMES)
"""Modules that are looked up by attribute; `audit` and `finetune` are packages that can be called (`verbs`)."""


def __getattr__(name: str) -> object:
    if name not in (*__all__, *_MODULES, "__version__"):
        raise AttributeError(f"module 'safebasin' has no attribute {name!r}")
    from importlib import import_module

    if name == "__version__":
        return import_module("importlib.metadata").version("safebasin")
    if name in _MODULES:
        return import_module(f"safebasin.{name}")
    home = next((module for module, names in _HOMES.items() if name in names), "api")
    return getattr(import_module(f"safebasin.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
