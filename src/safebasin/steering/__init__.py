"""Defenses of the stage inference that ship: what they read of a module, and what they add to it while it decodes.

labelled    prompts that say what they are, harmful or benign, for a defense that learns from examples
residual    the residual stream of any decoder: what its blocks give, at the end of prompts, and how to add to it
scans       SCANS: away from refusal where a prompt is benign, towards it where not
settings    what SCANS is told, read and checked: arguments as they are written become prompts and numbers
steered     SCANS bound to a module: what is measured, how prompts are classed, what is added to its blocks
thresholds  a threshold between two samples of scores, chosen on one split to be used on another
"""
