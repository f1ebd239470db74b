"""Widths of everything a datapath holds for a network: its registers, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from tinysnn_hw.cost.counts import ADD, RANDOM_BIT, Ledger
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.spec.registers import register_formats

CONSTANT_BITS = 16
"""Fraction bits of leak and trace factors and of the normalising scale (docs/numerics.md, section 4)."""
SCALE_BITS = CONSTANT_BITS + 1
THETA_CONSTANT_BITS = 32
_LIKE = {"lateral": "weight", "excitation": "weight", "v_th_inh": "v_inh"}
"""Stored words without a format of their own -> the register whose width they have."""
FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class Words:
    """Widths of a network's words, and how its registers are cut.

    Attributes
    ----------
    spec : NetworkSpec
    is_float : bool
        Every stored word has 32 bits, and nothing is rounded.
    """

    spec: NetworkSpec
    is_float: bool

    @property
    def inputs(self) -> int:
        """Inputs."""
        return self.spec.network.inputs

    @property
    def neurons(self) -> int:
        """Excitatory neurons."""
        return self.spec.network.neurons

    @property
    def accumulator_fraction(self) -> int:
        """Fraction bits ``f_a`` of the accumulator."""
        formats = self.spec.formats
        finer = max(formats.v_mem.format.frac_bits, formats.weight.format.frac_bits)
        return finer + formats.guard_bits

    @property
    def threshold_fraction(self) -> int:
        """Fraction bits ``f_t`` of the threshold grid."""
        formats = self.spec.formats
        return max(16, formats.v_th.format.frac_bits, formats.theta.format.frac_bits)

    def width(self, variable: str) -> int:
        """Return the width of a stored word [bit]."""
        if variable == "input_spikes":
            return address_bits(self.inputs)
        if variable == "output_spikes":
            return address_bits(self.neurons)
        if self.is_float:
            return FLOAT_BITS
        if variable == "accumulator":
            return self.spec.formats.v_mem.format.int_bits + self.accumulator_fraction
        return register_formats(self.spec)[_LIKE.get(variable, variable)].width

    def wide_threshold(self, register: str) -> int:
        """Return the width of `theta` or `v_th` on the threshold grid [bit]."""
        fmt = register_formats(self.spec)[register]
        return fmt.int_bits + self.threshold_fraction

    def fraction(self, register: str) -> int:
        """Return the fraction bits of a register."""
        return register_formats(self.spec)[register].frac_bits

    def cut(self, ledger: Ledger, part: str, register: str, count: int, dropped: int) -> None:
        """Count what cutting `dropped` bits costs: nothing by truncation, else an increment; random bits.

        Saturation looks at the top bits only and is not counted.
        """
        if self.is_float or dropped <= 0:
            return
        rules = getattr(self.spec.formats, register)
        if rules.rounding is Rounding.FLOOR:
            return
        ledger.operate(part, ADD, count, self.width(register))
        if rules.rounding is Rounding.STOCHASTIC:
            ledger.operate(part, RANDOM_BIT, count * min(dropped, rules.rand_bits), 1)


def address_bits(size: int) -> int:
    """Return the bits that name one of `size` things, at least 1."""
    return max((size - 1).bit_length(), 1)


__all__ = [
    "CONSTANT_BITS", "FLOAT_BITS", "SCALE_BITS", "THETA_CONSTANT_BITS", "Words", "address_bits",
]  # fmt: skip
