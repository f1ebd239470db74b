"""A peer at work: its script in a process of its own, one repeat whenever it is asked."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from environments import PEERS, Peer, last_line
from harness import ONE_THREAD

ANSWER_S = 300.0


class PeerError(Exception):
    """The peer's process failed; the text is its last word."""


class Process:
    """A peer's script, started; use as a context manager.

    Attributes
    ----------
    cases : list of str
    versions : dict
    settings, differences : str
    """

    def __init__(self, peer: Peer, python: Path, images: Path, work: Path, limit: int | None) -> None:
        assert peer.script is not None
        command = [python, PEERS / peer.script, "--images", images, "--work", work]
        command += [] if limit is None else ["--limit", str(limit)]
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in __exit__
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment | ONE_THREAD, start_new_session=True,
        )  # fmt: skip
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            about = self._answer()
        except PeerError:
            self.__exit__(None, None, None)
            raise
        self.cases: list[str] = about["cases"]
        self.versions: dict[str, str] = about["versions"]
        self.settings: str = about["settings"]
        self.differences: str = about["differences"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise PeerError(f"failed: no answer within {ANSWER_S:.0f} s") from None
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise PeerError(f"failed: {last_line(''.join(deque(self._errors, maxlen=20)))}")
        return json.loads(line)

    def repeat(self, case: str) -> dict[str, Any]:
        """Measure a case once: images/s, images presented, spikes per image."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a dead process's last word is in the answer
            print(case, file=self._process.stdin, flush=True)
        return self._answer()

    def _end(self) -> None:
        """End the peer's process and all it started, which may outlive it and hold its output open."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10.0)
        self._end()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()
