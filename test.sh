#!/usr/bin/env bash
# test.py in the project's environment, which is made first where there is none.
#
#   bash test.sh -e lntl_var0.020         the test images, by the weights of a run
#   bash test.sh --checkpoint FILE        or by any weights file
#
# Variables that choose the environment stand at the top of scripts/env.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called as `sh test.sh`
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/env.sh
source "$ROOT/scripts/env.sh"
run_program test "$@"
