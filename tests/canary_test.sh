#!/bin/sh
# A simulator that sees nothing passes everything. So a bug is planted that it must find within a handful of schedules,
# as tests/mutants/run does it, and the tree itself must pass the same ones. CANARY names another patch.
set -u
cd "$(dirname "$0")/.." || exit 2
. tests/mutants/lib.sh
patch=${CANARY:-tests/mutants/L01-old-term-committed-by-counting.patch}
schedules=100
root=build/canary
jobs=2
failed=0

claim() { # name, whether it holds, what else is to be said
    [ "$2" -eq 0 ] && echo "ok $1" && return
    echo "FAILED $1: $3"
    failed=1
}

# What no longer applies would be noticed by nobody until somebody plants all of them.
stale=$(for each in tests/mutants/*.patch; do patch --dry-run -s -f -p1 <"$each" >/dev/null 2>&1 || echo "$each"; done)
claim every_planted_bug_can_still_be_planted "$([ -z "$stale" ]; echo $?)" "$stale"

build_sound
rm -rf "$root"
if ! plant "$root" "$patch"; then
    claim the_simulator_finds_a_planted_bug 1 "$patch: $why"
    exit 1
fi
find_failure "$root" 1 "$schedules" mixed
claim the_simulator_finds_a_planted_bug $? "not in $schedules schedules with $patch"

"$sound" run --seed 1 --count "$schedules" --jobs "$jobs" --quiet --no-shrink --trace-dir "$root" >"$root/sound.log" 2>&1
claim the_tree_without_it_passes_the_same_schedules $? "$(head -n 2 "$root/sound.log")"
rm -rf "$root"
exit $failed
