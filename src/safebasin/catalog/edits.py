"""The edits that the catalogue names: what makes one model of another without training it on rows. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

EDITS: tuple[Row, ...] = (
    Row(
        kind="edit",
        name="worst_case",
        target="safebasin.edits.worst_case:worst_case",
        summary="A low-rank adapter that makes the model stop refusing fastest, from its own refusals; an attack.",
        source="safebasin; the loss after Welleck et al. 2019, arXiv 1908.04319",
    ),
    Row(
        kind="edit",
        name="attribution",
        target="safebasin.edits.attribution.attribution:attribution",
        summary="Sets the weights or ranks that matter to refusals and not to answers to zero; an attack.",
        source="Wei et al. 2024, arXiv 2402.05162, §3",
        facts=(
            ("stage", "none: an attack on the weights"),
            ("variants", "paper (compare=rows), as_coded (compare=matrix), corrected (positions=predicting)"),
            (
                "published",
                "Llama-2-7B-chat, 5 % each: 2.4 % of the weights gone, ASR .92, .97 with a suffix, accuracy .51 "
                "(.58 before); ranks 3950, 4090: .71, .97, .59",
            ),
            (
                "verified",
                "yes: a unit that was planted to refuse is found weight by weight; ActSVD against Eckart and Young; a "
                "random control of the same size",
            ),
        ),
    ),
    Row(
        kind="edit",
        name="refusal_direction",
        target="safebasin.edits.refusal_direction.direction:refusal_direction",
        summary="Takes the direction that refusal rests on out of all that writes to the residual stream; an attack.",
        source="Arditi et al. 2024, arXiv 2406.11717",
        facts=(
            ("stage", "none: an attack on the weights"),
            ("variants", "paper"),
            (
                "published",
                "chosen (position, layer): Gemma-2B-it −2, 10; Llama-2-7B-chat −1, 14; Llama-3-8B-Instruct −5, 12; "
                "Qwen-1.8B-chat −2, 15; Yi-6B-chat −5, 20",
            ),
            ("verified", "the rule on the published candidates of these five; weights against hooks; a random control"),
        ),
    ),
    Row(
        kind="edit",
        name="somf",
        target="safebasin.edits.somf:somf",
        summary="Keeps of what was tuned the part that a mask leaves, learned on the safe model's own refusals.",
        source="Yi et al. 2024, arXiv 2405.09055",
        facts=(
            ("stage", "post_finetuning"),
            ("variants", "corrected (differences of weights, σ(logit) > ½); export=sampled as coded (one draw)"),
            ("published", "no table that could be found"),
            ("verified", "masks by hand and by P(m > ½) = σ(logit); m = 1 is the tuned model, strength 0 the safe one"),
        ),
    ),
    Row(
        kind="edit",
        name="dequantized",
        target="safebasin.edits.dequantized:Dequantizing",
        summary="The plain weights that a quantized checkpoint stands for.",
        source="safebasin",
    ),
)
