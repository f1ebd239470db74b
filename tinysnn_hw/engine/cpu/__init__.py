"""Numba kernels for the CPU: a plain one for every mode, a fast one where its lanes are proven exact."""
