"""The judges that the catalogue names: those that only read, and those that ask another model. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

_PENG = "Peng et al. 2024, arXiv 2405.17374"
_QI = "Qi et al. 2023, arXiv 2310.03693"

_REFUSAL, _OUTCOME, _HARM, _TRUTH = (("measures", what) for what in ("refusal", "outcome", "harm", "truth"))
_KEYWORDS = ("by", "keywords")
_EXACT = ("exact", "yes")

JUDGES: tuple[Row, ...] = (
    Row(
        kind="judge",
        name="keyword/peng2024",
        target="safebasin.judges.keyword:peng2024",
        summary="29 refusal phrases, anywhere, case-sensitive: the published ASR of the safety landscape.",
        source=_PENG + ", repository",
        facts=(_REFUSAL, _KEYWORDS),
    ),
    Row(
        kind="judge",
        name="keyword/qi2023",
        target="safebasin.judges.keyword:qi2023",
        summary="29 refusal phrases, anywhere, case-sensitive, as in the code; the 49 of the paper are not in it.",
        source=_QI + ", repository",
        facts=(_REFUSAL, _KEYWORDS),
    ),
    Row(
        kind="judge",
        name="keyword/zou2023",
        target="safebasin.judges.keyword:zou2023",
        summary="49 refusal phrases, anywhere, case-sensitive: the longer list of the field.",
        source="Zou et al. 2023, arXiv 2307.15043, repository",
        facts=(_REFUSAL, _KEYWORDS),
    ),
    Row(
        kind="judge",
        name="refusal",
        target="safebasin.judges.refusal:refusal",
        summary="Whether the opening of a response refuses, by rule, in some forty languages; sees wording alone.",
        source="safebasin",
        facts=(_REFUSAL,),
    ),
    Row(
        kind="judge",
        name="outcome",
        target="safebasin.judges.outcome:outcome",
        summary="Refusal, complied or incoherent: the rule of `refusal`, and a test of language made for the model.",
        source="safebasin",
        facts=(_OUTCOME,),
    ),
    Row(
        kind="judge",
        name="oracle",
        target="safebasin.worlds.guild.oracle:OracleJudge",
        summary="The exact truth about responses in the embedded world; never an input of a judge it is compared with.",
        source="safebasin",
        facts=(_TRUTH, _EXACT),
    ),
    Row(
        kind="judge",
        name="oracle/pcfg",
        target="safebasin.worlds.pcfg.oracle:GrammarJudge",
        summary="The exact truth about responses in world:pcfg, by its grammar.",
        source="safebasin",
        facts=(_TRUTH, _EXACT),
    ),
    Row(
        kind="judge",
        name="rule/kitchen",
        target="safebasin.worlds.kitchen.truth:KitchenJudge",
        summary="Rules that know world:kitchen: declined, instructions for cooking, another answer, or no language.",
        source="safebasin",
        facts=(_TRUTH,),
    ),
)

ASKED_JUDGES: tuple[Row, ...] = (
    Row(
        kind="judge",
        name="rubric/qi2023",
        target="safebasin.judges.rubric:qi2023",
        summary="A chat model grades 1 to 5 against a usage policy; success is 5, the published harmfulness rate.",
        source="Qi et al. 2023, arXiv 2310.03693, appendix",
        facts=(_HARM, ("grades", "1 to 5")),
    ),
    Row(
        kind="judge",
        name="rubric/strongreject",
        target="safebasin.judges.rubric:strongreject",
        summary="A chat model grades refusal, convincing and specific; for prompts that should be declined.",
        source="Souly et al. 2024, arXiv 2402.10260",
        facts=(_HARM, ("grades", "0 to 1")),
    ),
    Row(
        kind="judge",
        name="guard/llama-guard-3",
        target="safebasin.judges.guard.llama:llama_guard_3",
        summary="Llama Guard 3: safe or unsafe, with hazard categories.",
        source="model card of meta-llama/Llama-Guard-3-8B",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/llama-guard-4",
        target="safebasin.judges.guard.llama:llama_guard_4",
        summary="Llama Guard 4, text only: safe or unsafe, with hazard categories.",
        source="model card of meta-llama/Llama-Guard-4-12B",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/wildguard",
        target="safebasin.judges.guard.wildguard:wildguard",
        summary="WildGuard: whether a response is harmful, and whether it refuses.",
        source="Han et al. 2024, arXiv 2406.18495; model card of allenai/wildguard",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/qwen3guard",
        target="safebasin.judges.guard.qwen:qwen3guard",
        summary="Qwen3Guard-Gen: safe, controversial or unsafe, and whether a response refuses.",
        source="arXiv 2510.14276; README of QwenLM/Qwen3Guard",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/shieldgemma",
        target="safebasin.judges.guard.shieldgemma:shieldgemma",
        summary="ShieldGemma: whether a response violates one of four guidelines.",
        source="Zeng et al. 2024, arXiv 2407.21772; model card of google/shieldgemma-2b",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/harmbench",
        target="safebasin.judges.guard.harmbench:harmbench",
        summary="The classifier of HarmBench: whether a response is an instance of the behavior that is asked for.",
        source="Mazeika et al. 2024, arXiv 2402.04249; model card of cais/HarmBench-Llama-2-13b-cls",
        facts=(_HARM,),
    ),
    Row(
        kind="judge",
        name="guard/harmbench-mistral",
        target="safebasin.judges.guard.harmbench:harmbench_mistral",
        summary="The validation classifier of HarmBench, a smaller model than `guard/harmbench`.",
        source="Mazeika et al. 2024, arXiv 2402.04249; model card of cais/HarmBench-Mistral-7b-val-cls",
        facts=(_HARM,),
    ),
)
