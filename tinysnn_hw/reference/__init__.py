"""The float path in PyTorch: a second opinion on what every network does, in real numbers.

It is written from docs/numerics.md, apart from the emulator: schedules, constants and random draws are computed
here again from the spec. The order of a step, the windows, the comparison, the tie-break (largest margin, lowest
index) and the spike trains are those of the emulator. It runs many networks or seeds side by side, image after
image, in float32 or float64, on a CPU or an NVIDIA GPU.

What it does not model, because a real number has none of it:

- number formats and their ranges: no rounding, no saturation, no wrap, no refusal of a constant that does not fit;
  ``w_max`` and ``v_floor`` are those of the spec, also where a format would bound them further, and without
  ``v_floor`` nothing bounds `v_mem` from below;
- the accumulator, its guard bits and its saturation before the leak;
- the 16 or 32 fraction bits of the constants of leak, trace, `theta` and normalisation, the scale of the windowed
  trace, the floor of the shift leak, the grid of the learning rate;
- the saturation of the windowed count and of the exponential traces;
- stochastic rounding and every other random bit of a cut;
- saturation counts and register ranges.

Sums are taken in the order PyTorch chooses, so results are reproducible on one machine and agree between machines
and devices to rounding only.

```python
from tinysnn_hw import reference

state = reference.initial_state(spec, seeds=range(16), device="cpu")
result = reference.run(spec, raster, state, phase="train", n_presentations=raster.n_images)
result.counts  # int64[16, n_images, n_neurons]
```
"""

from __future__ import annotations

from importlib.util import find_spec

from tinysnn_hw.errors import MissingPackageError

if find_spec("torch") is None:
    raise MissingPackageError(
        "tinysnn_hw.reference needs PyTorch, which is not installed; run: pip install 'tinysnn-hw[torch]'"
    )

from tinysnn_hw.reference.run import ReferenceResult, run
from tinysnn_hw.reference.state import ReferenceState, initial_state, state_from

__all__ = ["ReferenceResult", "ReferenceState", "initial_state", "run", "state_from"]
