"""Changes the default dtype of torch, which it imports."""

import torch

import metricreg

torch.set_default_dtype(torch.float64)


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
