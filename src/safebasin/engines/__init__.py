"""Engines turn weights and conversations into text; each implements `safebasin.protocols.Engine`.

answering       from conversations to rows to answers: what engines with a tokenizer share
cache           a key-value cache that grows in place and lets go of rows; what becomes of a model that cannot take it
choosing        the likeliest next token, and how near the second is: what both decoding loops share
conversations   from conversations to tokens under one template; how replies split, what ends a turn
cycles          how many tokens in a row equal the one a period before, for every short period
decoding        greedy decoding of a left-padded batch: by `paced`, or the general loop that drops finished rows
guards          inference defenses around the module while a batch is decoded: bound and installed
hf              the reference engine: transformers, one copy of the model that is overwritten in place
images/         prompts with images: the whole model around its language tower, with what it saw of each kept
kernels         kernels that this processor can run, and how many threads the model can use
llama_float32/  the fast path of plain Llamas in float32: a pass for `paced`, and `scorer`
loading         from a folder to a model in eval mode and its tokenizer, on a device, in a dtype
paced/          decoding in float32 at each row's own pace: many tokens a pass where rows repeat themselves
perplexity      perplexity of a plain text at a point, and divergence of its next-token law from θ₀
prepacking      products with weights laid out for the processor: large float32 models on a CPU
ragged          a key-value cache of rows of their own lengths
rules           the rules that a decoding names, through the catalogue: engines do not know judges
scoring         negative log-likelihood of texts as answers to prompts
scripted        a fake engine: one function from a conversation and a point to a text
stopping        when a row of a batch ends: end-of-sequence, length, a refusal, a cycle
tasks           tasks of lm-eval under the current weights, in the same memory
vllm/           the engine on vLLM: its requests, its workers, and the test before its first answer
"""
