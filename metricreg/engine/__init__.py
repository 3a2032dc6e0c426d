"""The same value and gradient in the memory of a tile."""
