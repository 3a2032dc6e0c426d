"""Functions of tensors, like `torch.nn.functional`.

Ask it for powers and unit rows that have a gradient everywhere, for log-sum-exps and sums of what a mask leaves, for
angles, soft ranks and soft histograms. Those whose derivative is written by hand work under `torch.compile` and
`torch.func` too. It must not know a batch, a component or a tile.
"""
