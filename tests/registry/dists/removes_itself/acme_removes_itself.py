"""Is no longer there when it was imported."""

import sys

del sys.modules[__name__]
