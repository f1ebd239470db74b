"""Memory and arithmetic that count how often they are used."""

from __future__ import annotations

from tinysnn_hw.engine.oracle_constants import fit, round_shift
from tinysnn_hw.fixed.modes import Rounding


class Memory:
    """An array that counts the words read and written."""

    def __init__(self, counts, name, size):
        self.counts, self.name, self.words = counts, name, [0] * size

    def __getitem__(self, at):
        self.counts[self.name, "read"] += 1
        return self.words[at]

    def __setitem__(self, at, value):
        self.counts[self.name, "write"] += 1
        self.words[at] = value


class CountedArithmetic:
    """Operations of a machine with `spec` and `seed`; ``done`` counts them."""

    def add(self, a, b):
        self.done["add"] += 1
        return a + b

    def multiply(self, a, b):
        self.done["multiply"] += 1
        return a * b

    def smaller(self, a, b):
        self.done["compare"] += 1
        return min(a, b)

    def larger(self, a, b):
        self.done["compare"] += 1
        return max(a, b)

    def divide(self, a, b, quotient_bits):
        self.done["add"] += quotient_bits
        return a // b

    def round(self, n, s, register, *key):
        rules = getattr(self.spec.formats, register)
        if s > 0 and rules.rounding is not Rounding.FLOOR:
            self.done["add"] += 1
        if s > 0 and rules.rounding is Rounding.STOCHASTIC:
            self.done["random bit"] += min(s, rules.rand_bits)
        return round_shift(n, s, rules, (self.seed, *key))

    def cut(self, n, s, register, *key):
        rules = getattr(self.spec.formats, register)
        return fit(self.round(n, s, register, *key), rules.format, rules.overflow)

    def f(self, register):
        return getattr(self.spec.formats, register).format.frac_bits
