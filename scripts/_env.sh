# Sourced by the scripts beside this file: works from the checkout's root, with one virtual environment in .venv
# that is installed once and again only when what it is made from has changed.
# PYTHON chooses the interpreter a new environment is made with (default: python3).

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)"
cd -- "$root"
venv="$root/.venv"

fail() {
    echo "error: $*" >&2
    exit 2
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# need_version PYTHON: stop unless it runs and is new enough.
need_version() {
    local version
    version="$(version_of "$1")" || fail "\"$1\" does not run; install Python 3.11 or newer, or name one: PYTHON=python3.12 $0"
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "\"$1\" is Python $version, and 3.11 or newer is needed; name another: PYTHON=python3.12 $0"
}

make_venv() {
    local python="${PYTHON:-python3}"
    if [[ -x "$venv/bin/python" ]] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        need_version "$venv/bin/python"
        [[ -z "${PYTHON:-}" || "$(version_of "$python")" == "$(version_of "$venv/bin/python")" ]] ||
            fail ".venv has Python $(version_of "$venv/bin/python"), which is not PYTHON=$PYTHON; remove .venv first"
        return
    fi
    need_version "$python"
    "$python" -m venv --clear "$venv" || fail "\"$python\" cannot make a virtual environment; install its venv module (Debian and Ubuntu: python3-venv)"
}

# ensure_installed [EXTRA]: this checkout, editable, with its dependencies at the pinned versions.
ensure_installed() {
    make_venv
    local extra="${1:-}" stamp wanted
    stamp="$venv/installed${extra:+-$extra}"
    wanted="$root $("$venv/bin/python" -V) $(cat pyproject.toml constraints-dev.txt | cksum)"
    if [[ -f "$stamp" && "$(<"$stamp")" == "$wanted" ]]; then
        return
    fi
    # Bytecode for everything costs as long as the rest of the install, and the first import writes what is used;
    # only where Python is told not to write it, pip has to.
    local compile=--no-compile
    [[ -z "${PYTHONDONTWRITEBYTECODE:-}" ]] || compile=--compile
    echo "Installing into .venv (once, about half a minute) ..." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$compile" \
        --constraint constraints-dev.txt --editable ".${extra:+[$extra]}"
    echo "$wanted" >"$stamp"
    echo "$wanted" >"$venv/installed"
}
