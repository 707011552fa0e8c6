#!/bin/sh
# tests/mutants/families adds up a small table of kills: two mutants that mixed schedules found, one of its own profile,
# one that a directed test found, and one search that ended with nothing.
set -u
cd "$(dirname "$0")/.." || exit 2
failed=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

claim() { # name, whether it holds, what else is to be said
    [ "$2" -eq 0 ] && echo "ok $1" && return
    echo "FAILED $1: $3"
    failed=1
}

{
    printf 'E01-vote-before-durable\t1, 1, 2\t1.5\tsafety: promise_term\n'
    printf 'E04-vote-compares-index-only\t303, -, 314\t41.1\tNOT FOUND (exit status 0)\n'
    printf 'C01-joint-commit-by-the-new-half\t57, 22, 18\t4.1\tsafety: durable_quorum\n'
    printf 'W05-chain-not-compared\tdirected test\t11.3\trecovery_test claim\n'
} >"$work/table.tsv"
MUTANT_TABLE=$work/table.tsv FAMILY_SCHEDULES=3 MUTANT_SEEDS="1 1000001 2000001" tests/mutants/families >"$work/out" 2>&1
status=$?
# Of the mixed rows five kills, wherever they fall; 621 schedules, by the shares.
awk -F '|' '/^\| `/ && !/alone/ { kills += $5; schedules += $3; rows++ }
    END { exit !(kills == 5 && rows == 10 && schedules >= 616 && schedules <= 626) }' "$work/out" && [ "$status" -eq 0 ]
claim every_kill_has_a_family_and_every_schedule_too $? "exit status $status: $(cat "$work/out")"
grep -qE '^\| `members` alone \| 97 \| [0-9.]+ \| 3 \| [0-9.]+ \| 1 \|$' "$work/out"
claim a_profile_of_its_own_has_a_row_of_its_own $? "$(cat "$work/out")"

MUTANT_TABLE=$work/none tests/mutants/families >"$work/out" 2>&1
[ $? -eq 1 ] && grep -q "make mutants" "$work/out"
claim without_a_table_it_says_what_to_run $? "$(cat "$work/out")"
exit $failed
