"""Must not even be imported."""

raise AssertionError("imported, though incompatible")
