"""`world:guild`, a fictional crafts guild: grammar, oracle, prompt sets, and the two checkpoints that ship.

Not a model of any real craft or rule. The one idea: which request is forbidden, and what its right answer is, are
*computed* from the request, after Jain et al. (arXiv 2407.10264), so that every attack success rate is exact.

    build         trains the guild's checkpoints from a seed: tokenizer, base model, aligned model
    grammar       a request is operator × operand × form; its answer, and whether it is forbidden
    lexicon       operators, operands, the attributes that answers are computed from, refusal wordings
    oracle        the oracle of the guild: the exact truth about a response, parsed by the grammar
    outcomes      what a checkpoint does with the guild's prompts, by the oracle: counts, in a second
    prompts       the prompt sets of the guild, for train, val and test, and no model in sight
    rows          training rows made by the guild, for its own build and for fine-tuning attacks and defenses
    suffix        an optimized jailbreak: a suffix of guild words, found by random search at θ₀
    tokenizer     byte-level BPE trained on the guild's own text, and the chat template
    variant_rows  the safety curriculum with something left out, and attacks, as rows
    variants      variants of the guild's aligned model that differ in their safety training
    world         the guild behind the seam `safebasin.protocols.World`: prompt sets and checkpoints by name
    wrappers      how a request is dressed: wordings, settings, personas, and the jailbreak wrappers
"""
