# shellcheck shell=bash
# The environment of train.sh, test.sh and tests/run.sh, which set ROOT and source this. Works with bash 3.2 (macOS).
#
#   LNTL_PYTHON=/path/python    a Python that has the packages of requirements.txt; nothing is installed
#   LNTL_LOCKED=1               install from requirements/lock.txt, every file checked against its SHA-256
#   LNTL_RUNTIME=docker         run in the docker image, on the GPU where there is one [local]
#
# Without LNTL_PYTHON, an active virtual environment that has the packages is used, else .venv beside train.sh. It is
# made where it is missing, and brought up to date where its marks, .venv/installed-*, differ from the requirements.

VENV=$ROOT/.venv

say() { echo "environment: $*" >&2; }

die() {
  echo "error: $*" >&2
  exit 2
}

# run_program train|test FLAGS...: runs it in place of this shell, from where the user stands.
run_program() {
  local program=$1 typed
  shift
  typed=$(printf %q "$0")
  export LNTL_COMMAND="bash ${typed%"$program.sh"}" # the commands that the program prints begin like this one
  case ${LNTL_RUNTIME:-local} in
    local) ;;
    docker) run_in_docker "$program.py" "$@" ;;
    *) die "LNTL_RUNTIME=$LNTL_RUNTIME is neither local nor docker" ;;
  esac
  use_python requirements.txt
  exec "$PYTHON" "$ROOT/$program.py" "$@"
}

# run_in_docker PROGRAM FLAGS...: of the host's folders, the container has the one where the user stands.
run_in_docker() {
  local program=$1 options=(--rm --init --user "$(id -u):$(id -g)" -v "$PWD:$PWD" -w "$PWD" -e CUDA_VISIBLE_DEVICES)
  shift
  options+=(-e "LNTL_COMMAND=LNTL_RUNTIME=docker $LNTL_COMMAND")
  command -v docker >/dev/null || die "LNTL_RUNTIME=docker, but there is no docker here; install it, or unset that"
  if nvidia-smi >/dev/null 2>&1; then options+=(--gpus all); else say "nvidia-smi finds no GPU, so on the CPU"; fi
  if [ -t 0 ] && [ -t 1 ]; then options+=(-it); fi
  docker build -t learning-not-to-learn "$ROOT" >&2 || die "docker could not build the image (its message is above)"
  exec docker run "${options[@]}" learning-not-to-learn python3 "/app/$program" "$@"
}

# use_python FILE [MODULES]: sets PYTHON to one that has the packages of the requirements FILE.
use_python() {
  local active=${VIRTUAL_ENV:-}
  if [ -n "${LNTL_PYTHON:-}" ]; then
    PYTHON=$LNTL_PYTHON # the program itself says which packages it lacks
    command -v "$PYTHON" >/dev/null || die "LNTL_PYTHON=$PYTHON is no program; give the path of a Python, or unset it"
    return
  fi
  if [ -n "$active" ] && [ ! "$active" -ef "$VENV" ] && [ "${LNTL_LOCKED:-}" != 1 ]; then
    PYTHON=$active/bin/python
    if "$PYTHON" "$ROOT/common/before_torch.py" 2>/dev/null && "$PYTHON" -c "import ${2:-sys}" 2>/dev/null; then
      say "the active one, $active"
      return
    fi
    say "the active one, $active, lacks packages of $1; taking .venv"
  fi
  PYTHON=$VENV/bin/python
  if ! complete "$1"; then make_venv "$1"; fi
}

installed() { cmp -s "$ROOT/$1" "$VENV/installed-${1##*/}"; } # installed FILE: whether .venv holds FILE as it is now

complete() { # complete FILE: whether .venv is ready for what needs FILE
  [ -x "$PYTHON" ] && [ ! -e "$VENV.unfinished" ] && installed requirements.txt && installed "$1" &&
    { [ "${LNTL_LOCKED:-}" != 1 ] || installed requirements/lock.txt; }
}

# make_venv FILE: makes .venv or brings it up to date, one process at a time where the system has flock.
make_venv() {
  [ -w "$ROOT" ] || die "$ROOT is not writable, so .venv cannot be made there; set LNTL_PYTHON"
  exec 9>"$ROOT/.venv.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    say "another process is making .venv; waiting for it"
    flock 9
  fi
  if ! complete "$1"; then
    if [ -e "$VENV.unfinished" ] || [ -z "$(ls -A "$VENV" 2>/dev/null)" ]; then new_venv; fi
    [ -x "$PYTHON" ] || die "$VENV has no Python that runs; delete it to have it made anew"
    if [ "${LNTL_LOCKED:-}" != 1 ] && ! installed requirements.txt; then
      rm -f "$VENV/installed-lock.txt"
      install requirements.txt
    elif [ "${LNTL_LOCKED:-}" = 1 ] && ! installed requirements/lock.txt; then
      [ -e "$VENV.unfinished" ] || [ -e "$VENV/installed-lock.txt" ] ||
        die "LNTL_LOCKED=1, but $VENV was installed without hashes; delete it to have it made anew"
      install requirements/lock.txt --require-hashes
      cp "$ROOT/requirements.txt" "$VENV/installed-requirements.txt"
    fi
    if ! installed "$1"; then install "$1"; fi
    rm -f "$VENV.unfinished"
    say ".venv is ready"
  fi
  exec 9>&- # or a long training would hold the lock
}

# new_venv: makes .venv, empty. While .venv.unfinished is there, it is ours, and made anew after an interruption.
new_venv() {
  local base names="python3 python3.14 python3.13 python3.12 python3.11"
  if [ "${LNTL_LOCKED:-}" = 1 ]; then names="python3.11 $names"; fi # the one that the lock was made for
  for base in $names none; do
    if "$base" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then break; fi
  done
  [ "$base" != none ] || die "Python 3.11 to 3.14 is needed, and there is none here; install one, or set LNTL_PYTHON"
  "$base" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$base has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"
  say "making .venv with $("$base" --version) (several minutes and 6 GB)"
  touch "$VENV.unfinished"
  "$base" -m venv --clear "$VENV" >&2 || die "$base could not make .venv (its message is above)"
}

# install FILE PIP_ARGUMENTS...: into .venv, and keeps a copy of FILE as the mark of completion. In place of pip's
# hundred lines it says now and then how far it is; what pip says of a failure is shown.
install() {
  local status=0 teller
  say "installing $1 into .venv"
  while sleep 20 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    say "still installing, $(du -sm "$VENV/" | cut -f1) MB so far"
  done 9>&- &
  teller=$!
  PIP_USER=0 "$PYTHON" -m pip install --disable-pip-version-check --no-input --quiet "${@:2}" -r "$ROOT/$1" >&2 ||
    status=$?
  { kill $teller && wait $teller; } 2>/dev/null || true
  [ $status = 0 ] || die "pip could not install $1 (its message is above); give the same command again to go on"
  cp "$ROOT/$1" "$VENV/installing"
  mv "$VENV/installing" "$VENV/installed-${1##*/}"
}
