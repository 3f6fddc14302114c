#!/usr/bin/env bash
# Train for real, execute the notebooks, redraw the figures, write the site, build/quick/site/index.html.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)
cd -- "$root"

case ${1:-} in -h | --help)
    cat <<'HELP'
./run_all.sh            set up .venv if needed, train for real in the quick profile (minutes), execute the notebooks,
                        redraw the figures and write the site, build/quick/site/index.html
./run_all.sh OPTIONS    the same with the options of `python -m regrow notebooks`:
                        --profile quick|paper|replay  --only ID  --from ID  --jobs N  --keep-going  --force
                        --dry-run  --list  --engine ray --address ADDRESS (see docs/cluster.md)  --retry-failed
./run_all.sh --lab      set up and open the notebooks in JupyterLab
PYTHON=/path/to/python3 ./run_all.sh    choose the Python (3.11 to 3.13) that .venv is made from
HELP
    exit 0
    ;;
esac

. scripts/setup_env.sh
setup_env base
if [ "${1:-}" = --lab ]; then
    shift
    if [ "$(id -u)" = 0 ]; then set -- --allow-root "$@"; fi # as in a container; JupyterLab refuses otherwise
    exec "$python" -m jupyterlab --ip=localhost "$@" notebooks/00_tour.ipynb # with a token, which JupyterLab makes
fi
exec "$python" -m regrow notebooks "$@"
