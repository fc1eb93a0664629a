"""Weight-space arithmetic: θ = θ₀ + Σ αᵢ·d̂ᵢ from tensors that are never modified. Knows nothing of text.

accelerated      noise and sums by Triton's kernels where they were tried, else by torch
adapter_copies   an adapter times α as an adapter of its own, for what serves adapters beside the weights
adapter_kinds    kinds of adapters that are a ΔW on a model's own weights, and what to do with others
adapter_targets  whether the file of an adapter holds all that its configuration promises
adapters         LoRA adapters as weight differences: ΔW = scaling·B·A per target, never A and B apart
base             θ₀: a copy in host memory, or memory-mapped files
blocks           the parameters of block 7, its attention, its MLP: names only
checkpoints      directions from files: to a checkpoint, between two, ΔW of an adapter
directions       random directions, and which class serves which kind
distance         how far a direction moves a model, in all and block by block, relative to the weights
kept             rows of directions that were made, up to a budget
layout           names, shapes and ties of a module's parameters, and what directions leave alone
noise            Gaussian noise that is the same everywhere, addressable inside a tensor
philox           the same noise in torch's integers, on any device
planes           the second of two directions, made orthogonal to the first
projection       where other weights lie, seen from a line or a plane: coordinates on its axes, and what is off it
quantize         θ_q − θ₀ of rounding to nearest, as a direction
resident         θ₀ and d̂ on an accelerator, as far as they fit
scaling          a factor on some weights, as a direction
selection        which tensors a direction moves, and inner products over them in float64, block by block
stream           the weights at a point, as a stream of row blocks or whole tensors, or written into a module
sums             θ₀ + Σ αᵢ·d̂ᵢ in pieces that stay in the cache
target_text      what the target of a direction says, and which it is exactly
trajectory       the checkpoints of a training run, as differences from θ₀
triton_kernels   Philox4x64-10 with its table, and the sum of a point, in one pass each on CUDA
"""
