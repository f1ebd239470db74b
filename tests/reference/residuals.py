"""Single writes of registers, each beside its exact value and the errors its cut may leave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.spec.network import RegisterSpec

Range = tuple[np.ndarray, np.ndarray]


@dataclass
class Residuals:
    """What is left between fixed point and exact values after single cuts.

    Attributes
    ----------
    writes : dict of str to int
        Compared words of each register.
    undecided : int
        Steps in which another neuron won, by less than its margin's own error; their words are left out.
    up, p_up : dict of str to list of array
        For cuts by stochastic rounding and nothing else: whether the word was rounded up, and the fraction that is
        the probability of it.
    """

    writes: dict[str, int] = field(default_factory=dict)
    undecided: int = 0
    up: dict[str, list[np.ndarray]] = field(default_factory=dict)
    p_up: dict[str, list[np.ndarray]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def compare(
        self,
        name: str,
        image: int,
        fixed: np.ndarray,
        exact: np.ndarray,
        allowed: Range,
        which: np.ndarray,
        slack: np.ndarray | float,
    ) -> None:
        """Note every word of ``which`` whose error lies outside ``allowed``, widened by ``slack``."""
        error, (low, high) = fixed - exact, allowed
        bad = which & ~((error >= low - slack) & (error <= high + slack))
        self.writes[name] = self.writes.get(name, 0) + int(which.sum())
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            self.violations.append(
                f"{name} image {image} {place}: {error[place]:.3g} off, allowed {low[place]:.3g} to {high[place]:.3g}"
            )

    def exact(
        self, name: str, image: int, fixed: np.ndarray, exact: np.ndarray, which: np.ndarray | bool = True
    ) -> None:
        """Note every word that is not the exact value."""
        zero = np.zeros(fixed.shape)
        self.compare(name, image, fixed, exact, (zero, zero), np.broadcast_to(which, fixed.shape), 0.0)

    def rounded(
        self,
        name: str,
        register: RegisterSpec,
        dropped: int,
        fixed: np.ndarray,
        exact: np.ndarray,
        which: np.ndarray,
    ) -> None:
        """Remember which way stochastic rounding went, where nothing but it was at work."""
        if register.rounding is not Rounding.STOCHASTIC or dropped <= 0:
            return
        scaled = exact[which] / register.format.lsb
        self.p_up.setdefault(name, []).append(scaled - np.floor(scaled))
        self.up.setdefault(name, []).append(fixed[which] / register.format.lsb - np.floor(scaled))
