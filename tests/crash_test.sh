#!/bin/sh
# Lives that end their process: the core fails an assertion, writes where nothing is, or takes a step without an end. A
# campaign must go on behind them, and say of each its seed, how it ended and where its trace is, which leads there
# again. The three are planted into one copy of the tree, as tests/canary_test.sh does it: a node that is about to lead
# ends so in the lives of three seeds, which their cluster ids tell apart.
set -u
cd "$(dirname "$0")/.." || exit 2
. tests/mutants/lib.sh
tree=build/crash
broken=$tree/$sound
out=$tree/out
assertion=3 signal=5 hang=8
failed=0

claim() { # name, whether it holds, what else is to be said
    [ "$2" -eq 0 ] && echo "ok $1" && return
    echo "FAILED $1: $3"
    failed=1
}

cluster_of() { "$sound" trace "$1" --profile timed | sed -n 's/^knob cluster_id //p'; }

plant_crashes() {
    prepare "$tree"
    awk -v assertion="$(cluster_of $assertion)" -v signal="$(cluster_of $signal)" -v hang="$(cluster_of $hang)" '
        { print }
        /^void replicate_become_leader/ { inside = 1 }
        inside && /^{/ {
            print "    const uint64_t life = replica->config.cluster_id;"
            print "    volatile uint8_t *nowhere = NULL;"
            print "    ASSERT(life != " assertion "u);"
            print "    if (life == " signal "u) *nowhere = 1;"
            print "    for (volatile bool on = true; life == " hang "u && on;) continue;"
            inside = 0
            planted = 1
        }
        END { exit !planted }' core/replicate.c >"$tree/core/replicate.c" &&
        build_copy "$tree" CFLAGS=-w "$sound" && mkdir -p "$out"
}

run() { "$broken" run --seed 1 --count 12 --profile timed --jobs 2 --hang 4s --quiet --no-shrink --trace-dir "$out" "$@"; }

trace_of() { echo "$out/raftsim-timed-$1.trace"; }

# Whether a life ends with exit status 6 and these words.
ends() { # words, argument of replay...
    words=$1
    shift
    timeout 60 "$broken" replay "$@" --quiet >"$out/replay.log" 2>&1
    ended=$?
    [ "$ended" -eq 6 ] && grep -q " crash after " "$out/replay.log" && grep -q "$words" "$out/replay.log"
}

build_sound
if ! plant_crashes; then
    claim lives_that_crash_are_planted 1 "$tree/build.log"
    exit 1
fi

# All of them, and the nine others.
run --keep-going --jsonl "$out/run.jsonl" >"$out/run.log" 2>&1
status=$?
[ "$status" -eq 6 ] && grep -q '^12 schedules, 3 failures,' "$out/run.log" &&
    [ "$(grep -c '"type":"failure"' "$out/run.jsonl")" -eq 3 ] &&
    grep -q '"state":"complete","schedules":12,"failures":3,.*"counted":9,' "$out/run.jsonl"
claim a_campaign_goes_on_behind_lives_that_end_their_process $? "exit status $status: $(cat "$out/run.log")"

grep -q "^raftsim: seed $assertion: crash: assertion" "$out/run.log" &&
    grep -q "assertion failed at core/replicate.c:.*: life != " "$out/run.log" &&
    grep -q "^raftsim: seed $signal: crash: signal" "$out/run.log" &&
    grep -q "the worker was ended by signal 11" "$out/run.log" &&
    grep -q "^raftsim: seed $hang: crash: hang" "$out/run.log" &&
    grep -q "no end after 4000 ms" "$out/run.log"
claim it_says_of_each_its_seed_and_how_it_ended $? "$(cat "$out/run.log")"

ends "^assertion: core/replicate.c: life != " "$(trace_of $assertion)" --strict &&
    ends "^signal: signal 11" "$(trace_of $signal)" --strict &&
    ends "^hang: no end" "$(trace_of $hang)" --strict
claim the_trace_of_each_leads_there_again $? "$(cat "$out/replay.log")"

ends "^assertion: core/replicate.c: life != " $assertion --profile timed &&
    ends "^signal: signal 11" $signal --profile timed &&
    ends "^hang: no end" $hang --profile timed
claim so_does_its_seed $? "$(cat "$out/replay.log")"

# The lowest seed decides, and ends it.
run --json >"$out/run.log" 2>&1
status=$?
[ "$status" -eq 6 ] && grep -q "^raftsim: seed $assertion: crash: assertion" "$out/run.log" &&
    [ "$(grep -c '^raftsim: seed ' "$out/run.log")" -eq 1 ]
claim the_first_of_them_ends_a_campaign_that_does_not_keep_going $? "exit status $status: $(cat "$out/run.log")"

"$sound" run --seed 1 --count 12 --profile timed --jobs 2 --quiet --trace-dir "$out" >"$out/sound.log" 2>&1
claim the_tree_without_them_passes_the_same_schedules $? "$(head -n 2 "$out/sound.log")"
rm -rf "$tree"
exit $failed
