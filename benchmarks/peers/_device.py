"""Where the systems that can use a graphics card compute."""

import os


def device() -> str:
    """Return `"cpu"`, or what the environment variable `PEERS_DEVICE` says, such as `"cuda"`."""
    return os.environ.get("PEERS_DEVICE", "cpu")
