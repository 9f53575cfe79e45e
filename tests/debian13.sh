#!/usr/bin/env bash
# deploy/quickstart.sh on a fresh Debian 13, and MariaDB 11.8's client there, from another network: tests/debian13.sh
#
# Debian 13 is made by debootstrap in target/debian13, from the mirror that the machine's own apt names, and
# entered by chroot. Of the machine it has the Rust toolchain, the registry of crates and the network, and of
# this checkout its sources, not what was built of them. Then
#
#   - quickstart.sh installs, builds, and ends with a replicated commit; so it does when it is run again, and
#     `sandbox down` leaves no process behind;
#   - a client without options in a second network namespace connects to the proxy as to the source itself, and
#     says that it has verified the certificate;
#   - with somebody in the middle, who has another certificate, it refuses.
#
# Everything runs in namespaces that end with the script, however that ends, and takes every mount and process
# along; the folder is removed. Root only. The last line is "N passed, N failed, N skipped".
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

here=$PWD
place=$here/target/debian13
root=$place/root
# A sandbox of the machine's own may have the usual one.
port=23306

say() { printf '== %3d s: %s\n' "$SECONDS" "$*"; }
skip() {
    echo "SKIPPED: debian13: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
fail() {
    echo "tests/debian13.sh: $*" >&2
    # Where clean_up does not say it yet.
    if [ "${counts:-}" = here ]; then echo "0 passed, 1 failed, 0 skipped"; fi
    exit 1
}

# A command inside, with nothing of our environment but the way to the network.
inside() {
    local name passed=()
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name:-}" ] || passed+=("$name=${!name}")
    done
    chroot "$root" env -i -C /ackline HOME=/root TERM=dumb "${passed[@]}" \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# The same in a network namespace: inside_of PROCESS COMMAND…
inside_of() {
    local process=$1
    shift
    # A shell of its own, since nsenter knows no functions.
    nsenter --net="/proc/$process/ns/net" "$BASH" -euo pipefail -c \
        "$(declare -p root); $(declare -f inside); inside \"\$@\"" inside "$@"
}

populate() {
    local bundle setting
    mkdir -p "$root/ackline" "$root/opt/rust" "$root/root/.cargo/registry"
    # Files that git knows or would take; one that is deleted here is none.
    git -c safe.directory="$here" ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        tar -c --null --no-recursion -T - | tar -x -C "$root/ackline" --no-same-owner

    mount --bind "$toolchain" "$root/opt/rust"
    # What cargo has fetched once, it need not fetch again.
    mkdir -p "$cargo_home/registry"
    mount --bind "$cargo_home/registry" "$root/root/.cargo/registry"
    for setting in config.toml config; do
        [ ! -e "$cargo_home/$setting" ] || cp "$cargo_home/$setting" "$root/root/.cargo/"
    done
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"

    # Who has Rust has got it over HTTPS: the authorities are there, and cargo looks for them here.
    bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    if [ -f "$bundle" ]; then
        mkdir -p "$root/etc/ssl/certs"
        cp -L "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
    fi
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    # The machine's way to the mirror.
    apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$root/etc/apt/apt.conf.d/90machine" || true
}

# quickstart PROCESS: in whose network
quickstart() {
    local log=$place/quickstart.log
    inside_of "$1" deploy/quickstart.sh --port "$port" 2>&1 | tee "$log" || fail "quickstart.sh failed"
    grep -q '^| .*hello from the quickstart' "$log" || fail "quickstart.sh shows no row"
    grep -qE '^replica[12] acknowledged it' "$log" || fail "no replica acknowledged quickstart's commit"
    ! grep -q '^WARNING' "$log" || fail "quickstart.sh warns of something"
}

down() {
    local process
    inside target/quickstart/ackline sandbox down
    for process in /proc/[0-9]*; do
        # One that ends meanwhile is no fault.
        case "$(readlink "$process/exe" 2>/dev/null)" in
        *mariadbd | */ackline) fail "left behind by sandbox down: $(tr '\0' ' ' <"$process/cmdline")" ;;
        esac
    done
}

# A network namespace, held by a process: new_network VARIABLE
new_network() {
    # Until its process is in it, /proc shows ours.
    local ours deadline=$((SECONDS + 10))
    ours=$(readlink /proc/self/ns/net)
    unshare --net sleep infinity &
    printf -v "$1" %s $!
    while [ "$(readlink "/proc/${!1}/ns/net")" = "$ours" ]; do
        [ "$SECONDS" -lt "$deadline" ] || fail "no network namespace"
        sleep 0.05
    done
    nsenter --net="/proc/${!1}/ns/net" ip link set lo up
}

# \s of MariaDB's client, in the other network: client PORT [OPTION…]
client() {
    local at=$1
    shift
    inside_of "$there" timeout 30 mariadb -h10.0.0.1 -P"$at" -u"$user" -p"$password" "$@" -e '\s' 2>&1
}

verified() {
    local what=$1 said
    shift
    said=$(client "$@") || fail "$what: $said"
    grep -E '^(SSL|Server version):' <<<"$said" | sed "s/^/$what: /"
    grep -q '^SSL:.*cert is OK' <<<"$said" || fail "$what is not verified: $said"
}

