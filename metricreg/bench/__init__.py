"""`metricreg bench`: time and memory of objectives, measured in worker processes that run in turn.

Ask it for inputs that suit a spec, for the time of a step over the matrix products that no exact method can do without,
and for the peak of its memory. It is handed specs, and knows neither a loss nor a plan.
"""
