# Sourced by run_all.sh and run_tests.sh; they set $root, the repository, and stand in it. Bash 3.2 (macOS) is enough.
#
#   setup_env base|test     sets $python to an interpreter that has regrow and all it needs ("test": the tests' packages too)
#
# That is the active virtual or conda environment if this checkout is installed there, else .venv, made if needed.
# When nothing has changed since the last time, neither pip nor the network is touched.

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 2
}

if [ -z "${HOME:-}" ]; then # as in some services and containers; Jupyter and pip want one
    export HOME=$root/build/home
    mkdir -p "$HOME"
fi

trap 'echo "Interrupted; the same command again starts where it can." >&2; exit 130' INT

supported() { # PYTHON: is it one we support? (A pyenv shim may exist and not run.)
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

find_python() { # prints $PYTHON, or the first supported interpreter on the path
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        if supported "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 that runs: set PYTHON to one, or unset it."
    done
    fail "No Python 3.11, 3.12 or 3.13 was found: install one, or say where it is with PYTHON=/path/to/python3 ${0##*/}."
}

active_python() { # base|test: prints the active environment's interpreter if this checkout is installed there, complete
    local prefix=${VIRTUAL_ENV:-}
    if [ -z "$prefix" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then prefix=${CONDA_PREFIX:-}; fi
    if [ -z "$prefix" ] || [ "$prefix" -ef "$root/.venv" ] || ! supported "$prefix/bin/python"; then return 1; fi
    "$prefix/bin/python" - "$root" "$1" >/dev/null 2>&1 <<'PY' || return 1
import sys
from importlib.metadata import requires, version
from pathlib import Path
from packaging.requirements import Requirement
import regrow.errors

root, extra = sys.argv[1:]
assert Path(root).resolve() in Path(regrow.errors.__file__).resolve().parents
for need in map(Requirement, requires("regrow")):
    if need.marker is None or need.marker.evaluate({"extra": extra}):
        assert version(need.name) in need.specifier
PY
    printf '%s\n' "$prefix/bin/python"
}

fingerprint() { # base|test: changes when the environment has to be set up again; the path counts, as installs are editable
    { cat pyproject.toml constraints.txt && printf '%s\n' "$root" "$1" && "$python" -c 'import sys; print(sys.version)'; } | cksum
}

is_ready() { # base|test
    [ -f ".venv/.regrow-ready-$1" ] && [ "$(cat ".venv/.regrow-ready-$1")" = "$(fingerprint "$1")" ]
}

show_progress() { # pip's output -> one changing line in a terminal, a line every ten seconds in a log
    local line last=-10
    while IFS= read -r line; do
        case $line in
            *Collecting* | *Downloading* | *Building* | *Preparing* | Installing*) ;;
            *) continue ;;
        esac
        if [ -t 1 ]; then
            printf '\r\033[K%4d s  %.70s' "$SECONDS" "$line"
        elif [ $((SECONDS - last)) -ge 10 ]; then
            last=$SECONDS
            printf '%4d s  %.100s\n' "$SECONDS" "$line"
        fi
    done
    if [ -t 1 ]; then printf '\r\033[K'; fi
}

setup_log=build/setup.log
setup_running=build/.setup-running # holds the process id of the set-up at work; left behind when it is killed

give_up() { # WHAT REMEDY: the end of the log, then one sentence
    tail -n 15 $setup_log >&2
    rm -f $setup_running
    fail "$1 (the whole log is $setup_log): $2."
}

setup_env() {
    local kind=$1 what=. base fresh=no other
    if [ -z "${PYTHON:-}" ] && python=$(active_python "$kind"); then
        say "using the active environment, $python"
        return
    fi
    python=$root/.venv/bin/python
    if ! supported "$python"; then
        fresh=yes
    elif [ -n "${PYTHON:-}" ]; then
        base=$(find_python)
        if [ "$(version_of "$base")" != "$(version_of "$python")" ]; then fresh=yes; fi
    fi
    if [ $fresh = no ] && [ ! -f $setup_running ] && is_ready "$kind"; then return; fi

    base=$(find_python)
    mkdir -p build
    if [ -f $setup_running ]; then
        other=$(cat $setup_running)
        if kill -0 "$other" 2>/dev/null; then
            fail "Another set-up (process $other) is at work here: wait for it, or delete $setup_running if there is none."
        fi
        say "an earlier set-up was cut short, starting afresh"
        fresh=yes # a package may be half written, and pip would take it for whole
    fi
    echo $$ >$setup_running
    : >$setup_log

    if [ $fresh = yes ]; then
        say "making .venv with Python $(version_of "$base")"
        "$base" -m venv --clear .venv >>$setup_log 2>&1 || give_up "Making .venv failed" \
            "install Python's venv module (Debian and Ubuntu: the package python3-venv), or set PYTHON to another Python"
    fi
    "$python" -m pip --version >>$setup_log 2>&1 || "$python" -m ensurepip >>$setup_log 2>&1 ||
        give_up "There is no pip in .venv" "delete .venv and run this again"

    if [ "$kind" = test ]; then what='.[test]'; fi
    say "installing packages, the first time takes minutes; the log is $setup_log"
    PYTHONUNBUFFERED=1 "$python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        -c constraints.txt -e "$what" 2>&1 | tee -a $setup_log | show_progress ||
        give_up "Installing packages failed" "see that a package index can be reached and that the disk has room, and try again"
    fingerprint "$kind" >".venv/.regrow-ready-$kind"
    if [ "$kind" = test ]; then fingerprint base >.venv/.regrow-ready-base; fi
    rm -f $setup_running
    say "set-up done"
}
