"""A plugin whose names a terminal might take for markup."""
