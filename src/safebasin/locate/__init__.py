"""Which layers tell a harmful request from a benign one: curves by layer, a band by rule, and what scaling it does.

Li et al. 2025, arXiv 2408.17003, §3.2. Freezing the band is `safebasin.finetune.freezing`.

    records   what is found, as plain values
    role_prompts  prompts by role: where they come from, and that none is two things
    states    the hidden states of the last position of a prompt, after each decoder block
    curves    cosine and angle over random pairs, with intervals
    bands     where a band starts and ends, by two rules
    scaling   over-refusal with candidate bands made louder, and what that says of the bounds
    layers    all of it, for one model
"""
