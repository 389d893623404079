#!/usr/bin/env bash
# Checks style and imports and runs the tests, in the environment of train.sh with requirements/dev.txt on top.
#
#   bash tests/run.sh                     the fast tests
#   bash tests/run.sh -m slow             the long ones
#   bash tests/run.sh -k colored -x       any arguments of pytest
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/env.sh
source scripts/env.sh

use_python dev
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -c 'from importlinter.cli import lint_imports_command as lint_imports; lint_imports()' --no-cache --no-logo
exec "$PYTHON" -m pytest "$@"
