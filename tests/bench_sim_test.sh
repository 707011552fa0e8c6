#!/bin/sh
# raftsim bench: the same schedules as a campaign, all of their time divided, and the clock changes none of them.
bin=${BIN:-build/release/gcc}
status=0
claim() { # name, condition
    if eval "$2"; then echo "ok $1"; else echo "FAILED $1: $line"; status=1; fi
}
field() { echo "$line" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

line=$("$bin/raftsim" bench --seed 77 --count 40 --json)
run=$("$bin/raftsim" run --seed 77 --count 40 --jobs 1 --quiet --json)
inputs=$(echo "$run" | sed -n 's/.*"inputs":\([0-9]*\).*/\1/p')
sum=$(($(field core_ns) + $(field checkers_ns) + $(field network_ns) + $(field disk_ns) + $(field rest_ns)))
claim bench_lives_the_schedules_of_a_campaign '[ "$(field schedules)" = 40 ] && [ "$(field inputs)" = "$inputs" ]'
claim bench_divides_all_of_the_time '[ "$sum" -le "$(field cpu_ns)" ] && [ $((sum + 5)) -ge "$(field cpu_ns)" ]'
claim bench_sees_the_core_and_the_checkers '[ "$(field core_ns)" -gt 0 ] && [ "$(field checkers_ns)" -gt 0 ]'
exit $status
