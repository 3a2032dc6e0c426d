"""A step that processes of torch.distributed share: its rows gathered, its work shared out, its sums summed up.

Every process (rank) makes the batch of one process that holds all rows, and only the sweeps over tiles are shared out.
Ask it for the ranks of the step at hand, and what they have: rows, sums, and a word from each. It must not know a
component, nor what is evaluated.
"""
