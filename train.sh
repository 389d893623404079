#!/usr/bin/env bash
# Trains the paper's method at sigma^2 = 0.02 from the shipped baseline, with the paper's settings, and evaluates it.
# Makes the environment first where there is none (scripts/env.sh says how, and by which variables to choose).
#
#   bash train.sh                                   the main job; results in checkpoint/lntl_var0.020
#   bash train.sh --color_var 0.03 --max_step 5     flags of train.py are passed on and override
#   bash train.sh --resume                          goes on after any interruption
#   LNTL_RUNTIME=local bash train.sh                not in docker, even where docker and a GPU are there
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/env.sh
source scripts/env.sh

choose_runtime
if [ "$RUNTIME" = docker ]; then run_in_docker train.sh "$@"; fi
use_python base
if [ "$CALLED_FROM" != "$ROOT" ]; then
  absolute_paths "$CALLED_FROM" "$@"
  set -- ${FLAGS[@]+"${FLAGS[@]}"}
fi

# Runs Python in the background, hands SIGTERM on to it, and waits until it has saved and gone. Ctrl-C reaches it
# by itself, once Python is told not to ignore it, as background commands do.
run_and_wait() {
  local child status=0
  "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])' "$@" &
  child=$!
  trap 'kill -TERM $child' TERM
  trap : INT
  while kill -0 $child 2>/dev/null; do wait $child && status=0 || status=$?; done
  trap - TERM INT
  return $status
}

color_var=$(value_of --color_var "$@") || color_var=0.02
number=$(three_decimals "$color_var") || number= # train.py says what is wrong with it
method=$(value_of --method "$@") || method=lntl
if has_flag --train_baseline "$@"; then method=baseline; fi
defaults=(-e "$method${number:+_var$number}" --method "$method" --color_var 0.02 --random_seed 1)
if has_flag --from "$@"; then defaults=(); fi # all of it is in the record

# The start of the paper's method: a baseline of that variance, trained here where none is shipped.
baseline=baseline_var$number
start_needed() {
  case $method in lntl | blindeye) ;; *) return 1 ;; esac
  [ -n "$number" ] && [ ! -e "checkpoints/$baseline.pth" ] && ! has_flag "--checkpoint --from_scratch --from -h --help" "$@"
}
if start_needed "$@"; then
  save_dir=$(value_of --save_dir "$@") || save_dir=checkpoint
  start=${save_dir%/}/$baseline/final.pth
  if has_flag --dry-run "$@" && [ ! -e "$start" ]; then
    say "no baseline of variance $color_var is shipped; the dry run starts from random weights"
    defaults+=(--from_scratch)
  else
    same=(--random_seed 1)
    for flag in --data_dir --data_seed --save_dir --device --threads; do
      if value=$(value_of "$flag" "$@"); then same+=("$flag=$value"); fi
    done
    if has_flag --cuda "$@"; then same+=(--cuda); fi
    say "no baseline of variance $color_var is shipped; training it first, or going on with it: $start"
    run_and_wait train.py -e "$baseline" --method baseline --color_var "$color_var" --resume "${same[@]}" || exit $?
    defaults+=(--checkpoint "$start")
  fi
fi

exec "$PYTHON" train.py ${defaults[@]+"${defaults[@]}"} "$@"
