"""The peers, and a virtual environment for each, made once and kept outside the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import write_text
from platformdirs import user_cache_path

PEERS = Path(__file__).parent / "peers"
INSTALL_S = 1800.0


@dataclass(frozen=True)
class Peer:
    """A peer: its script in benchmarks/peers (None: there is none) and what pip installs for it."""

    name: str
    script: str | None
    environment: str
    requirements: tuple[str, ...]
    repeats: int = 5
    python: tuple[int, int] | None = None
    """The only Python version it runs on; None: this one."""
    section: str = "network"
    """``network``: trains and infers the whole network; ``layer``: one LIF layer."""


ALL_PEERS = (
    Peer("BindsNET", "bindsnet_network.py", "bindsnet", ("bindsnet==0.3.4",), repeats=3),
    Peer("Brian2", "brian2_standalone.py", "brian2", ("brian2==2.9.0", "numpy<2", "setuptools<81")),
    Peer("PyGeNN", None, "pygenn", ("pygenn",)),
    Peer(
        "plain torch", "torch_lif.py", "torch", ("torch==2.13.0", "snntorch==1.0.0", "numpy"), section="layer"
    ),
    Peer(
        "snnTorch", "snntorch_lif.py", "torch", ("torch==2.13.0", "snntorch==1.0.0", "numpy"), section="layer"
    ),
    Peer("Lava", "lava_lif.py", "lava", ("lava-nc==0.10.0",), repeats=3, python=(3, 10), section="layer"),
)


class NotInstalled(Exception):
    """A peer cannot be measured here; the text says why."""


def default_folder() -> Path:
    """Return the folder of the environments where none is given."""
    return user_cache_path("tinysnn_hw") / "benchmark-peers"


def interpreter(wanted: tuple[int, int] | None) -> Path:
    """Return a Python of the wanted version: this one, one on PATH, or one of pyenv's."""
    if wanted is None or wanted == sys.version_info[:2]:
        return Path(sys.executable).resolve()
    name = f"python{wanted[0]}.{wanted[1]}"
    found = shutil.which(name)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [Path(found)] if found else []
    candidates += sorted(pyenv.glob(f"{wanted[0]}.{wanted[1]}.*/bin/python"))
    for candidate in candidates:
        tried = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if tried.returncode == 0 and tried.stdout.startswith(f"Python {wanted[0]}.{wanted[1]}."):
            return candidate
    raise NotInstalled(f"not installed: needs Python {wanted[0]}.{wanted[1]}, and none was found")


def ready(peer: Peer, folder: Path) -> Path:
    """Return the Python of the peer's environment, made and filled first where it is not.

    A failed installation is remembered in the folder, so that it is not tried anew in every run; remove the
    environment's folder to try again.

    Raises
    ------
    NotInstalled
    """
    base = interpreter(peer.python)
    home = folder / peer.environment
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    state_file = home / "benchmark-peer.json"
    wanted = {"requirements": list(peer.requirements), "python": str(base)}
    state = json.loads(state_file.read_text()) if state_file.exists() else {}
    if {key: state.get(key) for key in wanted} != wanted:
        print(f"installing {', '.join(peer.requirements)} into {home}", flush=True)
        state = wanted | {"error": install(peer, base, home, python)}
        write_text(state_file, json.dumps(state, indent=1))
    if state["error"]:
        raise NotInstalled(f"not installed: {state['error']}")
    if peer.script is None:
        raise NotInstalled("installed, but benchmarks/peers has no script that measures it")
    return python


def install(peer: Peer, base: Path, home: Path, python: Path) -> str:
    """Make the environment; return pip's last word where it fails, else nothing."""
    home.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        made = subprocess.run([base, "-m", "venv", home], capture_output=True, text=True, check=False)
        if made.returncode:
            return last_line(made.stderr or made.stdout)
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *peer.requirements]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"pip did not finish in {INSTALL_S / 60:.0f} minutes"
    (home / "install.log").write_text(ran.stdout + ran.stderr, encoding="utf-8")
    if ran.returncode == 0:
        return ""
    errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    return last_line("\n".join(errors) or ran.stderr).removeprefix("ERROR: ")


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
