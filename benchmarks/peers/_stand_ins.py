"""Import modules that a system imports and does not use, where they are missing."""

import contextlib
import importlib.util
import sys
from types import ModuleType


@contextlib.contextmanager
def stand_ins(**modules):
    """Put an empty module, with empty attributes of the given names, in place of each one that is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    for name in missing:
        sys.modules[name] = ModuleType(name)
        for attribute in modules[name]:
            setattr(sys.modules[name], attribute, None)
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
