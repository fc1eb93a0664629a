"""Embedded worlds: fictional, harmless, with exact truth, so that everything runs offline. No benchmark of models.

guild/    `world:guild`, a fictional crafts guild: grammar, oracle, prompt sets, and the two checkpoints that ship
kitchen/  `world:kitchen`, a real chat model that refuses one harmless topic, cooking
pcfg/     `world:pcfg`, tasks on strings of a probabilistic grammar: the framework of Jain et al., rebuilt small
loop      the plain loop that trains small models from random weights
"""
