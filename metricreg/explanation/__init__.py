"""`metricreg explain`: how a pipeline is evaluated, why so, and what it costs.

Ask it for the plan, the terms, the products and the peak memory of one step. It makes that step and watches torch's
operations, a few tiles of many. It must not hold a formula about a loss: a plugin's is explained like any other.
"""
