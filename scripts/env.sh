# shellcheck shell=bash
# What train.sh, test.sh and tests/run.sh share: the Python environment, the docker image, and reading flags.
# Sourced from the root of the repository. Works with bash 3.2 (macOS).
#
#   LNTL_RUNTIME=local|docker   where to run; unset: docker where it works and has the NVIDIA runtime, else local
#   LNTL_PYTHON=/path/python    a Python that has the packages of requirements.txt: nothing is installed, no docker
#   LNTL_LOCKED=1               install from requirements/lock.txt, every file checked against its SHA-256
#
# Without LNTL_PYTHON, an active virtual environment that has the packages is used, else ./.venv, made when missing.

ROOT=$PWD
IMAGE=learning-not-to-learn
PACKAGES="torch torchvision numpy tqdm PIL matplotlib"
DEV_PACKAGES="pytest hypothesis ruff importlinter"

say() { echo "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# ---------------------------------------------------------------------------------------------------- flags

# underscored FLAG: --color-var=a-b -> --color_var=a-b; to the programs - and _ are the same in a flag.
underscored() {
  local name=${1%%=*} rest=""
  case $1 in *=*) rest="=${1#*=}" ;; esac
  case $name in --*) name=${name#--} name=--${name//-/_} ;; esac
  printf '%s' "$name$rest"
}

# value_of NAMES FLAGS...: prints the value of the last flag that is one of NAMES ("--exp_name -e"); fails without one.
value_of() {
  local names=" $1 " value="" found=1 flag
  shift
  while [ $# -gt 0 ]; do
    flag=$(underscored "$1")
    case $flag in
      --*=*) if [[ $names == *" ${flag%%=*} "* ]]; then value=${flag#*=} found=0; fi ;;
      --*) if [[ $names == *" $flag "* ]]; then value=${2-} found=0; fi ;;
      -?) if [[ $names == *" $flag "* ]]; then value=${2-} found=0; fi ;;
      -?*) if [[ $names == *" ${flag:0:2} "* ]]; then value=${flag:2} found=0; fi ;;
    esac
    shift
  done
  printf '%s' "$value"
  return $found
}

# has_flag NAMES FLAGS...: whether one of NAMES is among the flags.
has_flag() { value_of "$@" >/dev/null; }

# three_decimals NUMBER: 0.02 -> 0.020, as in the names of runs and weights; fails if it is no number.
three_decimals() {
  [[ $1 =~ ^[0-9.]+([eE][-+]?[0-9]+)?$ ]] && LC_ALL=C printf '%.3f' "$1" 2>/dev/null
}

# absolute PATH FOLDER: PATH as seen from FOLDER, ~ as the home folder.
absolute() {
  # shellcheck disable=SC2088  # it is meant as a letter
  case $1 in
    "~") printf '%s' "$HOME" ;;
    "~/"*) printf '%s/%s' "$HOME" "${1#"~/"}" ;;
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$2" "$1" ;;
  esac
}

# absolute_paths FOLDER FLAGS...: sets FLAGS to the same flags with paths relative to FOLDER made absolute.
absolute_paths() {
  local folder=$1 flag
  shift
  FLAGS=()
  if [ $# -gt 0 ] && [[ $1 != -* ]]; then # the weights of test.sh, here or behind flags
    FLAGS+=("$(absolute "$1" "$folder")")
    shift
  fi
  while [ $# -gt 0 ]; do
    flag=$(underscored "$1")
    case $flag in
      --init=random | --init=imagenet) FLAGS+=("$flag") ;; # words, and no files
      --data_dir | --save_dir | --checkpoint | --from | --images | --out | --init)
        FLAGS+=("$flag")
        if [ $# -gt 1 ]; then
          shift
          case "$flag $1" in
            "--init random" | "--init imagenet") FLAGS+=("$1") ;;
            *) FLAGS+=("$(absolute "$1" "$folder")") ;;
          esac
        fi
        ;;
      --data_dir=* | --save_dir=* | --checkpoint=* | --from=* | --images=* | --out=* | --init=*)
        FLAGS+=("${flag%%=*}=$(absolute "${flag#*=}" "$folder")")
        ;;
      -e | --exp_name | --target | --bias)
        FLAGS+=("$1")
        if [ $# -gt 1 ]; then
          shift
          FLAGS+=("$1")
        fi
        ;;
      [!-]*.pt | [!-]*.pth | [!-]*.ckpt) FLAGS+=("$(absolute "$1" "$folder")") ;;
      *) FLAGS+=("$1") ;;
    esac
    shift
  done
}

