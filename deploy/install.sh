#!/usr/bin/env bash
# Installs with apt what is missing, and nothing else: deploy/install.sh GROUP…
#
#   build     a C compiler and make, for the crates that compile C
#   servers   MariaDB's server and client programs, jq
#   bench     sysbench and HAProxy
#   mysql     MySQL 9.7's server and client programs, in a folder of their own (see unpack.sh)
#   mariadb-11.8
#             Debian 13's MariaDB in the same way, beside the machine's own
#   debian13  what tests/debian13.sh makes a Debian and networks with
#   connector-j
#             MariaDB Connector/J 3.5, which verifies servers by the password, in the same way
#   router    MySQL Router 9.7, for the benchmark, in the same way
#   python, node, perl, java
#             what tests/drivers/install.sh builds upon
#
# Can be run again at any time, asks nothing, works as root or with sudo (what is unpacked: as anybody), starts no
# service.
set -euo pipefail

usage() {
    echo "usage: deploy/install.sh [build] [servers] [bench] [mysql] [mariadb-11.8] [connector-j] [router] [debian13] [python] [node] [perl] [java]" >&2
    exit 2
}

# Programs by the Debian package that brings them.
declare -A package_of=(
    [cc]="gcc libc6-dev" [make]=make
    [mariadbd]=mariadb-server-core [mariadb-install-db]=mariadb-server-core
    [mariadb]=mariadb-client [mariadb-binlog]=mariadb-client [jq]=jq [openssl]=openssl
    [debootstrap]=debootstrap [ip]=iproute2
    [sysbench]=sysbench [haproxy]=haproxy
    [python3]="python3 python3-venv" [node]=nodejs [npm]=npm [perl]=perl [javac]=default-jdk-headless
)

# Servers lie in sbin, which is not on every user's path.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing=() unpacked=()
# What is no program: its packages, and a command that fails without it.
unless_works() {
    local packages=$1
    shift
    # shellcheck disable=SC2206
    "$@" >/dev/null 2>&1 || missing+=($packages)
}
[ $# -gt 0 ] || usage
for group in "$@"; do
    case "$group" in
    build) programs=(cc make) ;;
    servers) programs=(mariadbd mariadb-install-db mariadb mariadb-binlog jq openssl) ;;
    bench) programs=(sysbench haproxy) ;;
    mysql | mariadb-11.8 | connector-j | router)
        programs=()
        unpacked+=("$group")
        ;;
    debian13) programs=(debootstrap ip) ;;
    python)
        programs=(python3)
        unless_works python3-venv python3 -c 'import venv, ensurepip'
        ;;
    node) programs=(node npm) ;;
    perl)
        programs=(perl)
        unless_works libdbd-mariadb-perl perl -MDBD::MariaDB -e 1
        unless_works libdbd-mysql-perl perl -MDBD::mysql -e 1
        ;;
    java)
        programs=(javac)
        unless_works libmariadb-java test -e /usr/share/java/mariadb-java-client.jar
        ;;
    *) usage ;;
    esac
    for program in "${programs[@]}"; do
        # Some packages are several words.
        # shellcheck disable=SC2206
        command -v "$program" >/dev/null || missing+=(${package_of[$program]})
    done
done
# Nothing of it goes into the system, so it needs no apt of root's.
for product in "${unpacked[@]}"; do
    "$(dirname "$0")/unpack.sh" "$product"
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "deploy/install.sh: no apt-get here; install by hand: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deploy/install.sh: neither root nor sudo; as root run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
}

# Debian starts a service that it installs, unless a policy forbids it. Ours stands only meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

echo "installing ${missing[*]}"
# The package lists are fetched only where they are not there yet, or too old to be of use.
if ! apt install --no-install-recommends "${missing[@]}" 2>/dev/null; then
    apt update
    apt install --no-install-recommends "${missing[@]}"
fi
