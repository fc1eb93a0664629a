"""An engine on vLLM, whose workers make the weights of every point anew from its recipe.

engine        the engine: requests, rows that end them, scores; in this process
needs         the version, the model and the device that it needs; what is set before vLLM is loaded
selftest      what is compared with the reference engine before the first answer is believed
worker        inside a worker of vLLM: θ₀, the weights of a point, checksums
"""
