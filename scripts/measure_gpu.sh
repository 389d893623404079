#!/usr/bin/env bash
# Measures everything that needs a GPU, in one go, and keeps the figures:
#
#   bash scripts/measure_gpu.sh NAME [RECORDING.pt ...]     # NAME of the machine, as in results/bench_NAME.json
#
# Graphed and eager iterations agree and never wait for the device; small runs of every kind; recordings of the
# authors' code are replayed on the GPU; speed beside the straightforward version; a whole run of 100 epochs in each
# precision; then all 28 cells (LNTL_CELLS=0: none).
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/env.sh
source scripts/env.sh

[ $# -ge 1 ] || die "give a name for this machine: bash scripts/measure_gpu.sh NAME"
name=$1
shift
use_python dev
"$PYTHON" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else 2)' ||
  die "PyTorch ($PYTHON) finds no GPU here; install a GPU driver"

"$PYTHON" -m pytest tests/run/test_cuda_graph.py tests/run/test_on_gpu.py -q
if [ $# -gt 0 ]; then "$PYTHON" -m tests.check_golden --device cuda "$@"; fi
"$PYTHON" -m bench --device cuda --json "results/bench_$name.json"
for precision in float32 tf32 bfloat16; do
  time "$PYTHON" train.py -e "gpu_$precision" --method lntl --color_var 0.02 --random_seed 1 --device cuda \
    --precision "$precision" --continue
done
if [ "${LNTL_CELLS:-28}" != 0 ]; then time "$PYTHON" reproduce.py --device cuda; fi
