"""Functions of tensors that know nothing of batches or components, like `torch.nn.functional`."""