# names_weights FLAGS...: whether a weights file is named without a flag, first or anywhere.
names_weights() {
  local before="" word
  if [ $# -gt 0 ] && [[ $1 != -* ]]; then return 0; fi
  for word in "$@"; do
    case $before in
      -e | --exp[_-]name | --init | --from) ;;
      *) case $word in [!-]*.pt | [!-]*.pth | [!-]*.ckpt) return 0 ;; esac ;;
    esac
    before=$word
  done
  return 1
}

# from_here FLAGS...: sets FLAGS so that paths, and those that are printed, are right where the user stands.
from_here() {
  if [ "$CALLED_FROM" = "$ROOT" ]; then
    FLAGS=("$@")
  else
    absolute_paths "$CALLED_FROM" "$@"
    if ! has_flag --save_dir "$@"; then FLAGS+=(--save_dir "$ROOT/checkpoint"); fi
    if has_flag --images "$@" && ! has_flag --out "$@"; then FLAGS+=(--out "$CALLED_FROM/predictions.csv"); fi
  fi
}

# quoted WORDS...: the words as they can be typed.
quoted() {
  local word line=""
  for word in "$@"; do line+=" $(printf '%q' "$word")"; done
  printf '%s' "${line# }"
}

# typed SCRIPT FLAGS...: tells the programs what was typed, so that they print commands that work here.
typed() {
  LNTL_COMMAND=$(quoted bash "$1")
  LNTL_RESUME=$(quoted bash "$@")
  if ! has_flag --resume "$@"; then LNTL_RESUME+=" --resume"; fi
  export LNTL_COMMAND LNTL_RESUME
}

# help_of SCRIPT PROGRAM: prints the head of SCRIPT, the variables, and, where an environment is there, PROGRAM's flags.
help_of() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1" | sed '/^Another shell/,$d'
  printf '\n%s\n\n' "Variables:"
  sed -n 's/^#   LNTL_/  LNTL_/p' scripts/env.sh
  printf '\n'
  if python_is_here; then exec "$PYTHON" "$2" --help; fi
  echo "The flags of $2 are listed here once there is an environment; \`bash $1\` makes one (several minutes, 5.5 GB)."
}

# ---------------------------------------------------------------------------------------------- where to run

# within SECONDS COMMAND...: runs a command that may hang, where `timeout` is there to end it.
within() {
  if command -v timeout >/dev/null; then timeout -k 2 "$@"; else "${@:2}"; fi
}

docker_answers() { command -v docker >/dev/null && within 10 docker info >/dev/null 2>&1; }

docker_info() { within 10 docker info --format "{{json .$1}}" 2>/dev/null; }

nvidia_in_docker() {
  command -v nvidia-smi >/dev/null && within 20 nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null &&
    docker_info Runtimes | grep nvidia >/dev/null
}

# Sets RUNTIME to local or docker.
choose_runtime() {
  RUNTIME=${LNTL_RUNTIME:-auto}
  case $RUNTIME in
    local) ;;
    docker) docker_answers || die "LNTL_RUNTIME=docker, but no docker daemon answers here; start it, or use LNTL_RUNTIME=local" ;;
    auto) if [ -z "${LNTL_PYTHON:-}" ] && nvidia_in_docker; then RUNTIME=docker; else RUNTIME=local; fi ;;
    *) die "LNTL_RUNTIME=$LNTL_RUNTIME is neither local nor docker; unset it to have it chosen" ;;
  esac
}

