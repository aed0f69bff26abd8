#!/usr/bin/env bash
# Feeds inputs that nobody thought of to everything that parses (make fuzz):
#
#     deploy/fuzz.sh [SECONDS [TARGET...]]
#
# Runs each target of fuzz/ for SECONDS (60; 0: only what is kept), from the inputs in
# fuzz/corpus. What a run finds of interest stays in target/fuzz, for the next run to
# begin with. An input that breaks something is shown, and the rest still runs.
# Installs a C++ compiler where there is none.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

running=()
# Ends what it has started, and nothing else.
clean() {
    [ "${#running[@]}" -eq 0 ] || kill "${running[@]}" 2>/dev/null || true
    wait
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

seconds=${1:-60}
case $seconds in
*[!0-9]*) die "$seconds: name a number of seconds." ;;
esac
targets=("${@:2}")
if [ "${#targets[@]}" -eq 0 ]; then
    for file in fuzz/src/bin/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

if ! command -v c++ >/dev/null; then
    say "Installing g++ (once): the fuzzer is C++."
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y g++; } >/dev/null ||
        die "install g++ or clang, and try again."
fi

# What cargo-fuzz does, without its sanitizers: they find errors of unsafe code, of
# which there is none here, and take a nightly compiler. Counters and comparisons, by
# which the fuzzer sees what an input reaches, every compiler has. A target is named so
# that build scripts and macros are compiled without them.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
out=$(target_dir)/fuzz
RUSTFLAGS="${RUSTFLAGS:-} ${flags[*]}" cargo build --release --locked \
    --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out"

# The last line with a count, such as `#4096 DONE cov: 312 ft: 1044 corp: 96/2048b ...`.
summary() { awk '/^#[0-9]/ { line = $0 } END { print line }' "$1"; }

# Runs one target, and says how it went.
fuzz() {
    local target=$1 limit input child=''
    local found=$out/corpus/$target crashes=$out/crashes/$target log=$out/$target.log
    mkdir -p "$found" "$crashes"
    limit=(-max_total_time="$seconds")
    [ "$seconds" -gt 0 ] || limit=(-runs=0)
    # A shell that ends leaves behind what it waits for.
    trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; wait; exit 143' TERM
    RUST_BACKTRACE=0 "$out/$host/release/$target" "${limit[@]}" -timeout=5 -rss_limit_mb=1024 \
        -artifact_prefix="$crashes/" "$found" "fuzz/corpus/$target" >"$log" 2>&1 &
    child=$!
    if wait "$child"; then
        say "$target: $(summary "$log")"
        return
    fi
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    {
        say "$target: FAILED"
        grep -m 1 -A 5 -E 'panicked at|ERROR: libFuzzer' "$log" || tail -n 5 "$log"
        if [ -n "$input" ]; then
            say "The input, to be kept in fuzz/corpus/$target once this is mended:"
            od -A d -c "$input"
            say "Again: $out/$host/release/$target $input"
        fi
    } >"$log.said"
    # In one piece: another target may be talking.
    cat "$log.said"
    return 1
}

# As many at once as there are cores: each takes one.
cores=$(getconf _NPROCESSORS_ONLN)
failed=0
while [ "${#targets[@]}" -gt 0 ]; do
    for target in "${targets[@]:0:cores}"; do
        fuzz "$target" &
        running+=($!)
    done
    targets=("${targets[@]:cores}")
    for pid in "${running[@]}"; do wait "$pid" || failed=1; done
    running=()
done
[ "$failed" -eq 0 ]
