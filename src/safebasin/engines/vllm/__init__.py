"""An engine on vLLM, whose workers make the weights of every point anew from its recipe.

engine        the engine: requests, rows that end them, scores; in this process
needs         the version, the model and the device that it needs; what is set before vLLM is loaded
plugin        what every process of vLLM calls: a name for the registry of weight-transfer engines, nothing else
roads         how a worker is told of a point: vLLM's weight update, or a reload by methods of ours
selftest      what is compared with the reference engine before the first answer is believed
transfer      inside a worker of vLLM: the weight-transfer engine, to which only a recipe is sent
worker        inside a worker of vLLM: θ₀, the weights of a point, checksums
"""
