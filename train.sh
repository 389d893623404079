#!/usr/bin/env bash
# train.py in the project's environment, which is made first where there is none.
#
#   bash train.sh                         the main job: LNTL at sigma^2 = 0.02 from the shipped baseline
#   bash train.sh --color_var 0.03        the flags are those of train.py; --help lists them
#
# Variables that choose the environment stand at the top of scripts/env.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called as `sh train.sh`
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/env.sh
source "$ROOT/scripts/env.sh"
run_program train "$@"
