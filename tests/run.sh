#!/usr/bin/env bash
# All tests, from nothing installed but Rust; with names, only those: tests/run.sh [NAME…]
#
#   lib, doc               unit tests, examples in the documentation
#   e2e_kill, tls_…, …     a module of tests/suite
#   kill_rounds, connections, drivers, orm
#                          a harness of its own
#   bench, bench_binlog    deploy/bench.sh and deploy/bench_binlog.sh in their short forms
#   debian13               tests/debian13.sh, only where it is named: the quickstart on a fresh Debian 13
#
# Without names the longest take turns by the day, which are printed: differential, drivers and some of the suite's
# before MariaDB on one and before MySQL on the next, of orm Django's suite and SQLAlchemy's, and for two days all that takes MariaDB takes
# 10.11, then 11.8 (ACKLINE_TURN=0 to 3 chooses). A name runs all of it, before the machine's own MariaDB or
# MARIADB_ROOT's.
#
# Each is a unit, which runs in a process of its own, one test after the other. Those that mostly wait run
# side by side, those that measure or kill run alone at the end. What a unit printed is in
# target/tests/NAME.log, and shown where it failed. At the end stand a table of the longest and what failed, each
# with what it said, so that a record of the end alone tells why; the last line is "N passed, N failed, N skipped", and the exit status is 0 only if none failed.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
logs=target/tests
# So many units side by side, on two cores.
slots=${ACKLINE_TEST_SLOTS:-3}
# A unit that hangs is a failure, not a run without an end.
unit_limit=900

# The long ones begin first.
first=(drivers e2e_identity orm differential fuzz)
# They measure time or memory, or what they kill has to die in a certain moment.
alone=(connections event_mutations kill_rounds limits)
# They use fixed ports, and both cores.
scripts=(bench_binlog bench)
# Only where they are named: minutes, and root.
named=(debian13)
# Long ones whose flavors go the same way through our code: each flavor on its turn.
by_turn=(
    e2e_move_rounds::
    e2e_provision::large::
    e2e_provision::a_full_disk_
    e2e_provision::beside_a_donor_
    e2e_provision::a_server_that_is_killed_
    e2e_verify::a_repair_that_is_killed_
    e2e_verify::whatever_dies_
)

# Whose turn it is of those that take turns: "" where all of it is wanted.
turn="" of_turn=""
left=()

passed=0 failed=0 skipped=0
failures=() failed_in=() skips=()

impossible() {
    echo "$1"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }

# Whether NAME is to run: wanted NAME
wanted() { [ ${#names[@]} = 0 ] || [[ " ${names[*]} " == *" $1 "* ]]; }
any_wanted() {
    local name
    for name in "$@"; do
        if wanted "$name"; then return 0; fi
    done
    return 1
}

install() {
    deploy/install.sh build servers || impossible "the programs that the tests need could not be installed"
    if any_wanted bench bench_binlog e2e_move_rounds e2e_sysbench session_sysbench readers; then
        deploy/install.sh bench || impossible "the programs of the benchmark could not be installed"
    fi
    # Without these the tests that need them are skipped, each by name.
    deploy/install.sh mysql || echo "the tests of MySQL are skipped"
    if any_wanted tls_own; then
        deploy/install.sh mariadb-11.8 || echo "the tests of MariaDB 11.8 are skipped"
        tests/drivers/install.sh node java-3.5 || echo "drivers that verify by the password are skipped"
    fi
    if any_wanted session_auth e2e_encrypted; then
        tests/auth/install.sh || echo "the tests of ed25519 and of encrypted binlogs are skipped"
    fi
    if any_wanted drivers readers readers_snapshot; then
        tests/drivers/install.sh || echo "drivers that are missing are skipped"
    fi
    if any_wanted orm; then
        tests/orm/install.sh || echo "the suites of Django and SQLAlchemy are skipped"
    fi
}

take_turns() {
    turn=$((${ACKLINE_TURN:-$(date +%s) / 86400} % 4))
    of_turn=mariadb
    ((turn % 2)) && of_turn=mysql
    # Another one was chosen by hand.
    if ((turn > 1)) && [ -z "${MARIADB_ROOT:-}" ]; then
        if deploy/install.sh mariadb-11.8; then
            MARIADB_ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mariadb-11.8
        else
            echo "MariaDB 11.8, whose turn it is, cannot be had here: its tests run before the machine's own"
        fi
    fi
}

# One build for all of them, and where it put what.
declare -A built=()
build() {
    local name program
    echo "== building the tests"
    cargo test --no-run --message-format=json-render-diagnostics >"$logs/build.json" ||
        impossible "the tests do not compile"
    while IFS=$'\t' read -r name program; do
        built[$name]=$program
    done < <(jq -r 'select(.reason == "compiler-artifact" and .executable != null)
        | "\(.target.kind[0])\(if .profile.test then ":test" else "" end):\(.target.name)\t\(.executable)"' "$logs/build.json")
}

# The tests of tests/suite by module.
declare -A tests_of=()
list_suite() {
    local test
    while IFS= read -r test; do
        [[ $test == *": test" ]] || continue
        test=${test%: test}
        if has_another_turn "$test"; then
            left+=("$test")
            continue
        fi
        tests_of[${test%%::*}]+="$test "
    done < <("${built[test:test:suite]}" --list)
}

has_another_turn() {
    local test=$1 one
    case "$of_turn $test" in
    "mysql differential::proxied_is_as_direct" | "mariadb differential::proxied_is_as_direct_on_mysql") return 0 ;;
    mysql\ *::on_mariadb::*) test=${test/on_mariadb::/} ;;
    mariadb\ *::on_mysql::*) test=${test/on_mysql::/} ;;
    *) return 1 ;;
    esac
    for one in "${by_turn[@]}"; do
        if [[ $test == "$one"* ]]; then return 0; fi
    done
    return 1
}

