"""Many networks at once on one NVIDIA GPU, with the bits of the CPU."""
