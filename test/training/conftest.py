"""One thread for torch: tiny networks gain nothing from more, and wait for each other where others use the machine."""

from __future__ import annotations

try:
    import torch
except ImportError:  # the tests that need it skip
    pass
else:
    torch.set_num_threads(1)
