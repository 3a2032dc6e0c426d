"""`metricreg train`: from an experiment file to a trained embedding, measured on held-out rows.

`metricreg.training.run.run` is the way in. Ask it for data, encoders, batches, a run that can be resumed, and retrieval
before and after. Importing this package needs none of the `train` extra. It must not know a loss or how one is
evaluated: its objective is what `metricreg.build` makes of the spec in the file.
"""
