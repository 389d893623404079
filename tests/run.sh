#!/usr/bin/env bash
# Checks style and imports and runs the tests, in the environment of train.sh with requirements/dev.txt on top.
#
#   bash tests/run.sh                     the fast tests
#   bash tests/run.sh -m slow             the long ones
#   bash tests/run.sh -k colored -x       any arguments of pytest
# Another shell hands over to bash, and needs no more of this file than these lines.
if [ -z "${BASH_VERSION:-}" ]; then
  command -v bash >/dev/null && exec bash "$0" "$@"
  echo "error: this is a script for bash, which is not here; install it" >&2
  exit 2
fi
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/env.sh
source scripts/env.sh

export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # processes of the tests run side by side
use_python dev
if [ $# = 0 ]; then say "the style takes seconds, the tests several minutes on two cores"; fi
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -c 'from importlinter.cli import lint_imports_command as lint_imports; lint_imports()' --no-cache --no-logo
exec "$PYTHON" -m pytest "$@"
