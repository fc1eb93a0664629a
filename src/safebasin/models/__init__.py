"""A checkpoint as a folder: what is written to one, and how. Knows nothing of text, landscapes or training."""
