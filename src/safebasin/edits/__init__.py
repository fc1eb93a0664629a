"""What makes one model of another: an adapter or a checkpoint with its record. Not training on rows (`finetune`).

    worst_case          the low-rank change that makes a model stop refusing fastest, an attack
    ascent              its objective and loop
    refusals            the model's own refusals, which it starts from
    attribution/        the weights or ranks that carry refusal, taken out: an attack
    refusal_direction/  the direction that refusal rests on, taken out of the weights: an attack
    point               any point of a landscape as a checkpoint
    record              the record and the mark of whatever is made here: one form, one writer
    dequantized         the plain weights that a quantized checkpoint stands for
    defended            a tuned model after weight defenses
    safe_lora           what was trained, projected onto what alignment moved: a weight defense
    resta               a safety vector added back, and elements of a move dropped: weight defenses
    somf                what a mask on a tuning leaves of it, learned on safety
    masks               its masks
    moves               what weight defenses share

The seam is `safebasin.protocols.Edit`, the rows `safebasin.catalog.edits`.
"""
