#!/bin/sh
# Makes a release of this checkout below /opt/orderbooks/releases and prints its path.
#
#   ops/release.sh          /opt/orderbooks/releases/<version>-<commit>, with its own environment
#
# Nothing that runs is touched: `current` still points where it did. Safe to run twice: a release
# that is whole, and whose Python runs, is not made again. An environment is never moved; it is made
# where it will run.
set -eu
unset PYTHONPATH PYTHONHOME

fail() {
    echo "release: $1" >&2
    exit 1
}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
releases=/opt/orderbooks/releases
[ "$(id -u)" -eq 0 ] || fail "needs root: it writes below /opt"

# The service runs as another user and cannot reach a Python in somebody's home.
python=$(command -v "${PYTHON:-python3}") || fail "python3 is missing; apt install python3 python3-venv"
python=$(readlink -f "$python")
case $python in
    /root/* | /home/*) fail "$python lies in a home that the service cannot read; name another with PYTHON=..." ;;
esac

cd "$root"
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' workers/__init__.py)
if commit=$(git -c safe.directory="$root" rev-parse --short=12 HEAD 2>/dev/null); then
    list() { git -c safe.directory="$root" ls-files -z; }
    [ -z "$(git -c safe.directory="$root" status --porcelain --untracked-files=no)" ] ||
        fail "the checkout has changes that are not committed; a release must name what it is made of"
else
    # A tree without git, such as an unpacked archive: named by its content.
    list() { find . -type f -not -path './.venv*' -not -path './var*' -not -name '*.pyc' -print0 | sort -z; }
    commit=$(list | xargs -0 sha256sum | sha256sum | cut -c1-12)
fi
release=$releases/$version-$commit
# After an upgrade of the distribution the Python that an environment was made with is gone.
if [ -f "$release/.whole" ] && "$release/.venv/bin/python" -c '' 2>/dev/null; then
    echo "$release"
    exit 0
fi

umask 022
rm -rf "$release"
mkdir -p "$release"
list | xargs -0 cp --parents --preserve=mode,timestamps -t "$release"
PYTHON=$python UV_COMPILE_BYTECODE=1 sh "$release/ops/setup.sh" >&2 || fail "no environment; the lines above say why"
# /opt is read-only for the service: what is not compiled now is compiled at every start.
"$release/.venv/bin/python" -m compileall -q "$release/workers" || fail "$release/workers does not compile"
"$release/.venv/bin/orderbooks" config check "$release/config/orderbooks.yaml" >/dev/null ||
    fail "$release does not run"
echo "$commit" >"$release/.whole"
echo "$release"
