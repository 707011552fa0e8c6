#!/bin/sh
# The runner itself: what it runs, what it counts, and how it ends.
set -u
cd "$(dirname "$0")/.." || exit 2
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

for name in alpha beta gamma; do
    printf '#!/bin/sh\necho ran >"$0.ran"\n' >"$scratch/$name"
done
printf '#!/bin/sh\necho "ok one"\necho "FAILED two"\nexit 1\n' >"$scratch/broken"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$scratch/crash"
chmod +x "$scratch"/*

failures=0
claim() { # name, expected status, expected last line, expected commands that ran, then the runner's arguments
    name=$1 status=$2 last=$3 names=$4
    shift 4
    rm -f "$scratch"/*.ran
    tests/run "$@" >"$scratch/out" 2>&1
    got="$? $(tail -n 1 "$scratch/out") $(cd "$scratch" && ls -- *.ran 2>/dev/null | sed 's/\.ran//' | tr '\n' ' ')"
    if [ "$got" = "$status $last $names" ]; then
        echo "ok $name"
    else
        echo "$name: got '$got', expected '$status $last $names'"
        sed 's/^/    /' "$scratch/out"
        echo "FAILED $name"
        failures=1
    fi
}

all="$scratch/alpha $scratch/beta $scratch/gamma"
# The paths hold no blanks.
# shellcheck disable=SC2086
{
    claim all_run 0 "3 passed, 0 failed" "alpha beta gamma " $all
    claim a_word_selects 0 "1 passed, 0 failed" "beta " --only bet $all
    claim each_word_of_a_list_selects 0 "2 passed, 0 failed" "alpha gamma " --only "alp gam" $all
    claim a_test_that_two_words_select_runs_once 0 "1 passed, 0 failed" "alpha " --only "al ha" $all
    claim a_word_that_names_no_test_is_an_error 2 "tests/run: no test is named delta" "" --only "alpha delta" $all
    claim a_word_is_no_pattern 2 "tests/run: no test is named *" "" --only "*" $all
    claim claims_are_counted_and_a_failure_is_one 1 "2 passed, 1 failed" "alpha " "$scratch/alpha" "$scratch/broken"
    claim a_crash_is_a_failure 1 "0 passed, 1 failed" "" "$scratch/crash"
    claim nothing_ran_is_a_failure 1 "0 passed, 0 failed" ""
}
exit $failures
