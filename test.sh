#!/usr/bin/env bash
# Evaluates on the test images what train.sh left, or any weights file; the environment is the one of train.sh.
#
#   bash test.sh                                    checkpoint/lntl_var0.020
#   bash test.sh --color_var 0.03                   checkpoint/lntl_var0.030
#   bash test.sh -e NAME                            checkpoint/NAME
#   bash test.sh FILE                               a weights file; method and variance are what it says
# Another shell hands over to bash, and needs no more of this file than these lines.
if [ -z "${BASH_VERSION:-}" ]; then
  command -v bash >/dev/null && exec bash "$0" "$@"
  echo "error: this is a script for bash, which is not here; install it" >&2
  exit 2
fi
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/env.sh
source scripts/env.sh

if [ -z "${LNTL_RESUME:-}" ]; then typed "$0" "$@"; fi
if has_flag "-h --help" "$@"; then
  help_of test.sh test.py
  exit
fi
choose_runtime
if [ "$RUNTIME" = docker ]; then run_in_docker test.sh "$@"; fi
from_here "$@"
set -- ${FLAGS[@]+"${FLAGS[@]}"}

defaults=()
if has_flag "-e --exp_name" "$@"; then
  : # test.py says what is missing
elif has_flag --checkpoint "$@" || names_weights "$@"; then
  : # the weights say what they are
elif dataset=$(value_of --dataset "$@") && [ "$dataset" != colored_mnist ]; then
  method=$(value_of --method "$@") || method=lntl
  defaults=(-e "${dataset}_$method")
else
  color_var=$(value_of --color_var "$@") || color_var=0.02
  method=$(value_of --method "$@") || method=lntl
  if has_flag --train_baseline "$@"; then method=baseline; fi
  number=$(three_decimals "$color_var") || number=
  save_dir=$(value_of --save_dir "$@") || save_dir=checkpoint
  run=${save_dir%/}/$method${number:+_var$number}
  if [ -n "$number" ] && [ ! -e "$run" ]; then
    die "nothing to evaluate: $run does not exist; train first (bash train.sh), or give -e NAME or --checkpoint FILE"
  fi
  defaults=(-e "${run##*/}")
fi

use_python base
exec "$PYTHON" test.py ${defaults[@]+"${defaults[@]}"} "$@"
