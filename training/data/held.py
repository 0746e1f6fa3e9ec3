"""Archives held on the GPU, where they fit: batches then name their frames, and views are made from what is there.

Without it every step reads its frames, joins them and copies them to the device, which takes longer than a small
network's step on a GPU.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

SHARE = 0.5
"""The most of the free memory that archives may take; the rest is for the network."""


class Holdable(Protocol):
    """What has joints that can be held: a `ClipDataset`, or a `FrameSource`."""

    @property
    def bytes(self) -> int: ...

    def hold(self, device: torch.device | str) -> Tensor: ...


class Held:
    """The joints of a source, on the device if they fit there.

    Args:
        source: Whose batches need joints.
    """

    def __init__(self, source: Holdable) -> None:
        self._source = source
        self._joints: Tensor | None = None

    def place(self, device: torch.device) -> bool:
        """Hold the joints on a GPU that has room for them; returns whether they are held."""
        if self._joints is None and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._source.bytes <= SHARE * free:
                self.hold(device)
        return self._joints is not None

    def hold(self, device: torch.device | str) -> None:
        """Hold the joints on a device, whatever it is."""
        self._joints = self._source.hold(device)

    def complete(self, batch: Any) -> Any:
        """A batch with its joints: those that are held, if they are."""
        return batch if self._joints is None else batch.held(self._joints)