# All that needs mounts or leaves processes. It is the first process of its namespace.
enter() {
    local home there source_port said deadline
    populate
    say "quickstart.sh"
    quickstart $$
    inside mariadbd --version | grep -q ' 11\.8\.' || fail "the servers are no MariaDB 11.8"
    down

    # A server and a client with nothing but a cable between them.
    new_network home
    new_network there
    nsenter --net="/proc/$home/ns/net" ip link add cable type veth peer name cable netns "$there"
    nsenter --net="/proc/$home/ns/net" ip addr add 10.0.0.1/30 dev cable
    nsenter --net="/proc/$home/ns/net" ip link set cable up
    nsenter --net="/proc/$there/ns/net" ip addr add 10.0.0.2/30 dev cable
    nsenter --net="/proc/$there/ns/net" ip link set cable up
    sed -i "s/^mysql = .*/mysql = [\"127.0.0.1:$port\", \"10.0.0.1:$port\"]/" "$root/ackline/sandbox/config.toml"
    sed -i 's/^bind_address = .*/bind_address = */' "$root/ackline/sandbox/source/my.cnf"
    say "quickstart.sh once more, in a network of its own"
    quickstart "$home"

    user=$(inside jq -r .app.user sandbox/sandbox.json)
    password=$(inside jq -r .app.password sandbox/sandbox.json)
    source_port=$(inside jq -r .source.port sandbox/sandbox.json)
    say "the client from another network"
    verified "the source" "$source_port"
    verified "the proxy" "$port"

    say "somebody in the middle"
    inside env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        libio-socket-ssl-perl >/dev/null
    inside openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=middle -days 2 -keyout /root/key.pem -out /root/cert.pem 2>/dev/null
    inside_of "$home" perl tests/middle.pl 10.0.0.1 3306 10.0.0.1 "$port" /root/cert.pem /root/key.pem &
    deadline=$((SECONDS + 20))
    # He can be passed by who does not verify, so that what refuses below is the certificate.
    until said=$(client 3306 --disable-ssl-verify-server-cert); do
        [ "$SECONDS" -lt "$deadline" ] || fail "nothing gets through the middle: $said"
        sleep 0.2
    done
    grep -q '^SSL:.*Cipher in use' <<<"$said" || fail "no TLS through the middle: $said"
    if said=$(client 3306); then fail "the client does not refuse somebody in the middle: $said"; fi
    echo "$said"
    grep -qi 'certificate' <<<"$said" || fail "the client refuses for another reason: $said"
    down
}

if [ "${1:-}" = --entered ]; then
    SECONDS=$2 toolchain=$3 cargo_home=$4
    enter
    exit
fi

counts=here
[ "$(id -u)" = 0 ] || skip "only root can make a Debian and enter it"
toolchain=$(rustc --print sysroot) || fail "no Rust here"
if [ ! -x "$toolchain/bin/cargo" ] || [ "$toolchain" = /usr ]; then
    skip "Rust is no toolchain in a folder of its own (rustup)"
fi
cargo_home=${CARGO_HOME:-$HOME/.cargo}
unshare --mount --pid --fork --net true 2>/dev/null || skip "no namespaces can be made here"
deploy/install.sh debian13 || skip "debootstrap or ip cannot be installed"
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Origin: Debian' 'Label: Debian' 'Created-By: Packages' | head -n 1)
[ -n "$mirror" ] || skip "apt's sources name no Debian archive, or their lists were never fetched (apt-get update)"

mkdir -p "$place"
# Another run would take the folder away from under us.
exec 9>"$place/lock"
flock -n 9 || fail "it runs already"
# A signal may come while a log has our output.
exec 8>&1
namespaces=""
# shellcheck disable=SC2317
clean_up() {
    local status=$?
    trap - EXIT
    # With it go all its processes and, since they are the last in there, the mounts; only then is the
    # folder nothing but a folder.
    if [ -n "$namespaces" ]; then
        kill -KILL "$namespaces" 2>/dev/null || true
        wait "$namespaces" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$root" "$place/quickstart.log"
    if [ "$status" != 0 ]; then echo "0 passed, 1 failed, 0 skipped" >&8; fi
    exit "$status"
}
# In the background, so that a signal is heard meanwhile. Should we be killed, they die as well.
in_namespaces() {
    local status=0
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$@" 8>&- 9>&- &
    namespaces=$!
    wait "$namespaces" || status=$?
    namespaces=""
    return "$status"
}
trap clean_up EXIT
counts=""
trap 'exit 143' TERM
trap 'exit 130' INT
# One that was killed may have left something.
rm -rf --one-file-system "$root"

say "Debian 13 from $mirror"
proxy=$(apt-config shell proxy Acquire::http::Proxy)
eval "$proxy"
export http_proxy=${http_proxy:-${proxy:-}}
in_namespaces debootstrap --variant=minbase trixie "$root" "$mirror" >"$place/debootstrap.log" 2>&1 ||
    skip "debootstrap: $(tail -n 1 "$place/debootstrap.log")"
in_namespaces "$BASH" "$here/tests/debian13.sh" --entered "$SECONDS" "$toolchain" "$cargo_home" || exit 1
say "done"
echo "1 passed, 0 failed, 0 skipped"
