"""The refusal direction (Arditi et al. 2024, arXiv 2406.11717), found, chosen by the published rule, and taken out.

asking      prompts as tokens, those that are refused and those that are answered; how much a model refuses
residual    the residual stream at the inputs of the decoder blocks: read, moved, and kept free of a direction
selecting   the rule that chooses among candidates by layer and position; pure
finding     candidates and their scores
writing     which weights write to the residual stream, and the same without a direction
direction   the edit
"""
