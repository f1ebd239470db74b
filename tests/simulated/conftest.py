"""GPU kernels as Python threads: collected only where NUMBA_ENABLE_CUDASIM and NUMBA_DISABLE_JIT are set.

Without compilation the shared scalar functions run as Python too, and the oracle stands beside them.
`tests/engine/test_cuda.py` runs this folder in a process of its own.
"""

from __future__ import annotations

import os

if not (os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" and os.environ.get("NUMBA_DISABLE_JIT") == "1"):
    collect_ignore_glob = ["test_*.py"]
