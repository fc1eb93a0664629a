"""What a model says once its answer has begun as an attacker, or a benign user, has it begin. Not how it is trained so.

    records   what is found, as plain values
    measure   refusal by how many tokens of an answer are forced

The prefilling attack is one forced text for all requests (Vega et al. 2023, arXiv 2312.12321); the curve over tokens of
each request's own harmful answer is that of Qi et al. 2025 (arXiv 2406.05946, §2.3).
"""
