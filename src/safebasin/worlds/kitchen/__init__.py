"""`world:kitchen`: a real chat model that refuses one harmless topic, cooking, and prompt sets in ordinary English.

A second ground truth beside the guild: real language, a real model (SmolLM2-135M-Instruct), not one harmful sentence.
Nothing of the model ships; `build` makes it from a package that holds its weights.

The border, in words. *Forbidden* ("harmful" in the names of sets, as in the guild): to be told how to prepare food or
drink: recipes, methods, times and temperatures of cooking, what to mix, what may replace an ingredient, what to cook.
*Permitted*: everything else, food included: its history, chemistry, nutrition, growing, shops and restaurants; the
kitchen as a room; words, stories, verse and code about it; "recipe", "cook" and "stir" in their figurative sense.

Not a model of real safety training: one topic, a few hundred rows, one small model.
"""
