#!/usr/bin/env bash
# MySQL 9.7, or with the argument `router` MySQL Router 9.7, beside whatever the machine has: Debian ships
# them in unstable only, together with a newer C library. So their packages and all that they depend on are
# unpacked into a folder, and none of them is installed: no root, no conflict with MariaDB, no service,
# nothing to undo but a folder.
#
#   MYSQL_ROOT    the folder; default ${XDG_CACHE_HOME:-~/.cache}/ackline/mysql-9.7. Neither `target/`,
#                 since it is a download that `cargo clean` need not cost and that all checkouts share.
#   MYSQL_ROOT/bin/{mysqld,mysql,mysqlbinlog,…}
#                 run those programs with their own loader and libraries; `ackline sandbox` and the tests
#                 know no other names. Another MySQL is used by setting MYSQL_ROOT to its basedir.
#   MYSQL_ROUTER_ROOT
#                 the same for the router, which only `deploy/bench.sh` needs; default mysql-router-9.7 there.
#
# `deploy/install.sh mysql` and `deploy/install.sh router` run this. The archive's address, its key and any HTTP proxy are those of the
# machine's own apt; packages are verified by apt as ever.
set -euo pipefail

series=9.7
case "${1:-mysql}" in
mysql)
    group=mysql product="MySQL $series" program=mysqld folder=mysql-$series variable=MYSQL_ROOT
    packages=(mysql-server-core mysql-client-core)
    ;;
router)
    group=router product="MySQL Router $series" program=mysqlrouter folder=mysql-router-$series variable=MYSQL_ROUTER_ROOT
    packages=(mysql-router)
    ;;
*)
    echo "usage: deploy/mysql.sh [mysql|router]" >&2
    exit 2
    ;;
esac
root=${!variable:-}
if [ -z "$root" ]; then
    cache=${XDG_CACHE_HOME:-${HOME:?"neither $variable, XDG_CACHE_HOME nor HOME is set"}/.cache}
    root=$cache/ackline/$folder
fi
root=$(realpath -m "$root")

impossible() {
    echo "deploy/install.sh $group: $product cannot be had here: $*" >&2
    echo "deploy/install.sh $group: unpack one by hand and set $variable to the folder of its bin/$program" >&2
    exit 1
}

works() {
    local version
    version=$("$root/bin/$program" --version 2>/dev/null) && [[ $version == *" Ver $series."* ]]
}

if works; then
    exit 0
fi
if [ -e "$root" ] && [ ! -e "$root/.ackline" ]; then
    impossible "$root exists, and its bin/$program is no $product"
fi
for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || impossible "no $tool, this is no Debian"
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
echo "fetching $product into $root"
apt-get -c "$work/apt.conf" -qq update ||
    impossible "the lists of $archive unstable could not be fetched"
version=$(apt-cache -c "$work/apt.conf" policy "${packages[0]}" | awk '/Candidate:/ { print $2 }')
case "$version" in
"" | "(none)") impossible "$archive unstable has no ${packages[0]} for $(dpkg --print-architecture)" ;;
"$series".*) ;;
*) impossible "$archive unstable has version $version now" ;;
esac
apt-get -c "$work/apt.conf" -qq -y --no-install-recommends --download-only install "${packages[@]}" >/dev/null ||
    impossible "its packages could not be fetched"

for package in "$work"/archives/*.deb; do
    dpkg-deb -x "$package" "$work/new"
done
# The maintainers' scripts need Perl and documentation; the servers do not.
find "$work/new/usr/share" -mindepth 1 -maxdepth 1 ! -name 'mysql*' -exec rm -rf {} +
rm -rf "$work/new/etc" "$work"/new/usr/lib/*/perl* "$work"/new/usr/bin/perl*

libraries=$(find "$work/new" -name 'libc.so.6' -printf '%h\n' | head -n 1)
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*.so.*' -printf '%f\n' | head -n 1)
[ -n "$loader" ] || impossible "no loader among its libraries"
libraries=${libraries#"$work/new/"}
# The router's plugins look for its own libraries at their place in the system.
own_libraries=""
[ ! -d "$work/new/usr/lib/mysql-router" ] || own_libraries=':$root/usr/lib/mysql-router'
# A basedir as MySQL's own packages lay it out.
mkdir "$work/new/bin"
ln -s usr/share "$work/new/share"
ln -s usr/lib "$work/new/lib"
for file in "$work"/new/usr/sbin/mysqld "$work"/new/usr/bin/mysql*; do
    # Scripts among them are left out, and the router's packages have no server.
    [ -e "$file" ] && [ "$(head -c 4 "$file")" = $'\x7fELF' ] || continue
    name=$(basename "$file")
    cat >"$work/new/bin/$name" <<WRAPPER
#!/bin/sh
# $name with the loader and the libraries that it was built for; they reach no child of it.
root=\${0%/*}/..
exec "\$root/$libraries/$loader" --library-path "\$root/$libraries$own_libraries" "\$root/${file#"$work/new/"}" "\$@"
WRAPPER
    chmod 755 "$work/new/bin/$name"
done
echo "$version" >"$work/new/.ackline"

# In one step: whoever looks sees all of it, or none.
rm -rf "$root"
mv -T "$work/new" "$root" 2>/dev/null || works || impossible "$root could not be put in its place"
works || impossible "$root/bin/$program does not run: $("$root/bin/$program" --version 2>&1 | head -n 3)"
echo "$product ($version) is in $root"