# Whose suite has its turn beside a flavor's.
framework() {
    if [ "$1" = mysql ]; then echo sqlalchemy; else echo django; fi
}

run_unit() {
    local name=$1
    case "$name" in
    lib) timeout $unit_limit "${built[lib:test:ackline]}" ;;
    doc) timeout $unit_limit cargo test --doc ;;
    bench)
        ACKLINE=${built[bin:ackline]} APPLIED_BENCH=${built[example:applied_bench]} \
            timeout $unit_limit deploy/bench.sh --short
        ;;
    bench_binlog)
        ACKLINE=${built[bin:ackline]} BINLOG_BENCH=${built[example:binlog_bench]} \
            timeout $unit_limit deploy/bench_binlog.sh --short
        ;;
    debian13) timeout $unit_limit tests/debian13.sh ;;
    drivers) timeout $unit_limit "${built[test:test:drivers]}" ${of_turn:+--flavor "$of_turn"} ;;
    orm) timeout $unit_limit "${built[test:test:orm]}" ${of_turn:+"$(framework "$of_turn")"} ;;
    kill_rounds | connections) timeout $unit_limit "${built[test:test:$name]}" ;;
    # A variable, not an option: some tests take others of their program for a process.
    # shellcheck disable=SC2086
    *) RUST_TEST_THREADS=1 timeout $unit_limit "${built[test:test:suite]}" --exact ${tests_of[$name]} ;;
    esac
}

# In the background: its output, then its exit status and time, go to files.
start_unit() {
    local began=$EPOCHREALTIME
    run_unit "$1" >"$logs/$1.log" 2>&1 </dev/null
    echo "$? $(seconds_since "$began")" >"$logs/$1.end"
}

# What a unit said of a test that failed, from its panic on: reason UNIT TEST
reason() {
    # The standard harness shows it under a title of its own; the long harnesses indent it below its line.
    awk -v test="$2" '
        $0 == "---- " test " stdout ----" || $0 == "test " test " ... FAILED" { takes = 1; next }
        /^---- .* stdout ----$/ || /^failures:$/ || /^test / || (takes && /^[0-9]+ passed,/) { takes = 0 }
        takes && /panicked at/ { lines = 0 }
        takes && NF && lines < 15 { said[lines++] = substr($0, 1, 400) }
        END { for (at = 0; at < lines; at++) print "    " said[at] }' "$logs/$1.log"
}

