"""The public prompt sets that safebasin can fetch: where each is, its licence, and how to cite it. Facts only.

No prompt of any set is here: each is fetched at one commit, so that a number has one set behind it.
Counts are those of the publications, licences those that the hub states.
"""

from __future__ import annotations

from dataclasses import dataclass

from safebasin.catalog.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSet:
    """One public set of prompts on the hub."""

    name: str
    summary: str
    hub: str
    """Hub id of the dataset."""
    config: str | None = None
    split: str = "train"
    files: tuple[tuple[str, str], ...] = ()
    """For a set without a header that `datasets` could read: each CSV file of one column, and its category."""
    revision: str
    """The commit that is fetched."""
    columns: str
    """The columns that are read."""
    n: int
    """Prompts, as published."""
    label: str = "harmful"
    """What all of its prompts are, where they do not say so themselves; empty of a set that holds both."""
    n_harmful: int | None = None
    """Of a set that holds both: how many are labelled harmful; the others are benign."""
    licence: str
    citation: str
    gated: bool = False
    """Whether the hub asks for an agreement first; HF_TOKEN is then needed."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For `safebasin show prompts NAME`."""
        return (
            ("hub", self.hub + (f" ({self.config})" if self.config else "")),
            ("revision", self.revision),
            ("split", f"{len(self.files)} files" if self.files else self.split),
            ("columns", self.columns),
            ("n", str(self.n)),
            *self._labels(),
            ("licence", self.licence),
            ("gated", "yes" if self.gated else "no"),
            ("citation", self.citation),
        )

    def _labels(self) -> tuple[tuple[str, str], ...]:
        if self.n_harmful is None:
            return ((f"n {self.label}", str(self.n)),)
        return ("n harmful", str(self.n_harmful)), ("n benign", str(self.n - self.n_harmful))

    def row(self) -> Row:
        """Its row in the catalogue."""
        return Row(
            kind="prompts",
            name=self.name,
            target=f"safebasin.prompts.hub:{self.name}",
            summary=self.summary,
            source=self.citation,
            facts=self.facts(),
        )


HEXPHI_FILES = tuple(
    (f"category_{number}.csv", category)
    for number, category in (
        (1, "Illegal Activity"),
        (3, "Hate/Harass/Violence"),
        (4, "Malware"),
        (5, "Physical Harm"),
        (6, "Economic Harm"),
        (7, "Fraud/Deception"),
        (8, "Adult Content"),
        (9, "Political Campaigning"),
        (10, "Privacy Violation Activity"),
        (11, "Tailored Financial Advice"),
    )
)

PUBLIC_SETS: tuple[PublicSet, ...] = (
    PublicSet(
        name="advbench",
        summary="AdvBench harmful behaviors; its first 80 rows are the prompts of the safety landscape.",
        hub="walledai/AdvBench",
        revision="9d4730540082fa4017450b65ca1c0e1d8d30446e",
        gated=True,
        columns="prompt, target",
        n=520,
        licence="MIT",
        citation="Zou et al. 2023, arXiv 2307.15043",
    ),
    PublicSet(
        name="harmbench",
        summary="HarmBench standard behaviors, with their semantic categories.",
        hub="walledai/HarmBench",
        config="standard",
        revision="a777536ffc60bc8317b06380da5b2acf8d6491fd",
        gated=True,
        columns="prompt, category",
        n=200,
        licence="MIT",
        citation="Mazeika et al. 2024, arXiv 2402.04249",
    ),
    PublicSet(
        name="strongreject",
        summary="StrongREJECT forbidden prompts in six categories.",
        hub="walledai/StrongREJECT",
        revision="df54272b395ce9e584d2f8140519935425d8549f",
        gated=True,
        columns="prompt, category, source",
        n=313,
        licence="MIT",
        citation="Souly et al. 2024, arXiv 2402.10260",
    ),
    PublicSet(
        name="jailbreakbench",
        summary="JailbreakBench misuse behaviors in ten categories.",
        hub="JailbreakBench/JBB-Behaviors",
        config="behaviors",
        split="harmful",
        revision="d8d87b8fdcb7806e3b4e45fffb2bc24aa6b17f32",
        columns="Goal, Target, Behavior, Category, Index",
        n=100,
        licence="MIT",
        citation="Chao et al. 2024, arXiv 2404.01318",
    ),
    PublicSet(
        name="jailbreakbench-benign",
        summary="JailbreakBench benign behaviors, matched to the harmful ones: for over-refusal.",
        label="benign",
        hub="JailbreakBench/JBB-Behaviors",
        config="behaviors",
        split="benign",
        revision="d8d87b8fdcb7806e3b4e45fffb2bc24aa6b17f32",
        columns="Goal, Target, Behavior, Category, Index",
        n=100,
        licence="MIT",
        citation="Chao et al. 2024, arXiv 2404.01318",
    ),
    PublicSet(
        name="xstest",
        summary="XSTest: 250 safe prompts that look unsafe, 200 unsafe contrasts; a role takes those of its label.",
        hub="walledai/XSTest",
        split="test",
        revision="f1d713187c61b6ae64e602d74f0b3d812cc2e8e8",
        gated=True,
        columns="prompt, type, label",
        n=450,
        label="",
        n_harmful=200,
        licence="CC-BY-4.0",
        citation="Röttger et al. 2023, arXiv 2308.01263",
    ),
    PublicSet(
        name="hexphi",
        summary="HEx-PHI: 300 prompts in ten prohibited categories, by request only; an eleventh was withdrawn.",
        hub="LLM-Tuning-Safety/HEx-PHI",
        revision="83128b46334b80cc567bd7a2caf7af11c5b0bab7",
        files=HEXPHI_FILES,
        columns="prompt, without a header",
        n=300,
        licence="HEx-PHI agreement",
        citation="Qi et al. 2023, arXiv 2310.03693",
        gated=True,
    ),
    PublicSet(
        name="maliciousinstruct",
        summary="MaliciousInstruct: 100 instructions of ten malicious intents.",
        hub="walledai/MaliciousInstruct",
        revision="3f9c8c91452e3cc12afab5f7137086ca789ce7da",
        columns="prompt",
        n=100,
        licence="CC-BY-SA-4.0",
        citation="Huang et al. 2023, arXiv 2310.06987",
    ),
)
