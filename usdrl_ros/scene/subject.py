"""What recognition follows through a scene: one person, or several who act together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Subject:
    """One person, or several who act together, at one instant.

    Args:
        ids: The people's ids, who acts first; one to M of them, M being the people of the model's input.
        joints: (len(ids), 25, 3) NTU-25 joints, metres, in the frame of the scene; NaN where unseen.
        excluded: Actions that are not recognised in this subject, because another one of the same people stands for
            them.
    """

    ids: tuple[str, ...]
    joints: np.ndarray
    excluded: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.ids or self.joints.shape != (len(self.ids), 25, 3):
            raise ValueError(f"subject {self.ids} has joints {self.joints.shape}, expected ({len(self.ids)}, 25, 3)")

    @property
    def person_id(self) -> str:
        """Who acts."""
        return self.ids[0]

    @property
    def partner_id(self) -> str:
        """With whom; "" for a person alone."""
        return self.ids[1] if len(self.ids) > 1 else ""
