"""`metricreg explain`: how a pipeline is evaluated, why so, and what it costs."""
