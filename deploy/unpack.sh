#!/usr/bin/env bash
# Servers beside whatever the machine has, in versions that its Debian does not ship: their packages and all
# that they depend on are unpacked into a folder, and none of them is installed: no root, no conflict with
# what is there, no service, nothing to undo but a folder.
#
#   deploy/unpack.sh mysql           MySQL 9.7, of Debian's unstable suite, into $MYSQL_ROOT
#   deploy/unpack.sh router          MySQL Router 9.7, for deploy/bench.sh, into $MYSQL_ROUTER_ROOT
#   deploy/unpack.sh mariadb-11.8    MariaDB 11.8, of Debian 13, into $MARIADB_11_8_ROOT
#   deploy/unpack.sh connector-j     MariaDB Connector/J 3.5, of Debian's unstable suite, into $MARIADB_CONNECTOR_J_ROOT
#
# The folders' defaults are mysql-9.7, mysql-router-9.7, mariadb-11.8 and connector-j-3.5 in ${XDG_CACHE_HOME:-~/.cache}/ackline:
# not in `target/`, since it is a download that `cargo clean` need not cost and that all checkouts share.
# FOLDER/bin/{mysqld,mariadbd,mysql,…} run those programs with their own loader and libraries. The sandbox and
# the tests know no other names; another MySQL is used by setting MYSQL_ROOT to its basedir, another MariaDB
# than the one on the PATH by MARIADB_ROOT.
#
# `deploy/install.sh PRODUCT` runs this. The archive's address, its key and any HTTP proxy are those of the
# machine's own apt; packages are verified by apt as ever.
set -euo pipefail

product=${1:-} plugins="" plugin_files=()
case "$product" in
mysql)
    name="MySQL 9.7" version_is=' Ver 9\.7\.' program=mysqld folder=mysql-9.7 variable=MYSQL_ROOT
    suite=unstable series=9.7 packages=(mysql-server-core mysql-client-core)
    ;;
router)
    name="MySQL Router 9.7" version_is=' Ver 9\.7\.' program=mysqlrouter folder=mysql-router-9.7 variable=MYSQL_ROUTER_ROOT
    suite=unstable series=9.7 packages=(mysql-router)
    ;;
mariadb-11.8)
    name="MariaDB 11.8" version_is=' Ver 11\.8\.' program=mariadbd folder=mariadb-11.8 variable=MARIADB_11_8_ROOT
    suite=trixie series=1:11.8 packages=(mariadb-server-core mariadb-client)
    # Debian packs them together with the service.
    plugins=mariadb-server plugin_files=(auth_ed25519.so auth_parsec.so)
    ;;
connector-j)
    name="MariaDB Connector/J 3.5" program=mariadb-java-client.jar folder=connector-j-3.5
    variable=MARIADB_CONNECTOR_J_ROOT suite=unstable series=3.5 packages=(libmariadb-java)
    ;;
*)
    echo "usage: deploy/unpack.sh mysql|router|mariadb-11.8|connector-j" >&2
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
    echo "deploy/install.sh $product: $name cannot be had here: $*" >&2
    echo "deploy/install.sh $product: unpack one by hand and set $variable to the folder of its bin/$program" >&2
    exit 1
}

works() {
    local version file
    if [ "$product" = connector-j ]; then
        [ -e "$root/bin/$program" ]
        return
    fi
    for file in "${plugin_files[@]}"; do
        [ -e "$root/usr/lib/mysql/plugin/$file" ] || return 1
    done
    # As an earlier release of this script made it, a client does not find its plugins. One that was unpacked by
    # hand is as it is.
    if [ -e "$root/.ackline" ] && ! grep -q MARIADB_PLUGIN_DIR "$root/bin/$program"; then
        return 1
    fi
    version=$("$root/bin/$program" --version 2>/dev/null) && [[ $version =~ $version_is ]]
}

if works; then
    exit 0
fi
if [ -e "$root" ] && [ ! -e "$root/.ackline" ]; then
    impossible "$root exists, and its bin/$program is no $name"
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
echo "deb [signed-by=$keyring] $archive $suite main" >"$work/sources.list"
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
echo "fetching $name into $root"
apt-get -c "$work/apt.conf" -qq update ||
    impossible "the lists of $archive $suite could not be fetched"
version=$(apt-cache -c "$work/apt.conf" policy "${packages[0]}" | awk '/Candidate:/ { print $2 }')
case "$version" in
"" | "(none)") impossible "$archive $suite has no ${packages[0]} for $(dpkg --print-architecture)" ;;
"$series".*) ;;
*) impossible "$archive $suite has version $version now" ;;
esac
apt-get -c "$work/apt.conf" -qq -y --no-install-recommends --download-only install "${packages[@]}" >/dev/null ||
    impossible "its packages could not be fetched"

