"""How an error goes through one statement: bounds of ``|fixed - real|`` after it, from those before it.

``a~`` is the fixed-point value of ``a``, ``e_a`` a bound of ``|a~ - a|``. Each function takes real values and bounds
and returns a real value and its bound; the cut at the end of a statement is added by whoever writes the register.
"""

from __future__ import annotations

import numpy as np

Bounded = tuple[np.ndarray, np.ndarray]
"""A real value, and a bound of how far its fixed-point value is from it."""


def clipped(
    a: np.ndarray, e_a: np.ndarray, *, low: float, low_gap: float, high: float, high_gap: float
) -> Bounded:
    """Clip ``a`` between two ends that are a little off themselves.

    Clipping is monotone and 1-Lipschitz: ``a~`` lies between ``a - e_a`` and ``a + e_a``, so its clipped value lies
    between theirs, each clipped at the outermost ends. Where both lie beyond the same end only its gap is left.
    """
    value = np.clip(a, low, high)
    above = np.clip(a + e_a, low + low_gap, high + high_gap) - value
    below = value - np.clip(a - e_a, low - low_gap, high - high_gap)
    return value, np.maximum(above, below)


def product(rate: float, rate_gap: float, x: np.ndarray, e_x: np.ndarray) -> Bounded:
    """Multiply a learning rate by a trace: ``c~ x~ - c x = c~ (x~ - x) + (c~ - c) x``."""
    return rate * x, (rate + rate_gap) * e_x + rate_gap * x


def _shrunk(e_w: np.ndarray, p: np.ndarray, e_p: np.ndarray) -> np.ndarray:
    """Return the bound of ``|(w~ - w) (1 - p~)|``; ``p~`` is not negative."""
    return e_w * np.maximum(np.abs(1.0 - (p + e_p)), np.abs(1.0 - np.maximum(p - e_p, 0.0)))


def toward(w: np.ndarray, e_w: np.ndarray, p: np.ndarray, e_p: np.ndarray, m: float, g_m: float) -> Bounded:
    """Eq. 2 and soft bounds, ``w + p (m - w)``.

    ``(w~ - w)(1 - p~) + (p~ - p)(m - w) + p~ (m~ - m)``; with ``m = 0`` this is soft depression, ``w - p w``.
    """
    return w + p * (m - w), _shrunk(e_w, p, e_p) + e_p * np.abs(m - w) + (p + e_p) * g_m


def shifted(w: np.ndarray, e_w: np.ndarray, p: np.ndarray, e_p: np.ndarray, m: float, g_m: float) -> Bounded:
    """Hard bounds, ``w + p m``: ``(w~ - w) + (p~ - p) m~ + p (m~ - m)``; the same for ``w - p m``."""
    return w + p * m, e_w + e_p * (abs(m) + g_m) + np.abs(p) * g_m


def attracted(
    w: np.ndarray, e_w: np.ndarray, c: float, g_c: float, x: np.ndarray, e_x: np.ndarray, m: float, g_m: float
) -> Bounded:
    """``w + c (x m - w)``: ``(w~ - w)(1 - c~) + c~ (x~ - x) m~ + c~ x (m~ - m) + (c~ - c)(x m - w)``."""
    pull = x * m - w
    e = _shrunk(e_w, np.float64(c), np.float64(g_c)) + (c + g_c) * (e_x * (m + g_m) + x * g_m)
    return w + c * pull, e + g_c * np.abs(pull)


def normalised(
    w: np.ndarray, e_w: np.ndarray, total: np.ndarray, e_total: np.ndarray, target: float, target_gap: float
) -> Bounded:
    """``w target / S``, the quotient floored to 16 fraction bits; ``S~ >= S - e_S`` must be positive.

    ``|s~ - s| <= 2**-16 + g(target)/S~ + target e_S/(S S~)``, then ``w~ s~ - w s = (w~ - w) s~ + w (s~ - s)``.
    """
    least = total - e_total
    e_scale = 2.0**-16 + target_gap / least + target * e_total / (total * least)
    return w * (target / total), e_w * (target / total + e_scale) + w * e_scale
