"""An engine on vLLM, whose workers make the weights of every point anew from its recipe.

adapters      which adapters are served beside the weights, each point along one a copy of it
engine        the engine: what is asked of it, and which weights and adapters that takes; in this process
facts         what the engine says of itself
needs         the version, the model and the device that it needs; what is set before vLLM is loaded
plugin        what every process of vLLM calls: a name for the registry of weight-transfer engines, nothing else
requests      rows that are decoded until they end, and texts that are scored
roads         how a worker is told of a point: vLLM's weight update, or a reload by methods of ours
selftest      what is compared with the reference engine before the first answer is believed
starting      how vLLM is started, and which errors on the way are its own
transfer      inside a worker of vLLM: the weight-transfer engine, to which only a recipe is sent
worker        inside a worker of vLLM: θ₀, the weights of a point, checksums
"""
