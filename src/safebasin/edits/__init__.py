"""What makes one model of another: an adapter or a checkpoint with its record. Not training on rows (`finetune`).

    worst_case   the low-rank change that makes a model stop refusing fastest, an attack
    ascent       its objective and loop
    refusals     the model's own refusals, which it starts from
    point        any point of a landscape as a checkpoint
    dequantized  the plain weights that a quantized checkpoint stands for
    defended     a tuned model after weight defenses

Record, model card and the mark of what is unsafe: `safebasin.models.writing`, for all that writes a model.
"""
