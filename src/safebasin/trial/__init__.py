"""Defenses beside each other: one attack under each of them, the same prompts, paired with no defense.

arms     which defense works where, and the model that each leaves behind
curves   attack success over growing budgets, and how a model is asked for it
pairing  arms on the same prompts: differences from no defense, and which pairs can be told apart
records  what a comparison of defenses found, as frozen records that become `defenses.json` one to one
search   which of the budgets are asked: bisection, a check of what it assumes, and what the interval rests on
steps    steps of the attack as the budget, of one training or of several seeds
stress   the stress test: attack success over growing budgets, and the smallest that breaks a defense
run      the attack under each defense, every model asked the same, `defenses.json`, figure and page
"""
