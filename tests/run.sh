#!/usr/bin/env bash
# All tests, from nothing installed but Rust. The last line is "N passed, N failed, N skipped"; the
# exit status is 0 only if none failed.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failures=() skips=()

# Runs cargo's tests, shows them, and adds up what they say: the lines of the standard harness, and
# the "N passed, N failed, N skipped" of the long harnesses (harness = false).
cargo_tests() {
    local status before=$failed line
    echo "== cargo test $*"
    cargo test --no-fail-fast "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    while IFS= read -r line; do
        if [[ $line =~ ^test\ result:\ .*\ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]] ||
            [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
            passed=$((passed + BASH_REMATCH[1]))
            failed=$((failed + BASH_REMATCH[2]))
            skipped=$((skipped + BASH_REMATCH[3]))
        elif [[ $line =~ ^test\ (.*)\ \.\.\.\ FAILED$ ]]; then
            failures+=("${BASH_REMATCH[1]}")
        elif [[ $line =~ ^test\ (.*)\ \.\.\.\ ignored(,\ (.*))?$ ]]; then
            skips+=("${BASH_REMATCH[1]}: ${BASH_REMATCH[3]:-no reason given}")
        # One that found out while it ran that it cannot be run here; cargo counts it as passed.
        elif [[ $line =~ ^SKIPPED\ HERE:\ (.*)$ ]]; then
            skips+=("${BASH_REMATCH[1]}")
            passed=$((passed - 1))
            skipped=$((skipped + 1))
        elif [[ $line =~ ^[Ss][Kk][Ii][Pp][Pp][Ee][Dd]:?\ (.*)$ ]]; then
            skips+=("${BASH_REMATCH[1]}")
        fi
    done <"$log"
    # It did not compile, or died before it could count.
    if [ "$status" != 0 ] && [ "$failed" = "$before" ]; then
        failed=$((failed + 1))
        failures+=("cargo test $* (exit status $status)")
    fi
}

# One script that counts as one test.
script_test() {
    echo "== $*"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$*")
    fi
}

if ! deploy/install.sh build servers bench; then
    echo "the programs that the tests need could not be installed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
# Without it the tests that need it are skipped, each by name.
deploy/install.sh mysql || echo "the tests of MySQL are skipped"
tests/auth/install.sh || echo "the test of ed25519 is skipped"
tests/drivers/install.sh || echo "drivers that are missing are skipped"
tests/orm/install.sh || echo "the suites of Django and SQLAlchemy are skipped"

cargo_tests --lib --bins
cargo_tests --doc
# They start servers and measure time: one after the other.
RUST_TEST_THREADS=1 cargo_tests --test '*'
script_test env ACKLINE=target/debug/ackline deploy/bench.sh --short
bench_binlog() {
    cargo build --example binlog_bench &&
        ACKLINE=target/debug/ackline BINLOG_BENCH=target/debug/examples/binlog_bench deploy/bench_binlog.sh "$@"
}
script_test bench_binlog --short

echo
for failure in "${failures[@]}"; do
    echo "FAILED: $failure"
done
for skip in "${skips[@]}"; do
    echo "SKIPPED: $skip"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
