#!/usr/bin/env bash
# Evaluates on the test images what train.sh left, or any weights file; the environment is the one of train.sh.
#
#   bash test.sh                                    checkpoint/lntl_var0.020
#   bash test.sh --color_var 0.03                   checkpoint/lntl_var0.030
#   bash test.sh -e NAME                            checkpoint/NAME
#   bash test.sh --checkpoint FILE [--color_var V]  a weights file; V is taken from its path (..._var0.020...), else 0.02
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
elif file=$(value_of --checkpoint "$@"); then
  color_var=0.02
  if [[ $file =~ var(0\.[0-9]+) ]]; then color_var=${BASH_REMATCH[1]}; fi
  folder=$(basename "$(dirname "$file")")
  name=$(printf '%s_%s' "${folder#.}" "$(basename "$file" .pth)" | tr -c 'A-Za-z0-9_.+=-' _)
  defaults=(-e "test_${name#_}" --color_var "$color_var")
  if ! has_flag --color_var "$@"; then say "evaluating $file at --color_var $color_var"; fi
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