# run_in_docker SCRIPT FLAGS...: builds the image and runs SCRIPT in it, with the results folder and every path that
# the flags name mounted. The build takes seconds when nothing changed.
run_in_docker() {
  local script=$1 options path
  shift
  say "environment: docker image $IMAGE (LNTL_RUNTIME=local runs without docker)"
  docker build -t "$IMAGE" . >&2 || die "docker could not build the image (its message is above)"
  mkdir -p checkpoint
  options=(--rm --init -e CUDA_VISIBLE_DEVICES -e OMP_NUM_THREADS -e LNTL_COMMAND -e LNTL_RESUME -v "$ROOT/checkpoint:/app/checkpoint")
  if docker_info SecurityOptions | grep rootless >/dev/null; then
    options+=(--user 0:0) # root of a rootless container is the user outside
  else
    options+=(--user "$(id -u):$(id -g)")
  fi
  if nvidia_in_docker; then options+=(--gpus all); else say "environment: no NVIDIA runtime in docker, so on the CPU"; fi
  if [ -t 0 ] && [ -t 1 ]; then options+=(-it); fi

  absolute_paths "$CALLED_FROM" "$@"
  set -- ${FLAGS[@]+"${FLAGS[@]}"}
  if path=$(value_of --save_dir "$@"); then
    mkdir -p "$path" || die "--save_dir $path cannot be made"
    options+=(-v "$path:$path")
  fi
  if [ $# -gt 0 ] && [[ $1 == /* ]] && [ -e "$1" ]; then options+=(-v "$1:$1:ro"); fi # the weights of test.sh
  for flag in --data_dir --checkpoint --images --init; do # docker would make a folder of a path that does not exist
    if path=$(value_of "$flag" "$@") && [[ $path == /* ]] && [ -e "$path" ]; then options+=(-v "$path:$path:ro"); fi
  done
  if value_of --images "$@" >/dev/null && ! value_of --out "$@" >/dev/null; then # else it would be lost with the container
    set -- "$@" --out "$CALLED_FROM/predictions.csv"
  fi
  if path=$(value_of --out "$@"); then
    path=$(dirname "$path")
    if [ -d "$path" ]; then options+=(-v "$path:$path"); fi
  fi
  if path=$(value_of --from "$@") && [ -e "$path" ]; then # environment.json lies beside it
    path=$(dirname "$path")
    options+=(-v "$path:$path:ro")
  fi
  exec docker run "${options[@]}" "$IMAGE" bash "$script" "$@"
}

# -------------------------------------------------------------------------------------- the Python environment

# lacks PYTHON MODULES...: prints the modules that PYTHON does not have; fails if PYTHON does not run.
lacks() {
  "$1" -c 'import sys, importlib.util as u; print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))' "${@:2}" 2>/dev/null
}

# Sets BASE_PYTHON to a Python that requirements.txt can be installed for.
find_python() {
  local names="python3 python3.14 python3.13 python3.12 python3.11"
  if [ "${LNTL_LOCKED:-}" = 1 ]; then names="python3.11 $names"; fi # the one that the lock was made for
  for BASE_PYTHON in $names; do
    if command -v "$BASE_PYTHON" >/dev/null &&
      "$BASE_PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$BASE_PYTHON has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"
      return
    fi
  done
  die "Python 3.11 to 3.14 is needed, found: $(python3 --version 2>/dev/null || echo none); install one, or set LNTL_PYTHON"
}

copy_of() { printf '.venv/installed-%s' "${1##*/}"; } # the file as it was when its installation was complete

installed() { cmp -s "$1" "$(copy_of "$1")"; }

complete() { # complete base|dev: whether .venv holds what is asked for
  [ ! -e .venv/unfinished ] && [ -x .venv/bin/python ] && installed requirements.txt &&
    { [ "${LNTL_LOCKED:-}" != 1 ] || installed requirements/lock.txt; } &&
    { [ "$1" != dev ] || installed requirements/dev.txt; }
}

# install FILE PIP_ARGUMENTS...: installs FILE into .venv, and keeps a copy of it as the mark of completion. In place of
# pip's hundred lines it says now and then how far it is; what pip says of a failure is shown.
install() {
  local status=0 teller
  say "environment: installing $1 into .venv"
  (
    while sleep 20 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
      say "environment: still installing, $(du -sm .venv | cut -f1) MB so far"
    done
  ) 9>&- &
  teller=$!
  PIP_USER=0 .venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet "${@:2}" -r "$1" >&2 ||
    status=$?
  { kill $teller && wait $teller; } 2>/dev/null || true
  [ $status = 0 ] || die "pip could not install $1 (its message is above); give the same command again to go on"
  cp "$1" .venv/installing
  mv .venv/installing "$(copy_of "$1")"
}

# make_venv base|dev: makes .venv, or brings it up to date. One whose making was interrupted is made anew, under a lock.
make_venv() {
  if complete "$1"; then return; fi
  [ -w . ] || die "cannot write to $ROOT to make .venv; make the folder writable, or set LNTL_PYTHON"
  if ! command -v flock >/dev/null; then
    fill_venv "$1"
    return
  fi
  exec 9>.venv.lock
  flock -n 9 || { say "environment: another process is making .venv; waiting for it" && flock 9; }
  if ! complete "$1"; then fill_venv "$1"; fi
  exec 9>&- # or a long training would hold the lock
}

fill_venv() {
  if [ ! -e .venv ] || [ -e .venv/unfinished ] || [ -z "$(ls -A .venv)" ]; then
    find_python
    say "environment: making .venv with $("$BASE_PYTHON" --version) (several minutes and 5.5 GB)"
    mkdir -p .venv
    touch .venv/unfinished
    find .venv/ -mindepth 1 ! -path .venv/unfinished -delete # not rm -r: .venv may be a link to another disk
    "$BASE_PYTHON" -m venv .venv >&2 || die "$BASE_PYTHON could not make .venv (its message is above)"
  elif ! .venv/bin/python -c '' 2>/dev/null; then
    die ".venv holds no Python that runs; delete .venv to have it made anew"
  elif [ "${LNTL_LOCKED:-}" = 1 ] && ! installed requirements/lock.txt; then
    die "LNTL_LOCKED=1, but .venv was not installed from this requirements/lock.txt; delete .venv to have it made anew"
  fi
  if [ "${LNTL_LOCKED:-}" = 1 ] && ! installed requirements/lock.txt; then
    install requirements/lock.txt --require-hashes
    cp requirements.txt "$(copy_of requirements.txt)"
  elif ! installed requirements.txt; then
    rm -f "$(copy_of requirements/lock.txt)"
    install requirements.txt
  fi
  rm -f .venv/unfinished
  if [ "$1" = dev ] && ! installed requirements/dev.txt; then install requirements/dev.txt; fi
  say "environment: .venv is ready"
}

# use_python base|dev: sets PYTHON to a Python that has the packages; with `dev`, those of the tests too.
use_python() {
  local modules=$PACKAGES file=requirements.txt missing active=${VIRTUAL_ENV:-}
  if [ "$1" = dev ]; then modules="$modules $DEV_PACKAGES" file=requirements/dev.txt; fi
  case ${LNTL_LOCKED:-0} in 0 | 1) ;; *) die "LNTL_LOCKED=$LNTL_LOCKED is neither 0 nor 1" ;; esac
  if [ -n "${LNTL_PYTHON:-}" ]; then
    PYTHON=$LNTL_PYTHON
    if [[ $PYTHON == */* ]]; then PYTHON=$(absolute "$PYTHON" "$CALLED_FROM"); fi
    # shellcheck disable=SC2086  # a list of words
    missing=$(lacks "$PYTHON" $modules) || die "LNTL_PYTHON=$LNTL_PYTHON does not run as a Python"
    [ -z "$missing" ] || die "LNTL_PYTHON=$LNTL_PYTHON lacks $missing; install $file there, or unset it"
    return
  fi
  if [ -n "$active" ] && ! [ "$active" -ef .venv ] && [ "${LNTL_LOCKED:-}" != 1 ]; then
    PYTHON=$active/bin/python
    # shellcheck disable=SC2086
    missing=$(lacks "$PYTHON" $modules) || missing="a Python"
    if [ -z "$missing" ]; then
      say "environment: the active one, $active"
      return
    fi
    say "environment: the active one, $active, lacks $missing; taking .venv"
  fi
  make_venv "$1"
  PYTHON=.venv/bin/python
}

# python_is_here: sets PYTHON to a Python that has the packages already, and fails where there is none.
python_is_here() {
  PYTHON=
  for PYTHON in ${LNTL_PYTHON:+"$LNTL_PYTHON"} ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} .venv/bin/python; do
    # shellcheck disable=SC2086  # a list of words
    if missing=$(lacks "$PYTHON" $PACKAGES) && [ -z "$missing" ]; then return; fi
  done
  return 1
}
