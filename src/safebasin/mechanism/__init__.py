"""What safety training did to a model, by mechanism: where its change lies, what it answers to, how requests part.

The measures of Jain et al. 2024, arXiv 2407.10264, on any pair of checkpoints of one architecture.

    records      what is found, as plain values
    inputs       what the matrices of a module are given at the last position of a prompt
    sensitivity  how steeply the largest logit rises with the prompt
    measure      all of it, for one pair of models

Definitions: `safebasin.stats.subspaces`. States after each layer: `safebasin.locate.states`.
"""
