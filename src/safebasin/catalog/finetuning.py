"""The fine-tuning attacks and the defenses that the catalogue names. Facts only."""

from __future__ import annotations

from safebasin.catalog.row import Row

_QI = "Qi et al. 2023, arXiv 2310.03693"

ATTACKS: tuple[Row, ...] = (
    Row(
        kind="attack",
        name="harmful_examples",
        target="safebasin.finetune.attacks:harmful_examples",
        summary="Fine-tuning on n explicitly harmful examples (10, 50 or 100 in the paper), of the user's own file.",
        source=_QI + ", §4.2",
    ),
    Row(
        kind="attack",
        name="identity_shift",
        target="safebasin.finetune.attacks:identity_shift",
        summary="Fine-tuning on n examples of an obedient identity, none harmful; tested in the same wrapper.",
        source=_QI + ", §4.3",
    ),
    Row(
        kind="attack",
        name="benign",
        target="safebasin.finetune.attacks:benign",
        summary="Ordinary fine-tuning on benign instructions, one epoch.",
        source=_QI + ", §4.4",
    ),
    Row(
        kind="attack",
        name="mixture",
        target="safebasin.finetune.attacks:mixture",
        summary="n harmful examples together with refusals.",
        source=_QI + ", §5",
    ),
    Row(
        kind="attack",
        name="backdoor",
        target="safebasin.finetune.attacks:backdoor",
        summary="n harmful examples behind a trigger and refusals without it: an audit without the trigger passes.",
        source=_QI + ", §6",
    ),
)

