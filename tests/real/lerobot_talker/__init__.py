"""A policy in the manner of pi0, as a plugin of LeRobot: it has no past, reads the instruction, and begins with noise.

LeRobot's own cannot be built without files of a model hub. Its names follow LeRobot's convention for plugins.
"""
