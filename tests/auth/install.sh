#!/usr/bin/env bash
# MariaDB's plugins for ed25519 and for encrypted binlogs. Debian packs them together with the service, which is not
# installed here: the package is unpacked into ${XDG_CACHE_HOME:-~/.cache}/ackline/mariadb-plugins.
# Can be run again at any time; downloads only if the server's version has changed.
set -euo pipefail

plugins=${XDG_CACHE_HOME:-${HOME:?"neither XDG_CACHE_HOME nor HOME is set"}/.cache}/ackline/mariadb-plugins
impossible() {
    echo "tests/auth/install.sh: MariaDB's plugins cannot be had here: $*" >&2
    exit 1
}
for program in apt-get dpkg-deb dpkg-query; do
    command -v "$program" >/dev/null || impossible "no $program, this is no Debian"
done
version=$(dpkg-query -W -f '${Version}' mariadb-server-core 2>/dev/null) ||
    impossible "mariadb-server-core is not a package here"
wanted=(auth_ed25519.so file_key_management.so)
missing=""
for plugin in "${wanted[@]}"; do
    [ -e "$plugins/$plugin" ] || missing=yes
done
[ -n "$missing" ] || [ "$(cat "$plugins/version" 2>/dev/null)" != "$version" ] || exit 0

mkdir -p "$(dirname "$plugins")"
work=$(mktemp -d "$plugins.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
# A server that was not upgraded for a while takes the plugins of a later patch of its series.
apt-get -qq -o APT::Sandbox::User="$(id -un)" download "mariadb-server=$version" 2>/dev/null ||
    apt-get -qq -o APT::Sandbox::User="$(id -un)" download mariadb-server ||
    impossible "mariadb-server $version cannot be fetched"
dpkg-deb -x ./*.deb "$work/new"
mkdir "$work/plugins"
for plugin in "${wanted[@]}"; do
    cp "$work/new/usr/lib/mysql/plugin/$plugin" "$work/plugins/"
done
echo "$version" >"$work/plugins/version"
rm -rf "$plugins"
mv -T "$work/plugins" "$plugins"
