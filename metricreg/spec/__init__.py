"""A document as data: read, checked, described, and as a JSON Schema.

Ask it whether a spec is right, and what a component says of itself. It builds nothing.
"""
