#!/usr/bin/env bash
# From a fresh clone to a commit through the proxy: installs what is missing, builds, starts a sandbox
# in ./sandbox (a source, two replicas, the proxy), commits, and says who acknowledged it.
# Run it again at any time.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

if ! command -v cargo >/dev/null; then
    echo "quickstart: no cargo here; get Rust from https://rustup.rs" >&2
    exit 1
fi
echo "== what is missing is installed"
deploy/install.sh build servers

echo "== building"
# Without what makes the release build (cargo install --path .) slow to build.
cargo build --profile quickstart --no-default-features

ackline=target/quickstart/ackline
echo "== starting a sandbox"
# Options of `sandbox up` are passed on.
"$ackline" sandbox up "$@" >/dev/null

dir=sandbox
while [ $# -gt 0 ]; do
    case "$1" in
    --dir) dir=$2 ;;
    --dir=*) dir=${1#--dir=} ;;
    esac
    shift
done
manifest=$dir/sandbox.json
config=$(jq -r .config "$manifest")
read -r host port user password database < <(
    jq -r '.app | "\(.host) \(.port) \(.user) \(.password) \(.database)"' "$manifest"
)

echo "== a commit through the proxy"
begun=$(date +%s%N)
# MariaDB's client since 11.4 does not count $MYSQL_PWD as a password: it would warn, and verify no certificate.
mariadb --defaults-extra-file=<(printf '[client]\npassword=%s\n' "$password") \
    -h"$host" -P"$port" -u"$user" "$database" --table -e "
    CREATE TABLE IF NOT EXISTS greeting (id INT AUTO_INCREMENT PRIMARY KEY, said_at TIMESTAMP(3), words TEXT);
    INSERT INTO greeting (said_at, words) VALUES (NOW(3), 'hello from the quickstart');
    SELECT * FROM greeting ORDER BY id DESC LIMIT 3;"
echo "answered after $((($(date +%s%N) - begun) / 1000000)) ms"

echo "== who has acknowledged it"
"$ackline" status --json --config "$config" | jq -r '
    # "binlog.000001:1234" as numbers that can be compared.
    def position: capture("(?<file>[0-9]+):(?<offset>[0-9]+)$") | [(.file | tonumber), (.offset | tonumber)];
    .binlog.released_position as $released
    | "released up to \($released), GTID \(.binlog.gtid)",
      (.replicas[] | "\(.name) "
          + if .received == null then "has received nothing"
            elif (.received | position) >= ($released | position) then "acknowledged it (received \(.received))"
            else "has not acknowledged it yet (received \(.received))" end)'

cat <<END
== what to try next
  mariadb -h$host -P$port -u$user -p$password $database
  $ackline status --watch --config $config
  $ackline mode quorum --config $config
  $ackline sandbox down --dir $dir
END
