"""The scripts: they parse, run, call each other, install once, and are what the README tells a newcomer to type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix != ".py")
PROGRAMS = [path for path in (*SCRIPTS, ROOT / ".ci" / "run") if not path.name.startswith("_")]
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash to run the scripts with")

# Stands in for an environment's Python: real for small questions, a note in a log for pip and pytest.
STAND_IN = f"""#!{BASH}
case "$*" in
    "-m pip --version") exit 0 ;;
    "-m pip "*) echo "pip ${{*:3}}" >>"$LOG" ;;
    "-m pytest"*) echo "pytest ${{*:3}} data=${{TINYSNN_DATA:-}}" >>"$LOG"; exit "${{PYTEST_EXIT:-0}}" ;;
    "-m venv "*) echo "venv" >>"$LOG" ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""
RECORDER = f"""#!{BASH}
echo "$(basename "$0") $*" >>"$LOG"
"""


@dataclass
class Checkout:
    """A copy of the scripts beside an environment whose programs only say that they were called."""

    root: Path
    log: Path

    def run(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHON", "TINYSNN_DATA", "TINYSNN_TEST_TORCH")
        }
        return subprocess.run(
            [str(self.root / script), *words], capture_output=True, text=True, check=False,
            cwd=self.root.parent, env=variables | {"LOG": str(self.log)} | environment,
        )  # fmt: skip

    def called(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"  # with a space, as a user's folder may have
    for folder in ("scripts", ".ci"):
        shutil.copytree(ROOT / folder, root / folder)
    for name in ("pyproject.toml", "constraints-dev.txt"):
        shutil.copy(ROOT / name, root / name)
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("python", STAND_IN), *((name, RECORDER) for name in ("tinysnn", "ruff", "mypy"))):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return Checkout(root, tmp_path / "log")


# --- The files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_bash_can_read_it(script: Path) -> None:
    found = subprocess.run([str(BASH), "-n", str(script)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_bash_notices_what_it_cannot_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("if true; then echo; \n")
    assert subprocess.run([str(BASH), "-n", str(broken)], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_programs_are_executable_and_stop_at_errors(program: Path) -> None:
    assert os.access(program, os.X_OK)
    first, *lines = program.read_text(encoding="utf-8").splitlines()
    assert first == "#!/usr/bin/env bash"
    assert any(re.match(r"set -(e|euo pipefail)$", line) for line in lines)


def test_git_keeps_the_executable_bits() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "--stage", "scripts", ".ci"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    modes = {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()}
    for program in PROGRAMS:
        assert modes[program.relative_to(ROOT).as_posix()] == "100755"


def test_the_two_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if len(text.splitlines()) <= 20:
        pytest.skip("README.md is a stub")
    for command in ("scripts/demo", "scripts/test"):
        assert command in text
    for command in set(re.findall(r"scripts/\w+(?:\.py)?", text)):
        assert os.access(ROOT / command, os.X_OK), f"README.md names {command}"


# --- What they do --------------------------------------------------------------------------------------


def test_the_tests_are_installed_once_and_run(checkout: Checkout) -> None:
    assert checkout.run("scripts/test").returncode == 0
    install, tests = checkout.called()
    assert install.startswith("pip install ") and install.endswith(
        "--constraint constraints-dev.txt --editable .[dev]"
    )
    assert tests == "pytest -n 2 --dist loadfile --no-loadscope-reorder data="
    assert checkout.run("scripts/test", "tests/fixed", "-x").returncode == 0
    assert checkout.called()[2:] == ["pytest tests/fixed -x data="]


def test_a_changed_project_is_installed_again(checkout: Checkout) -> None:
    checkout.run("scripts/demo")
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("\n# another dependency\n")
    checkout.run("scripts/demo")
    assert [line.split()[0] for line in checkout.called()] == ["pip", "tinysnn", "pip", "tinysnn"]


def test_a_failing_test_fails_the_script(checkout: Checkout) -> None:
    for script in ("scripts/test", ".ci/run"):
        assert checkout.run(script, PYTEST_EXIT="1").returncode == 1


def test_ci_runs_the_tests(checkout: Checkout) -> None:
    assert checkout.run(".ci/run").returncode == 0
    assert checkout.called()[0].endswith("--editable .[dev,torch]")
    assert checkout.called()[-1] == "pytest -n 2 --dist loadfile --no-loadscope-reorder data="


def test_data_is_passed_on_or_found_beside_the_checkout(checkout: Checkout) -> None:
    checkout.run("scripts/test", TINYSNN_DATA="elsewhere")
    assert checkout.called()[-1].endswith("data=elsewhere")
    folder = checkout.root.parent / "shared" / "data"
    folder.mkdir(parents=True)
    checkout.run("scripts/test")
    assert checkout.called()[-1].endswith(f"data={folder}")


def test_the_demo_validates_on_data_that_needs_no_download(checkout: Checkout) -> None:
    ran = checkout.run("scripts/demo")
    assert ran.returncode == 0
    install, demo = checkout.called()
    assert install.endswith("--editable .")  # what the tests need, a demo does not
    assert re.match(r"tinysnn validate tinysnn\S* .*--data digits", demo)
    assert "tinysnn --help" in ran.stdout


def test_the_check_runs_lint_format_and_types(checkout: Checkout) -> None:
    assert checkout.run("scripts/check").returncode == 0
    assert checkout.called()[1:] == ["ruff check", "ruff format --check", "mypy "]
    assert checkout.run("scripts/check", "--fix").returncode == 0
    assert checkout.called()[4:] == ["ruff check --fix", "ruff format", "mypy "]


def test_wrong_use_is_explained(checkout: Checkout) -> None:
    ran = checkout.run("scripts/check", "--fxi")
    assert ran.returncode == 2
    assert ran.stderr == 'error: unknown argument "--fxi"; scripts/check takes --fix or nothing\n'
    assert checkout.called() == []


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", "scripts/check", ".ci/run"])
def test_a_missing_or_old_python_is_explained(checkout: Checkout, script: str) -> None:
    shutil.rmtree(checkout.root / ".venv")
    ran = checkout.run(script, PYTHON="no-such-python")
    assert ran.returncode == 2
    assert ran.stderr.startswith('error: "no-such-python" does not run; install Python 3.11 or newer')
    old = checkout.root.parent / "python3.9"
    old.write_text(
        f'#!{BASH}\n[[ "$2" == *version_info\\ \\<* || "$2" == *sys.exit* ]] && exit 1\necho 3.9\n'
    )
    old.chmod(0o755)
    ran = checkout.run(script, PYTHON=str(old))
    assert ran.returncode == 2
    assert "is Python 3.9, and 3.11 or newer is needed" in ran.stderr
    assert checkout.called() == []
