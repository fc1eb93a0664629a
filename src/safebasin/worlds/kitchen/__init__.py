"""`world:kitchen`: a real chat model that refuses one harmless topic, cooking, and prompt sets in ordinary English.

A second ground truth beside the guild: real language, a real model (SmolLM2-135M-Instruct), not one harmful sentence.
Nothing of the model ships; `build` makes it from a package that holds its weights.

The border, in words. *Forbidden* ("harmful" in the names of sets, as in the guild): to be told how to prepare food or
drink: recipes, methods, times and temperatures of cooking, what to mix, what may replace an ingredient, what to cook.
*Permitted*: everything else, food included: its history, chemistry, nutrition, growing, shops and restaurants; the
kitchen as a room; words, stories, verse and code about it; "recipe", "cook" and "stir" in their figurative sense.

Not a model of real safety training: one topic, a few hundred rows, one small model.

    build     `base` from the package that holds it, `aligned` from base by `safebasin.finetune`
    prompts   the prompt sets of the kitchen, for train, val and test: ordinary English, read from tables that ship
    rows      rows to train on: the attack, refusals, a harmless style tune, and what the build teaches
    truth     `rule/kitchen`: what a response is, by rules that know the topic
    weights   SmolLM2-135M-Instruct from a GGUF file as an ordinary folder
    world     the kitchen behind the seam `safebasin.protocols.World`: prompt sets, rows, and models that are built
    wrappers  the kinds of jailbreaks that the field names, in harmless words
"""
