#!/usr/bin/env bash
# MariaDB's authentication plugins (ed25519). Debian packs them together with the service, which is not
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
[ "$(cat "$plugins/version" 2>/dev/null)" != "$version" ] || exit 0

mkdir -p "$(dirname "$plugins")"
work=$(mktemp -d "$plugins.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq -o APT::Sandbox::User="$(id -un)" download "mariadb-server=$version" ||
    impossible "mariadb-server $version cannot be fetched"
dpkg-deb -x ./*.deb "$work/new"
mkdir "$work/plugins"
cp "$work/new/usr/lib/mysql/plugin/auth_ed25519.so" "$work/plugins/"
echo "$version" >"$work/plugins/version"
rm -rf "$plugins"
mv -T "$work/plugins" "$plugins"
