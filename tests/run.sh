#!/usr/bin/env bash
# Checks style and imports and runs the tests, in the environment of train.sh with requirements/dev.txt on top.
#
#   bash tests/run.sh                     the fast tests
#   bash tests/run.sh -m slow             the long ones
#   bash tests/run.sh -k colored -x       any arguments of pytest
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called as `sh tests/run.sh`
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/env.sh
source "$ROOT/scripts/env.sh"

use_python requirements/dev.txt "pytest, hypothesis, ruff, importlinter"
cd "$ROOT"
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # processes of the tests run side by side
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache --no-logo
exec "$PYTHON" -m pytest "$@"