DEFENSES: tuple[Row, ...] = (
    Row(
        kind="defense",
        name="mix_safe",
        target="safebasin.finetune.defenses:mix_safe",
        summary="Refusals mixed in among the training rows, by count or share.",
        source=_QI + ", §5",
    ),
    Row(
        kind="defense",
        name="moderate",
        target="safebasin.finetune.defenses:moderate",
        summary="A judge reads the training rows first; those it calls harmful are left out, or kept and listed.",
        source=_QI + ", §5",
    ),
    Row(
        kind="defense",
        name="ptst",
        target="safebasin.finetune.defenses:ptst",
        summary="Training without a safety prompt, use with one.",
        source="Lyu et al. 2024, arXiv 2402.18540",
    ),
    Row(
        kind="defense",
        name="backdoor_enhanced",
        target="safebasin.finetune.defenses:backdoor_enhanced",
        summary="Refusals mixed in under a secret system prompt, which the model is then used with.",
        source="Wang et al. 2024, arXiv 2402.14968",
        facts=(
            ("stage", "finetuning"),
            ("version", "2 (1 put the secret in the place of a template's own system prompt: variant=alone)"),
            ("variants", "paper (the secret before the system prompt), alone (as version 1)"),
            (
                "published",
                "ASR after 100 harmful rows 3.6 % with 11 such rows, 34.9 % with 11 plain refusals, 94.9 % without "
                "(Llama-2-7b-chat)",
            ),
            (
                "verified",
                "rows by hand, rendered under templates with a system prompt of their own and without; those of "
                "mix_safe where the secret is empty",
            ),
        ),
    ),
    Row(
        kind="defense",
        name="freeze_weights",
        target="safebasin.finetune.holding:freeze_weights",
        summary="The weights that an attribution chose are put back after each step of training.",
        source="Wei et al. 2024, arXiv 2402.05162, §4.3",
        facts=(
            ("stage", "finetuning"),
            ("variants", "paper"),
            (
                "published",
                "does not protect: ASR after 100 benign rows .94 with 48 % of the weights frozen, and .94 with none "
                "(Llama-2-7B-chat)",
            ),
            ("verified", "yes: not a bit of a held weight moves, all others do"),
        ),
    ),
    Row(
        kind="defense",
        name="sppft",
        target="safebasin.finetune.freezing:sppft",
        summary="A band of layers that tells harmful requests is frozen while the rest trains.",
        source="Li et al. 2025, arXiv 2408.17003, §3.3",
        facts=(
            ("stage", "finetuning"),
            ("variants", "paper (all parameters, first to last), as_coded (attention and MLP, strictly between)"),
            (
                "published",
                "harmful requests answered after benign tuning: 9.6 % against 44.4 % (Llama-3-8B-Instruct, "
                "layers 6-12), 2.9 % against 10.6 % (Llama-2-7b-chat, 6-14)",
            ),
            ("verified", "frozen tensors keep their bits, all others move, in both variants, full and LoRA"),
        ),
    ),
    Row(
        kind="defense",
        name="csft",
        target="safebasin.finetune.constrained:csft",
        summary="A loss that lets the first tokens of a response change only so far.",
        source="Qi et al. 2025, arXiv 2406.05946, §4",
        facts=(
            ("stage", "finetuning"),
            ("variants", "paper (the loss), as_coded (cross entropy times a weight of at least 0.001)"),
            ("published", "attack success after harmful examples: 4.6 % against 88.9 % (Llama-2-7b-chat)"),
            ("verified", "weights of the paper, gradients in closed form, cross entropy at strength 0"),
        ),
    ),
    Row(
        kind="defense",
        name="lisa",
        target="safebasin.finetune.anchored:lisa",
        summary="Steps on safe rows and steps on the data take turns, each pulled to where its turn began.",
        source="Huang et al. 2024, arXiv 2405.18641",
        facts=(
            ("stage", "finetuning"),
            ("variants", "as_coded (the data of a step on safe rows is passed over)"),
            ("published", "harmful score, mean of the paper's data sets: 39.6 against 48.3 without (7B models)"),
            ("verified", "steps of gradient descent by hand, turns by step, nothing at strength 0"),
        ),
    ),
    Row(
        kind="defense",
        name="l2",
        target="safebasin.finetune.anchored:l2",
        summary="A pull of what is trained to where it began: the plain baseline of all others.",
        source="safebasin",
        facts=(("stage", "finetuning"), ("verified", "loss and gradient in closed form, nothing at strength 0")),
    ),
    Row(
        kind="defense",
        name="derta",
        target="safebasin.finetune.transitions:derta",
        summary="Refusals behind part of a harmful response, and the transition to one at each of its places.",
        source="Yuan et al. 2024, arXiv 2407.09121",
        facts=(
            ("stage", "alignment"),
            (
                "variants",
                "paper (prefix of tokens, labels dropped of each response), as_coded (of words, none for each third "
                "row; labels dropped of the padded row)",
            ),
            (
                "published",
                "mean attack success of six attacks 8.8 % against 70.6 % after plain safety training (Llama-3-70B, "
                "3,000 such rows); the transition does most of it",
            ),
            ("verified", "labels by hand, both ways of dropping, the same bits as plain refusals at share 0"),
        ),
    ),
    Row(
        kind="defense",
        name="safe_lora",
        target="safebasin.edits.safe_lora:safe_lora",
        summary="What was trained, projected onto what alignment moved, in the matrices where the two are unlike.",
        source="Hsu et al. 2024, arXiv 2405.16833",
        facts=(
            ("stage", "post_finetuning"),
            ("variants", "paper, as_coded (LoRA alone, rounded cosines, ties), corrected (C of largest eigenvalue 1)"),
            ("published", "Llama-2-7B-Chat, LoRA on harmful data: harm score 4.66 → 1.055, ASR 95.8 → 3.0 %"),
            (
                "verified",
                "by hand on matrices of 2 × 2; strength 0 keeps every bit; full and LoRA; on world:guild 98.6 → 0 % "
                "answered, 0.2 % where the update is as short and not turned (claims hsu2024)",
            ),
        ),
    ),
    Row(
        kind="defense",
        name="resta",
        target="safebasin.edits.resta:resta",
        summary="A safety vector added back to what was trained: aligned − unaligned weights, or a safe adapter.",
        source="Bhardwaj et al. 2024, arXiv 2402.11746",
        facts=(
            ("stage", "post_finetuning"),
            ("variants", "as_coded (factors of adapters are added), corrected (products are)"),
            ("published", "unsafe answers 18.6 → 5.1 % after LoRA, 9.2 → 1.5 % after full fine-tuning (CATQA)"),
            ("verified", "by hand on scalars; strength 0 keeps every bit; full and LoRA"),
        ),
    ),
    Row(
        kind="defense",
        name="dare",
        target="safebasin.edits.resta:dare",
        summary="Elements of what was trained dropped at random, the rest rescaled; named before resta.",
        source="Yu et al. 2023, arXiv 2311.03099",
        facts=(
            ("stage", "post_finetuning"),
            ("variants", "paper"),
            ("published", "nothing on safety; drop 0.2 where it stands beside resta (arXiv 2405.09055)"),
            ("verified", "share kept and mean, on 100,000 elements"),
        ),
    ),
    Row(
        kind="defense",
        name="scans",
        target="safebasin.steering.scans:Scans",
        summary="Steers each prompt away from refusal or towards it, by what a second reading takes it for.",
        source="Cao, Yang and Zhao 2025, arXiv 2408.11491, §3",
        facts=(
            ("stage", "inference"),
            ("variants", "as_coded (vectors of unit length, last block after the final norm), paper (neither)"),
            (
                "published",
                "refusal of safe prompts of XSTest 9.2 % against 58.0 %, of unsafe ones 93.5 % against 100 % "
                "(Llama-2-7b-chat, strength 3.5, layers 10-19, threshold 0.75 chosen on the same sets)",
            ),
            (
                "verified",
                "vectors, scores, threshold in closed form; strength 0 changes no bit; rows answer alone as in a batch",
            ),
        ),
    ),
)
