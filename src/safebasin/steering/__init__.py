"""Defenses of the stage inference that ship: what they read of a module, and what they add to it while it decodes."""
