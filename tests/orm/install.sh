#!/usr/bin/env bash
# Installs what tests/orm.rs runs: Django and SQLAlchemy with their drivers, in an environment of their
# own, and the test suites out of their source distributions (wheels carry none). Versions are those of
# requirements.txt; the index is the one that pip is configured for.
#
# All of it goes below ACKLINE_ORM (default ${XDG_CACHE_HOME:-~/.cache}/ackline/orm) and nowhere else.
# Can be run again at any time, asks nothing.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-${HOME:?"neither ACKLINE_ORM, XDG_CACHE_HOME nor HOME is set"}/.cache}
orm=${ACKLINE_ORM:-$cache/ackline/orm}

# Also of another Python than the one that it was made with.
made_of=$(sha256sum <requirements.txt)
if [ "$(cat "$orm/.made-of" 2>/dev/null)" = "$made_of" ] && "$orm/python/bin/python" -c "import ssl" 2>/dev/null; then
    exit 0
fi

../../deploy/install.sh python
mkdir -p "$orm"
rm -rf "$orm/.made-of" "$orm/python" "$orm/django" "$orm/sqlalchemy" "$orm/source"
python3 -m venv "$orm/python"
pip=("$orm/python/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install --requirement requirements.txt

for suite in django sqlalchemy; do
    # pip wants to know what it has downloaded: with the setuptools of this environment, for building
    # in isolation would build setuptools from source, and so on down.
    "${pip[@]}" download --no-deps --no-binary :all: --no-build-isolation --dest "$orm/source" \
        "$(grep -i "^$suite==" requirements.txt)"
    mkdir "$orm/$suite"
    tar --extract --strip-components=1 --directory "$orm/$suite" --file "$orm/source/$suite"-*.tar.gz
done
rm -rf "$orm/source"
# What tests/orm.rs begins with.
test -f "$orm/django/tests/runtests.py"
test -f "$orm/sqlalchemy/test/dialect/test_suite.py"
echo "$made_of" >"$orm/.made-of"