# Adds up what a unit said: the lines of the standard harness, and the "N passed, N failed, N skipped" of
# the long ones. A script counts as one test.
count_unit() {
    local name=$1 status seconds line before=$((passed + failed + skipped)) failed_before=$failed
    local lost="it was killed"
    read -r status seconds <"$logs/$name.end" || status=1 seconds=0
    while IFS= read -r line; do
        if [[ $line =~ ^test\ result:\ .*\ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]] ||
            [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
            passed=$((passed + BASH_REMATCH[1]))
            failed=$((failed + BASH_REMATCH[2]))
            skipped=$((skipped + BASH_REMATCH[3]))
        elif [[ $line =~ ^test\ (.*)\ \.\.\.\ FAILED$ ]]; then
            failures+=("${BASH_REMATCH[1]}")
            failed_in+=("$name")
        elif [[ $line =~ ^test\ (.*)\ \.\.\.\ ignored(,\ (.*))?$ ]]; then
            skips+=("${BASH_REMATCH[1]}: ${BASH_REMATCH[3]:-no reason given}")
        # One that found out while it ran that it cannot be run here; the harness counts it as passed.
        elif [[ $line =~ ^SKIPPED\ HERE:\ (.*)$ ]]; then
            skips+=("${BASH_REMATCH[1]}")
            passed=$((passed - 1))
            skipped=$((skipped + 1))
        elif [[ $line =~ ^[Ss][Kk][Ii][Pp][Pp][Ee][Dd]:?\ (.*)$ ]]; then
            skips+=("${BASH_REMATCH[1]}")
        fi
    done <"$logs/$name.log"
    if [[ " ${scripts[*]} " == *" $name "* ]]; then
        [ "$status" = 0 ] && passed=$((passed + 1))
    fi
    # It died before it could count, or hung.
    if [ "$status" != 0 ] && [ "$failed" = "$failed_before" ]; then
        [ "$status" = 124 ] && lost="it did not end within $unit_limit s"
        failed=$((failed + 1))
        failures+=("$name ($lost, exit status $status)")
        failed_in+=("$name")
    fi
    echo "$seconds $name" >>"$logs/seconds"
    if [ "$failed" = "$failed_before" ]; then
        echo "ok      $name: $((passed + failed + skipped - before)) in $seconds s"
    else
        echo "FAILED  $name: in $seconds s"
        sed "s/^/$name| /" "$logs/$name.log"
    fi
}

# So many at a time: run_units SLOTS NAME…
run_units() {
    local most=$1 name pid
    local -A running=()
    shift
    for name in "$@"; do
        while [ ${#running[@]} -ge "$most" ]; do
            wait -n -p pid "${!running[@]}"
            count_unit "${running[$pid]}"
            unset "running[$pid]"
        done
        start_unit "$name" &
        running[$!]=$name
    done
    while [ ${#running[@]} -gt 0 ]; do
        wait -n -p pid "${!running[@]}"
        count_unit "${running[$pid]}"
        unset "running[$pid]"
    done
}

names=("$@")
mkdir -p "$logs"
rm -f "$logs"/*
began=$EPOCHREALTIME
install
[ ${#names[@]} -gt 0 ] || take_turns
# All tests before another MariaDB than the machine's own, as deploy/install.sh mariadb-11.8 brings one.
if [ -n "${MARIADB_ROOT:-}" ]; then
    export MARIADB_ROOT PATH="$MARIADB_ROOT/bin:$PATH"
fi
build
list_suite
echo "programs and build: $(seconds_since "$began") s"
if [ -n "$turn" ]; then
    if [ "$of_turn" = mysql ]; then others=mariadb; else others=mysql; fi
    left+=("drivers before $others" "orm: $(framework "$others")")
    echo "turn $turn: differential and drivers before $of_turn, $(framework "$of_turn"); $(mariadbd --version | sed 's/.*Ver \([^ ]*\).*/MariaDB \1/')"
fi

beside=() at_the_end=()
for name in "${first[@]}" lib doc $(printf '%s\n' "${!tests_of[@]}" | sort); do
    if [[ " ${alone[*]} ${beside[*]} " != *" $name "* ]] && wanted "$name"; then beside+=("$name"); fi
done
for name in "${alone[@]}" "${scripts[@]}"; do
    if wanted "$name"; then at_the_end+=("$name"); fi
done
for name in "${named[@]}"; do
    if [[ " ${names[*]} " == *" $name "* ]]; then at_the_end+=("$name"); fi
done
all=("${beside[@]}" "${at_the_end[@]}")
for name in "${names[@]}"; do
    if [[ " ${all[*]} " != *" $name "* ]]; then
        echo "tests/run.sh: there is no $name; there are: ${first[*]} lib doc ${alone[*]} ${scripts[*]} ${named[*]} $(printf '%s\n' "${!tests_of[@]}" | sort | tr '\n' ' ')" >&2
        exit 2
    fi
done
run_units "$slots" "${beside[@]}"
run_units 1 "${at_the_end[@]}"

printf '\n| the longest | seconds |\n|---|---:|\n'
sort -rn "$logs/seconds" | head -n 10 | while read -r seconds name; do
    printf '| %s | %s |\n' "$name" "$seconds"
done
echo "| all of it, with programs and build | $(seconds_since "$began") |"
echo
for at in "${!failures[@]}"; do
    echo "FAILED: ${failures[at]}"
    reason "${failed_in[at]}" "${failures[at]}"
done
for test in "${left[@]}"; do
    echo "LEFT TO ANOTHER TURN (now $turn): $test"
done
for skip in "${skips[@]}"; do
    echo "SKIPPED: $skip"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
