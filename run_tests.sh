#!/usr/bin/env bash
# Run every test: linter, types, units, widgets in a browser, a Ray cluster, then the notebooks, tagged cells compared.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)
cd -- "$root"

case ${1:-} in -h | --help)
    cat <<'HELP'
./run_tests.sh              set up .venv if needed and run every test
./run_tests.sh --quick      linter, types and the quicker units: no kills, browser, cluster, notebooks; under three minutes
./run_tests.sh ARGUMENTS    hand the arguments to pytest instead, for example ./run_tests.sh tests/test_prune.py -x
HELP
    exit 0
    ;;
esac

. scripts/setup_env.sh
setup_env test
quick=
if [ "${1:-}" = --quick ] && [ $# = 1 ]; then quick=yes; elif [ $# -gt 0 ]; then exec "$python" -m pytest "$@"; fi

failed=
stage() { # NAME COMMAND...: run it, and remember if it failed
    local name=$1
    shift
    say "$name"
    "$@" || failed="$failed${failed:+, }$name"
}

beside() { # NAME COMMAND...: start it beside the next stage, for one that mostly waits; `join` shows what it said
    beside=$1
    shift
    say "$beside, beside the next"
    mkdir -p build
    "$@" >build/beside.log 2>&1 &
    beside_process=$!
    trap 'kill "$beside_process" 2>/dev/null' EXIT # Ctrl-C does not reach what runs in the background
}

join() { # wait for what runs beside, and remember if it failed
    wait "$beside_process" || failed="$failed${failed:+, }$beside"
    trap - EXIT
    say "$beside:"
    cat build/beside.log
}

prepare_browser() { # get playwright and a Chromium, where they can be had; the tests skip what is missing and say so
    local name
    "$python" -c 'import playwright' 2>/dev/null ||
        "$python" -m pip install --disable-pip-version-check --no-input --quiet -c constraints.txt -e '.[browser]' ||
        { say "playwright could not be installed"; return; }
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v $name >/dev/null; then return; fi
    done
    PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT=15000 "$python" -m playwright install chromium >/dev/null 2>&1 ||
        say "there is no Chromium and none could be downloaded"
}

prepare_recipes() { # get Lightning and Hugging Face's Trainer, where they can be had; their recipes are skipped without
    "$python" -c 'from importlib.util import find_spec as find
assert find("accelerate") and find("lightning") and find("transformers")' 2>/dev/null ||
        "$python" -m pip install --disable-pip-version-check --no-input --quiet -c constraints.txt -e '.[recipes]' ||
        say "Lightning and transformers could not be installed"
}

prepare_cluster() { # get Ray, where it can be had; the tests of clusters are skipped without it
    "$python" -c 'import ray' 2>/dev/null ||
        "$python" -m pip install --disable-pip-version-check --no-input --quiet -c constraints.txt -e '.[cluster]' ||
        say "Ray could not be installed"
}

finish() { # say what failed, if anything did
    if [ -n "$failed" ]; then
        echo "Failed: $failed" >&2
        exit 1
    fi
    say "all passed"
    exit 0
}

if [ -n "$quick" ]; then
    stage ruff "$python" -m ruff check .
    stage mypy "$python" -m mypy
    stage "quicker unit tests" env OMP_NUM_THREADS=1 "$python" -m pytest -n 2 -m "not slow and not browser and not cluster" \
        --ignore tests/torture --ignore tests/bench --ignore tests/regrow/test_kill.py tests
    finish
fi

prepare_cluster
prepare_recipes
store=$root/build/quick/store
stage ruff "$python" -m ruff check .
stage mypy "$python" -m mypy
stage "unit tests" env OMP_NUM_THREADS=1 "$python" -m pytest -n 2 -m "not browser and not cluster" tests
prepare_browser
beside "cluster tests" env OMP_NUM_THREADS=1 "$python" -m pytest -rs -m cluster tests
stage "browser tests" env OMP_NUM_THREADS=1 "$python" -m pytest -rs -m browser tests
join
stage "quick training" "$python" -m regrow run --profile quick --store "$store"
stage notebooks env OMP_NUM_THREADS=1 REGROW_PROFILE=quick REGROW_STORE="$store" \
    "$python" -m pytest --nbval-lax --nbval-current-env -n 2 --dist loadfile notebooks
stage "replay of the shipped records" env -u REGROW_STORE "$python" -m regrow notebooks --profile replay --keep-going
stage "check cells of the replay" "$python" tests/check_cells.py build/replay/notebooks

finish
