#!/usr/bin/env bash
# MySQL 9.7 beside whatever the machine has: Debian ships it in unstable only, together with a newer
# C library. So its packages and all that they depend on are unpacked into a folder, and none of them
# is installed: no root, no conflict with MariaDB, no service, nothing to undo but a folder.
#
#   MYSQL_ROOT    the folder; default ${XDG_CACHE_HOME:-~/.cache}/ackline/mysql-9.7. Neither `target/`,
#                 since it is a download that `cargo clean` need not cost and that all checkouts share.
#   MYSQL_ROOT/bin/{mysqld,mysql,mysqlbinlog,…}
#                 run those programs with their own loader and libraries; `ackline sandbox` and the tests
#                 know no other names. Another MySQL is used by setting MYSQL_ROOT to its basedir.
#
# `deploy/install.sh mysql` runs this. The archive's address, its key and any HTTP proxy are those of the
# machine's own apt; packages are verified by apt as ever.
set -euo pipefail

series=9.7
if [ -z "${MYSQL_ROOT:-}" ]; then
    cache=${XDG_CACHE_HOME:-${HOME:?"neither MYSQL_ROOT, XDG_CACHE_HOME nor HOME is set"}/.cache}
    MYSQL_ROOT=$cache/ackline/mysql-$series
fi
root=$(realpath -m "$MYSQL_ROOT")

impossible() {
    echo "deploy/install.sh mysql: MySQL $series cannot be had here: $*" >&2
    echo "deploy/install.sh mysql: unpack one by hand and set MYSQL_ROOT to its basedir (the folder of bin/mysqld)" >&2
    exit 1
}

works() {
    local version
    version=$("$root/bin/mysqld" --version 2>/dev/null) && [[ $version == *" Ver $series."* ]]
}

if works; then
    exit 0
fi
if [ -e "$root" ] && [ ! -e "$root/.ackline" ]; then
    impossible "$root exists, and its bin/mysqld is no MySQL $series"
fi
for program in apt-get apt-cache dpkg-deb; do
    command -v "$program" >/dev/null || impossible "no $program, this is no Debian"
done
archive=$(apt-get indextargets --format '$(REPO_URI)' \
    'Origin: Debian' 'Label: Debian' 'Created-By: Packages' | head -n 1)
[ -n "$archive" ] ||
    impossible "apt's sources name no Debian archive, or their lists were never fetched (apt-get update)"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || impossible "no $keyring to verify packages with (apt-get install debian-archive-keyring)"

# An apt of its own: its sources, its lists, and a system on which nothing is installed, so that the C
# library is among the dependencies.
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/new"
echo "deb [signed-by=$keyring] $archive unstable main" >"$work/sources.list"
: >"$work/status"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$work";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
Acquire::Languages "none";
Debug::NoLocking "1";
// Its unprivileged user need not be able to write here.
APT::Sandbox::User "$(id -un)";
APT::Update::Error-Mode "any";
// Whatever the machine does after an update is about its own lists.
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
packages=(mysql-server-core mysql-client-core)
echo "fetching MySQL $series into $root"
apt-get -c "$work/apt.conf" -qq update ||
    impossible "the lists of $archive unstable could not be fetched"
version=$(apt-cache -c "$work/apt.conf" policy "${packages[0]}" | awk '/Candidate:/ { print $2 }')
case "$version" in
"" | "(none)") impossible "$archive unstable has no ${packages[0]} for $(dpkg --print-architecture)" ;;
"$series".*) ;;
*) impossible "$archive unstable has MySQL $version now" ;;
esac
apt-get -c "$work/apt.conf" -qq -y --no-install-recommends --download-only install "${packages[@]}" >/dev/null ||
    impossible "its packages could not be fetched"

for package in "$work"/archives/*.deb; do
    dpkg-deb -x "$package" "$work/new"
done
# The maintainers' scripts need Perl and documentation; the servers do not.
find "$work/new/usr/share" -mindepth 1 -maxdepth 1 ! -name mysql -exec rm -rf {} +
rm -rf "$work/new/etc" "$work"/new/usr/lib/*/perl* "$work"/new/usr/bin/perl*

libraries=$(find "$work/new" -name 'libc.so.6' -printf '%h\n' | head -n 1)
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*.so.*' -printf '%f\n' | head -n 1)
[ -n "$loader" ] || impossible "no loader among its libraries"
libraries=${libraries#"$work/new/"}
# A basedir as MySQL's own packages lay it out.
mkdir "$work/new/bin"
ln -s usr/share "$work/new/share"
ln -s usr/lib "$work/new/lib"
for program in "$work"/new/usr/sbin/mysqld "$work"/new/usr/bin/mysql*; do
    # Scripts among them are left out.
    [ "$(head -c 4 "$program")" = $'\x7fELF' ] || continue
    name=$(basename "$program")
    cat >"$work/new/bin/$name" <<WRAPPER
#!/bin/sh
# $name with the loader and the libraries that it was built for; they reach no child of it.
root=\${0%/*}/..
exec "\$root/$libraries/$loader" --library-path "\$root/$libraries" "\$root/${program#"$work/new/"}" "\$@"
WRAPPER
    chmod 755 "$work/new/bin/$name"
done
echo "$version" >"$work/new/.ackline"

# In one step: whoever looks sees all of it, or none.
rm -rf "$root"
mv -T "$work/new" "$root" 2>/dev/null || works || impossible "$root could not be put in its place"
works || impossible "$root/bin/mysqld does not run: $("$root/bin/mysqld" --version 2>&1 | head -n 3)"
echo "MySQL $version is in $root"
