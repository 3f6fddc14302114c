#!/usr/bin/env bash
# Run every test: linter, types, unit tests, then the notebooks in the quick profile with their tagged cells compared.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)
cd -- "$root"

case ${1:-} in -h | --help)
    cat <<'HELP'
./run_tests.sh              set up .venv if needed and run every test
./run_tests.sh ARGUMENTS    hand the arguments to pytest instead, for example ./run_tests.sh tests/test_prune.py -x
HELP
    exit 0
    ;;
esac

. scripts/setup_env.sh
setup_env test
if [ $# -gt 0 ]; then exec "$python" -m pytest "$@"; fi

failed=
stage() { # NAME COMMAND...: run it, and remember if it failed
    local name=$1
    shift
    say "$name"
    "$@" || failed="$failed${failed:+, }$name"
}

store=$root/build/quick/store
stage ruff "$python" -m ruff check .
stage mypy "$python" -m mypy
stage "unit tests" env OMP_NUM_THREADS=1 "$python" -m pytest -n 2 tests
stage "quick training" "$python" -m regrow run --profile quick --store "$store"
stage notebooks env OMP_NUM_THREADS=1 REGROW_PROFILE=quick REGROW_STORE="$store" \
    "$python" -m pytest --nbval-lax --nbval-current-env -n 2 --dist loadfile notebooks
stage "replay of the shipped records" env -u REGROW_STORE "$python" -m regrow notebooks --profile replay --keep-going

if [ -n "$failed" ]; then
    echo "Failed: $failed" >&2
    exit 1
fi
