"""How terms become one value with a gradient: all anchors at once, or a tile of them at a time in bounded memory.

Ask it to evaluate a function of a batch, and what a tile is to be (`execution.py` has the thresholds by which that is
chosen). It is given a loss as a function of a batch, a reducer as a protocol, and a module for its parameters and
buffers. It must not know a component, a name in a spec, or what a term means.
"""
