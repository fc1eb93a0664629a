"""`world:pcfg`, the synthetic framework of Jain et al. 2024 (arXiv 2407.10264), rebuilt small from its description.

A prompt is two tasks and a text of a probabilistic context-free grammar; whether it is unsafe depends on tasks and text
together. Five models are built from a seed: base, three kinds of safety training, a control. Nothing of the paper's
code or models is in it.

    build      trains the models: base from random weights, the others from base by `safebasin.finetune`
    grammar    the grammar: drawing strings, their probabilities, which branch a string is of
    methods    the losses of DPO and unlearning
    oracle     `oracle/pcfg`: the exact truth about a response
    outcomes   what a model does with prompts, by the oracle and letter by letter
    prompts    the prompt sets, the paper's jailbreaks among them
    rows       requests drawn by a seed, and rows to train on
    tasks      what a task does to a text, and when it is unsafe
    tokenizer  a token for each word, and the chat template
    world      behind the seam `safebasin.protocols.World`
"""
