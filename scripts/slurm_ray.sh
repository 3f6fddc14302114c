#!/usr/bin/env bash
#SBATCH --job-name=regrow
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#
# Ray on a Slurm allocation, and on it what the figures and tables lack:
#
#   sbatch scripts/slurm_ray.sh --profile paper --only table4 --device cuda --jobs 2
#
# from the root of the repository, after ./run_all.sh has made .venv there. The arguments are those of
# `python -m regrow run`; the records come back to its store here. Submit it again to go on. Change the lines above to
# what your cluster has; without GPUs take --gpus-per-node and --device away. See docs/cluster.md.
set -euo pipefail
cd -- "${SLURM_SUBMIT_DIR:?submit this with sbatch, from the root of the repository}"

python=$PWD/.venv/bin/python
ray=$PWD/.venv/bin/ray
port=${REGROW_RAY_PORT:-6379}
if [ ! -x "$ray" ]; then
    echo "There is no Ray in .venv: $python -m pip install -c constraints.txt -e '.[cluster]'" >&2
    exit 2
fi

# Ray's nodes take orders from whoever has this token; it goes through the environment, not over a shared disk.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | awk '{print $1}')
cores=${SLURM_CPUS_PER_TASK:-1}

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
srun --nodes=1 --ntasks=1 --overlap --nodelist="$first" \
    "$ray" start --head --block --node-ip-address="$address" --port="$port" --num-cpus="$cores" \
    --include-dashboard=false &

tries=0
until sleep 5 && "$ray" status --address "$address:$port" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 24 ]; then
        echo "Ray did not start on $first; what it said is above." >&2
        exit 1
    fi
done

if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    others=$((SLURM_JOB_NUM_NODES - 1))
    srun --nodes="$others" --ntasks="$others" --overlap --exclude="$first" \
        "$ray" start --block --address="$address:$port" --num-cpus="$cores" &
fi

"$python" -m regrow run --engine ray --address "$address:$port" "$@"
