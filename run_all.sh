#!/usr/bin/env bash
# Runs the notebooks of a profile, headless; makes what is missing first. `./run_all.sh --help` says all.
# This file only finds or makes the environment; what follows is wsss_lib/workflow.
set -euo pipefail

export WSSS_CALLED_FROM=$PWD
for name in WSSS_DATA WSSS_OUTPUTS; do # folders as seen from where the command was given
  case ${!name:-/} in /*) ;; *) export "$name=$PWD/${!name}" ;; esac
done
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export UV_PYTHON_DOWNLOADS=never

fail() {
  echo "run_all.sh: $*" >&2
  exit 1
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

# Whether the environment $1 has a Python that fits and the packages.
whole() {
  supported "$1/bin/python" && "$1/bin/python" -m wsss_lib.workflow.environment --lacking >/dev/null
}

# Whether .venv is whole and made for the lock $1.
up_to_date() { [ "$(cat .venv/.lock-of 2>/dev/null)" = "$1" ] && whole .venv; }

# A Python that can make the environment: $PYTHON if it is set, else the first that fits.
base_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python}; do
    if supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "needs Python 3.11 or 3.12; ${PYTHON:-python3} is $("${PYTHON:-python3}" -V 2>&1 | head -n 1);" \
    "install one, or name it: PYTHON=/path/to/python3.12 ./run_all.sh"
}

# uv from PATH, else from .boot/, installed there once; fails where it cannot be had.
find_uv() {
  command -v uv && return
  if [ ! -x .boot/bin/uv ]; then
    "$1" -m venv .boot >&2 && .boot/bin/python -m pip install --quiet uv >&2 ||
      "$1" -m pip install --quiet --target .boot uv >&2 || return 1
  fi
  echo "$PWD/.boot/bin/uv"
}

# .venv with exactly the packages of requirements.lock; the stamp, written last, says for which lock it is whole.
make_venv() {
  local python uv
  python=$(base_python)
  mkdir -p .boot
  if command -v flock >/dev/null; then
    exec 9>.boot/lock
    flock 9
    ! up_to_date "$1" || { exec 9>&-; return 0; }
  fi
  echo "making the environment .venv with $("$python" -V): packages of requirements.lock, about 5 GB, once" >&2
  supported .venv/bin/python || rm -rf .venv
  if uv=$(find_uv "$python"); then
    "$uv" venv --quiet --allow-existing --python "$python" .venv >&2
    "$uv" pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock >&2
  else
    "$python" -m venv .venv >&2 || fail "cannot make .venv: install uv, or the venv package of your system's Python"
    .venv/bin/python -m pip install --require-hashes -r requirements.lock >&2
  fi
  echo "$1" >.venv/.lock-of
  exec 9>&-
}

# The Python to use: of the active conda or virtual environment if it has the packages, else of .venv.
find_environment() {
  local prefix lock
  for prefix in "${CONDA_PREFIX:-}" "${VIRTUAL_ENV:-}"; do
    if [ -n "$prefix" ] && [ "$prefix" != "$PWD/.venv" ] && whole "$prefix"; then
      python=$prefix/bin/python
      return
    fi
  done
  lock=$(cksum <requirements.lock)
  # a .venv without a stamp is the user's own; it is used as it is while it lacks nothing
  if ! up_to_date "$lock" && { [ -s .venv/.lock-of ] || ! whole .venv; }; then
    make_venv "$lock"
  fi
  python=$PWD/.venv/bin/python
}

for word in "$@"; do
  if [ "$word" = --help ] || [ "$word" = -h ]; then
    [ "$1" = test ] && break
    base=$(base_python)
    exec "$base" -m wsss_lib.workflow --help
  fi
done

find_environment
"$python" -m wsss_lib.workflow.environment --link
exec "$python" -m wsss_lib.workflow "$@"
