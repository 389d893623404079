#!/usr/bin/env bash
# Trains the paper's method at sigma^2 = 0.02 from the shipped baseline, with the paper's settings, and evaluates it.
# Makes the environment first where there is none (scripts/env.sh says how, and by which variables to choose).
#
#   bash train.sh                                   the main job; results in checkpoint/lntl_var0.020
#   bash train.sh --color_var 0.03 --max_step 5     flags of train.py are passed on and override
#   bash train.sh --resume                          goes on after any interruption
#   bash train.sh --dry-run                         one batch of everything: does it work here?
#   LNTL_RUNTIME=local bash train.sh                not in docker, even where docker and a GPU are there
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

if [ -z "${LNTL_RESUME:-}" ]; then typed "$0" "$@"; fi # in docker it is known already
if has_flag "-h --help" "$@"; then
  help_of train.sh train.py
  exit
fi
choose_runtime
if [ "$RUNTIME" = docker ]; then run_in_docker train.sh "$@"; fi
use_python base
from_here "$@"
set -- ${FLAGS[@]+"${FLAGS[@]}"}

# Runs Python in the background, hands on to it the signals that make it save, and waits until it has gone. Ctrl-C
# reaches it by itself, once Python is told not to ignore it, as background commands do.
run_and_wait() {
  local child status=0
  "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])' "$@" &
  child=$!
  trap 'kill -TERM $child' TERM HUP USR1 USR2
  trap : INT
  while kill -0 $child 2>/dev/null; do wait $child && status=0 || status=$?; done
  trap - TERM HUP USR1 USR2 INT
  return $status
}

save_dir=$(value_of --save_dir "$@") || save_dir=checkpoint
method=$(value_of --method "$@") || method=lntl
if has_flag --train_baseline "$@"; then method=baseline; fi
dataset=$(value_of --dataset "$@") || dataset=colored_mnist
if [ "$dataset" = colored_mnist ]; then
  color_var=$(value_of --color_var "$@") || color_var=0.02
  number=$(three_decimals "$color_var") || number= # train.py says what is wrong with it
  default_name=$method${number:+_var$number}
  defaults=(-e "$default_name" --method "$method" --color_var 0.02 --random_seed 1)
else
  color_var='' number='' default_name=${dataset}_$method
  defaults=(-e "$default_name" --method "$method" --random_seed 1)
fi
name=$(value_of "-e --exp_name" "$@") || name=$default_name
if [ "$dataset" != colored_mnist ] && [ ! -e "${save_dir%/}/$name/last.pt" ]; then # which --continue would go on with
  case $method in lntl | blindeye)
    if ! has_flag "--checkpoint --from_scratch --from --pretrain" "$@"; then defaults+=(--pretrain 100); fi
    ;;
  esac
fi
baseline=baseline_var$number # a baseline of that variance is the start of the paper's method

start_needed() { # whether it is trained here, as none is shipped
  case $method in lntl | blindeye) ;; *) return 1 ;; esac
  [ -n "$number" ] && [ ! -e "checkpoints/$baseline.pth" ] && ! has_flag "--checkpoint --from_scratch --from --pretrain" "$@"
}

# Sets FLAGS to the flags without --resume.
without_resume() {
  FLAGS=()
  for flag in "$@"; do if [ "$flag" != --resume ]; then FLAGS+=("$flag"); fi; done
}

start=${save_dir%/}/$baseline/final.pth
if has_flag --from "$@"; then
  defaults=() # all of it is in the record
elif has_flag --resume "$@" && [ ! -e "${save_dir%/}/$name" ] && [ -e "${save_dir%/}/${name}_baseline" ]; then
  without_resume "$@" # it was the baseline of --pretrain that was stopped
  set -- ${FLAGS[@]+"${FLAGS[@]}"}
elif has_flag --resume "$@" && { [ -e "${save_dir%/}/$name" ] || ! start_needed "$@" || [ ! -e "${start%/*}" ]; }; then
  defaults=(-e "$name") # likewise
else
  without_resume "$@" # it was its baseline that was stopped
  set -- ${FLAGS[@]+"${FLAGS[@]}"}
  if [ -n "$number" ] && ! has_flag --color_var "$@"; then
    say "sigma^2 = 0.02, the default of train.sh (train.py's is 0.03); --color_var sets it"
  fi
  if start_needed "$@"; then
    if has_flag --dry-run "$@" || has_flag --dry_run "$@"; then
      say "no baseline of variance $color_var is shipped; the dry run starts from random weights"
      defaults+=(--from_scratch)
    else
      same=(--random_seed 1)
      for flag in --data_dir --data_seed --save_dir --device --threads; do
        if value=$(value_of "$flag" "$@"); then same+=("$flag=$value"); fi
      done
      if has_flag --cuda "$@"; then same+=(--cuda); fi
      say "no baseline of variance $color_var is shipped; training it first, or going on with it: $start"
      run_and_wait train.py -e "$baseline" --method baseline --color_var "$color_var" --continue "${same[@]}" || exit $?
      defaults+=(--checkpoint "$start")
    fi
  fi
fi

exec "$PYTHON" train.py ${defaults[@]+"${defaults[@]}"} "$@"