for package in "$work"/archives/*.deb; do
    dpkg-deb -x "$package" "$work/new"
done
if [ -n "$plugins" ]; then
    (cd "$work" && apt-get -c apt.conf -qq download "$plugins=$version") ||
        impossible "$plugins $version could not be fetched"
    dpkg-deb -x "$work/$plugins"_*.deb "$work/plugins"
    mkdir -p "$work/new/usr/lib/mysql/plugin"
    for file in "${plugin_files[@]}"; do
        cp "$work/plugins/usr/lib/mysql/plugin/$file" "$work/new/usr/lib/mysql/plugin/"
    done
fi
if [ "$product" = connector-j ]; then
    # One file, and nothing that runs by itself.
    mkdir "$work/jar" "$work/jar/bin"
    cp -L "$work/new/usr/share/java/$program" "$work/jar/bin/"
    echo "$version" >"$work/jar/.ackline"
    rm -rf "$root"
    mv -T "$work/jar" "$root" 2>/dev/null || works || impossible "$root could not be put in its place"
    echo "$name ($version) is in $root"
    exit 0
fi
# The maintainers' scripts need Perl and documentation; the servers do not.
find "$work/new/usr/share" -mindepth 1 -maxdepth 1 ! -name 'mysql*' ! -name 'mariadb*' -exec rm -rf {} +
rm -rf "$work/new/etc" "$work"/new/usr/lib/*/perl* "$work"/new/usr/bin/perl*

libraries=$(find "$work/new" -name 'libc.so.6' -printf '%h\n' | head -n 1)
# Where /bin is /usr/bin, the C library's package may have the loader in either.
loader=$(find "$work/new" -name 'ld-linux*.so.*' -printf '%f\n' | head -n 1)
[ -n "$loader" ] || impossible "no loader among its libraries"
libraries=${libraries#"$work/new/"}
# The router's plugins look for its own libraries at their place in the system.
own_libraries=""
[ ! -d "$work/new/usr/lib/mysql-router" ] || own_libraries=':$root/usr/lib/mysql-router'
# A basedir as MySQL's own packages lay it out.
mkdir "$work/new/bin"
ln -s usr/share "$work/new/share"
ln -s usr/lib "$work/new/lib"
# Debian's MariaDB looks for the server there.
ln -s bin "$work/new/sbin"
for file in "$work"/new/usr/sbin/{mysqld,mariadbd} "$work"/new/usr/bin/{mysql,mariadb}* \
    "$work"/new/usr/bin/{my_print_defaults,resolveip}; do
    # Scripts among them are left out, and the router's packages have no server.
    [ -e "$file" ] && [ "$(head -c 4 "$file")" = $'\x7fELF' ] || continue
    called=$(basename "$file")
    # A server looks for its files where it was built for.
    basedir=""
    [ "$called" != mariadbd ] || basedir=' --basedir="$root" --lc-messages-dir="$root/usr/share/mariadb" --character-sets-dir="$root/usr/share/mariadb/charsets"'
    cat >"$work/new/bin/$called" <<WRAPPER
#!/bin/sh
# $called with the loader and the libraries that it was built for; they reach no child of it.
root=\${0%/*}/..
# So do a client's authentication plugins (caching_sha2_password).
export MARIADB_PLUGIN_DIR="\$root/$libraries/libmariadb3/plugin"
exec "\$root/$libraries/$loader" --library-path "\$root/$libraries$own_libraries" "\$root/${file#"$work/new/"}" "\$@"$basedir
WRAPPER
    chmod 755 "$work/new/bin/$called"
done
installer=$work/new/usr/bin/mariadb-install-db
if [ -e "$installer" ]; then
    cat >"$work/new/bin/mariadb-install-db" <<'WRAPPER'
#!/bin/sh
# The server's own script, told where its server is.
root=$(cd "${0%/*}/.." && pwd)
exec "$root/usr/bin/mariadb-install-db" "$@" --basedir="$root"
WRAPPER
    chmod 755 "$work/new/bin/mariadb-install-db"
fi
echo "$version" >"$work/new/.ackline"

# In one step: whoever looks sees all of it, or none.
rm -rf "$root"
mv -T "$work/new" "$root" 2>/dev/null || works || impossible "$root could not be put in its place"
works || impossible "$root/bin/$program does not run: $("$root/bin/$program" --version 2>&1 | head -n 3)"
echo "$name ($version) is in $root"
