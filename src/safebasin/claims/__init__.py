"""The claims of the papers, checked on the embedded world: committed thresholds, measured answers.

asking       models tuned for a claim, asked the prompts of the world: arrays of what the oracle counts as answered
attribution  measures of Wei et al.: the model without the weights that carry refusal, or held by them
check        the claims of a paper on a subject, one after the other, and what became of each
claim        a claim of a paper as a small file: hypothesis, statistic, and what its three answers take
curves       from arrays of verdicts along random directions to estimates
directions   measures of Arditi et al.: models without their refusal direction, or a random one
finetuning   measures of Qi et al.: models after the attacks, judged by the oracle
freezing     measures of Li et al.: ten harmful examples while a band of layers is frozen
fusing       measures about defenses of weights: Safe LoRA, RESTA, SOMF after an attack, their controls and cost
lab          studies of the embedded world in one folder, resumed when they exist, and tuned models
landscapes   measures about random directions: basin, rim, capability, system prompts, jailbreaks
late         measures of DeRTa: refusal behind a forced part of an answer, and over-refusal
mechanisms   measures of Jain et al.: three kinds of safety training of one base model, and relearning
mixtures     measures of Peng et al. about fine-tuning: harmful examples alone, and mixed with safe ones
orders       the measure about VISAGE: whether it orders models by how easily fine-tuning breaks them
seeds        means and intervals over models that were tuned from several seeds
steering     measures of SCANS: models that refuse too much, asked with and without steering
subject      what claims are measured on: a model with prompt sets, rows, and a judge that tells the truth
triggers     measures of Wang et al.: refusals under a secret beside harmful examples
tuning       models tuned for claims with the attacks, settings and trainer of `safebasin finetune`
"""
