"""Into other tools, through their own Python interfaces. Measures nothing; each tool is imported where it is used.

hf_results        what an audit found, as entries for the model hub and as a section of a model card
inspect_log       a study as a log of Inspect: a sample a response, the scores of every judge
inspect_provider  any point of a study as a model of Inspect, its prompts and judges as a task
point_model       the model at one point of a study, ready to answer
trackers          trackio, wandb, TensorBoard and MLflow behind one protocol
tracking          what a tracker is told of a run
"""
