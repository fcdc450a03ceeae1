#!/bin/sh
# Usage: prerequisites.sh PYTHON [build|wheels|test|pytest|fuzz|testssl|valgrind|bench]...
#
# Make sure that the system has what the named tasks need. What is missing is installed by apt,
# as root or by a sudo that asks nothing; where neither works, the line to run is printed and
# this fails. Nothing is called when nothing is missing.
set -eu

python=$1
shift
missing=""

need() {
    missing="$missing $*"
}

# Servers lie where only root's PATH leads.
have() {
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null
}

# The headers and venv of a Python that came by apt are in packages of its own version.
python_package() {
    "$python" -c 'import sys; print("python%d.%d-%s" % (*sys.version_info[:2], sys.argv[1]))' "$1"
}

check_build() {
    if ! have cc || ! echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1; then
        need gcc libc6-dev
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need "$(python_package venv)"
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    [ -f "$header" ] || need "$(python_package dev)"
    have pkg-config || need pkg-config
    { have pkg-config && pkg-config --exists 'openssl >= 3.0'; } || need libssl-dev
    { have pkg-config && pkg-config --exists zlib; } || need zlib1g-dev
    { have pkg-config && pkg-config --exists 'libnghttp2 >= 1.51'; } || need libnghttp2-dev
}

check_wheels() {
    have dpkg-source || need dpkg-dev
}

check_test() {
    have pkg-config || need pkg-config
    { have pkg-config && pkg-config --exists cmocka; } || need libcmocka-dev
}

# The programs that the behaviour tests start beside the server.
check_pytest() {
    have nginx || need nginx-light
    have haproxy || need haproxy
    have runsv || need runit
    have openssl || need openssl
    have curl || need curl
    have ss || need iproute2
    have strace || need strace
    have systemd-analyze || need systemd
    have chromium-headless-shell || need chromium-headless-shell
    have nghttp || need nghttp2-client
}

check_fuzz() {
    tools/find_clang.sh >/dev/null || need clang libclang-rt-dev
}

check_bench() {
    have nginx || need nginx-light
    have wrk || need wrk
    have h2load || need nghttp2-client
    have taskset || need util-linux
    [ -f /usr/include/ev.h ] || need libev-dev
}

check_testssl() {
    have testssl || have testssl.sh || need testssl.sh
}

check_valgrind() {
    have valgrind || need valgrind
}

for task in "$@"; do
    "check_$task"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if ! have apt-get; then
    echo "missing (by their Debian names):$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif have sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
else
    echo "Some system packages are missing. Run this, then the same make again:" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi
echo "installing$missing"
$as_root apt-get update -q
# RUNLEVEL: a service that is installed for tests is not started.
# shellcheck disable=SC2086
$as_root RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $install
