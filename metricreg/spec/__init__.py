"""A document as data: read, checked, described, and as a JSON Schema.

Ask it to read JSON, TOML or YAML, to find every problem of a spec, and what a component says of itself. What it checks
is tried on torch's meta device and thrown away. It must not build an objective, import anything that a document names
but is not registered, or know a component that ships.
"""
