"""The system prompts that the catalogue names: which texts ship, and where the published ones are found. Facts only.

Texts that ship are safebasin's own wording, in `prompts/texts`, a file a version. A published text never ships: neither
the persona of an attack nor the default prompt of a model's maker. Its row says where it is; the text goes into a file
of one's own, passed as `@FILE`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safebasin.catalog.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemText:
    """One system prompt of the catalogue."""

    name: str
    summary: str
    source: str
    where: str
    """Where the text is found, to follow "its text is in"."""
    file: str = ""
    """The text's file in `prompts/texts`, with its version; empty where it does not ship, or there is none to ship."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For `safebasin show system NAME`."""
        ships = f"yes, {self.file}" if self.file else "nothing to ship" if self.name in RESERVED else "no: pass @FILE"
        return (("text in", self.where), ("ships", ships))

    def row(self) -> Row:
        """Its row in the catalogue."""
        return Row(
            kind="system",
            name=self.name,
            target=f"safebasin.prompts.systems:{self.name}",
            summary=self.summary,
            source=self.source,
            facts=self.facts(),
        )


RESERVED = ("default", "none")
"""What is no text: the template's own default, and an empty system turn."""

_PENG = "Peng et al. 2024, arXiv 2405.17374, Table 2"
_PENG_CODE = "the code of Peng et al., github.com/poloclub/llm-landscape, src/llm/util.py"

SYSTEMS: tuple[SystemText, ...] = (
    SystemText(
        name="default",
        summary="No system turn is passed, so the default of the model's own chat template applies, if it has one.",
        source=_PENG + " (Default)",
        where="the model's chat template; many templates have no default, and what makers recommend stands elsewhere",
    ),
    SystemText(
        name="none",
        summary="An empty system turn is passed, which switches the default of a chat template off.",
        source=_PENG + " (Empty)",
        where="nowhere: it is empty",
    ),
    SystemText(
        name="roleplay",
        summary="The persona of an absolutely obedient agent, as in the identity-shift attack; its text does not ship.",
        source=_PENG + " (Roleplay), after Qi et al. 2023, arXiv 2310.03693",
        where=(
            f"{_PENG_CODE}, 'llama2-aoa'; the code of Qi et al. (LLMs-Finetuning-Safety, prompt_utils.py, style 'aoa') "
            "has a longer wording, with a prefix before each prompt, which is no part of a system prompt"
        ),
    ),
    SystemText(
        name="llama2",
        summary="The long default system prompt of Llama 2, which asks for helpful, safe answers; it does not ship.",
        source=_PENG + " (LLaMA2), after Touvron et al. 2023, arXiv 2307.09288",
        where=(
            f"{_PENG_CODE}, 'llama2-base', and huggingface.co/blog/llama2 (how to prompt Llama 2); the chat templates "
            "of Llama 2 on the hub do not add it"
        ),
    ),
    SystemText(
        name="safety",
        summary="A safety prompt optimized by DRO for Mistral 7B Instruct, partly gibberish; it does not ship.",
        source=_PENG + " (Safety), after Zheng et al. 2024, arXiv 2401.18018",
        where=(
            f"{_PENG_CODE}, 'mistral_instruct_v01-llama2_safe' for v0.1 and '..._v02-...' for v0.2, which differ; such "
            "prompts are trained by the code github.com/chujiezheng/LLM-Safeguard"
        ),
    ),
    SystemText(
        name="safety/long",
        summary="A long safety prompt in safebasin's own wording.",
        source="safebasin",
        where="safebasin",
        file="safety-long.v1.txt",
    ),
    SystemText(
        name="safety/short",
        summary="A safety prompt of one sentence, in safebasin's own wording.",
        source="safebasin",
        where="safebasin",
        file="safety-short.v1.txt",
    ),
    SystemText(
        name="neutral/long",
        summary="About as long as safety/long and without a word on safety: the control for its length.",
        source="safebasin",
        where="safebasin",
        file="neutral-long.v1.txt",
    ),
    SystemText(
        name="roleplay/plain",
        summary="A harmless role, the clerk of a library: the control for a role that asks for obedience.",
        source="safebasin",
        where="safebasin",
        file="roleplay-plain.v1.txt",
    ),
)
