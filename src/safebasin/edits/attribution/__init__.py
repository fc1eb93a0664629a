"""Which weights carry refusal (Wei et al. 2024, arXiv 2402.05162): scores, sets, ranks, and what is done to them.

    matrices     the linear layers of a model, each weight as (out, in)
    calibration  two sets of rows as tokens: refusals, and answers to permitted requests
    scores       SNIP and Wanda: how much each weight matters to a set
    moments      second moments of what goes into each matrix, for the ranks
    sets         the weights that matter to safety and not to utility; overlap; random ones of the same number
    ranks        ActSVD: the output directions that matter to safety, apart from those of utility
    choosing     from both sets to what is chosen, and how far they overlap
    masks        which weights were chosen, as a file beside the model
    attribution  the edit: chosen weights are pruned, or put back to those of another model

Freezing them while a model is fine-tuned is a training defense: `safebasin.finetune.holding`.
"""
