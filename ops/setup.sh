#!/bin/sh
# Makes .venv and the command .venv/bin/orderbooks, from a lock file with hashes.
#
#   ops/setup.sh          what running needs
#   ops/setup.sh report   and what draws the pictures of `orderbooks quality`
#   ops/setup.sh dev      and what testing needs
#   ops/setup.sh clients  .venv-clients: the official clients that the tests point at the venue
#   ops/setup.sh rivals   .venv-rivals: what tests/bench measures the streamer against
#   ops/setup.sh sentry   .venv-sentry: a Sentry-compatible server for `make sentry-e2e`
#   ops/setup.sh k8s      .venv-k8s: the schemas of the Kubernetes API for `make k8s-check`
#
# Needs python3 (3.11 or newer) with venv, and no root. Uses uv when it is there, else pip.
# Safe to run twice: with nothing changed it does nothing. Touches nothing but its environment.
set -eu
unset PYTHONPATH PYTHONHOME

fail() {
    echo "setup: $1" >&2
    exit 1
}

kind=${1:-run}
case $kind in
    run) lock=requirements.lock ;;
    report) lock=requirements-report.lock ;;
    dev) lock=requirements-dev.lock ;;
    clients | rivals | sentry | k8s) lock=requirements-$kind.lock ;;
    *) fail "usage: ops/setup.sh [report|dev|clients|rivals|sentry|k8s]" ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
python=${PYTHON:-python3}
# What only tests point at ours has an environment of its own.
case $kind in
    clients | rivals | sentry | k8s) venv=$root/.venv-$kind ;;
    *) venv=$root/.venv ;;
esac

command -v "$python" >/dev/null 2>&1 ||
    fail "python3 is missing; install it (Debian, Ubuntu: apt install python3 python3-venv)"
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') ||
    fail "$python does not run; install it (Debian, Ubuntu: apt install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $version, orderbooks needs 3.11 or newer (name one with PYTHON=...)"

# The stamp says what the environment was made of. It is written last, so that an environment
# that was interrupted half way has none. What testing needs includes what running needs.
made_of() { echo "$root $version $(cat ops/setup.sh "$1" | sha256sum)"; }
stamp() { echo "$venv/.made-of-$1"; }
if [ "$(cat "$(stamp "$kind")" 2>/dev/null)" = "$(made_of "$lock")" ]; then
    exit 0
fi

# An environment works in the place and with the Python it was made for, nowhere else.
its_version=$("$venv/bin/python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
    its_version=none
its_root=$(cat "$venv/.made-in" 2>/dev/null) || its_root=$root
if [ "$its_version" != "$version" ] || [ "$its_root" != "$root" ]; then
    rm -rf "$venv"
fi
if command -v uv >/dev/null 2>&1; then
    [ -d "$venv" ] || uv venv --quiet --python "$python" "$venv" || fail "uv could not make .venv"
    install() { uv pip install --quiet --python "$venv/bin/python" --compile-bytecode "$@"; }
else
    if [ ! -d "$venv" ]; then
        "$python" -c 'import venv, ensurepip' 2>/dev/null ||
            fail "Python cannot make environments; install venv (Debian, Ubuntu: apt install python3-venv)"
        "$python" -m venv "$venv" || fail "could not make .venv"
    fi
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    install() { "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@"; }
fi
echo "$root" >"$venv/.made-in"
echo "setup: installing $lock into ${venv##*/} (Python $version)" >&2
install --require-hashes -r "$lock" || fail "could not install $lock; the lines above say why"

if [ "$venv" != "$root/.venv" ]; then
    made_of "$lock" >"$(stamp "$kind")"
    exit 0
fi

# The checkout is the installation: this makes it importable from any directory.
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$root" >"$packages/orderbooks.pth"
# -P: a directory called workers where the command is given must not be taken for ours.
cat >"$venv/bin/orderbooks" <<END
#!/bin/sh
exec "$venv/bin/python" -P -m workers.tools "\$@"
END
chmod +x "$venv/bin/orderbooks"

made_of requirements.lock >"$(stamp run)"
if [ "$kind" = report ] || [ "$kind" = dev ]; then
    made_of requirements-report.lock >"$(stamp report)"
fi
if [ "$kind" = dev ]; then
    made_of requirements-dev.lock >"$(stamp dev)"
fi
