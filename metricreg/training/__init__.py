"""`metricreg train`: from an experiment file to a trained embedding, measured on held-out rows.

`metricreg.training.run.run` is the way in. Importing this package needs none of the `train` extra.
"""
