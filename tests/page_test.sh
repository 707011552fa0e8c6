#!/usr/bin/env bash
# The page of `raftsim replay --html` in a real browser: Debian's Chromium, driven over WebDriver. A planted violation and
# a life of 100,000 events are clicked through; what the page shows is compared with what the terminal says.
set -u
cd "$(dirname "$0")/.." || exit 2
program=${BIN:-build}/raftsim
unit=${BIN:-build/release/gcc}/tests/page_test
work=build/page
events_min=100000
status=0
session=
driver=

for tool in chromium chromedriver curl; do
    command -v $tool >/dev/null || { echo "skip the page in a browser: no $tool (.ci/deps browser)"; exit 0; }
done
mkdir -p $work/profile || exit 2
trap 'finish' EXIT
trap 'exit 130' INT TERM

finish() {
    [ -z "$session" ] || call DELETE "$session" >/dev/null
    [ -z "$driver" ] || kill "$driver" 2>/dev/null
    rm -rf $work/profile
}

# ---- the browser

call() { # method, path, JSON
    curl -s --max-time 60 -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "http://127.0.0.1:$port$2"
}

start_browser() {
    chromedriver --port=0 >$work/driver.log 2>&1 &
    driver=$!
    for _ in $(seq 100); do
        port=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' $work/driver.log)
        [ -n "$port" ] && break
        kill -0 $driver 2>/dev/null || return 1
        sleep 0.1
    done
    local arguments='"--headless","--no-sandbox","--disable-gpu","--disable-quic","--no-first-run","--disable-sync"'
    arguments+=',"--disable-background-networking","--disable-component-update","--window-size=1500,950"'
    arguments+=",\"--user-data-dir=$PWD/$work/profile\""
    session=$(call POST /session '{"capabilities":{"alwaysMatch":{"browserName":"chrome",
        "goog:loggingPrefs":{"browser":"ALL"},"goog:chromeOptions":{"args":['"$arguments"']}}}}' |
        sed -n 's/.*"sessionId":"\([^"]*\)".*/\1/p')
    [ -n "$session" ] && session=/session/$session
}

# What a script returns, a text without quotes; a script that fails returns its error.
js() { # script
    local script=${1//\\/\\\\}
    script=${script//\"/\\\"}
    call POST "$session/execute/sync" "{\"args\":[],\"script\":\"${script//$'\n'/ }\"}" |
        sed -e 's/^{"value":"\(.*\)"}$/\1/' -e 's/^{"value":\([^{"]*\)}$/\1/' -e 's/\\u003C/</g' -e 's/\\"/"/g'
}
open_page() { call POST "$session/url" "{\"url\":\"file://$PWD/$1\"}" >/dev/null; }
click() { # x, y: in the window
    call POST "$session/actions" '{"actions":[{"type":"pointer","id":"mouse","actions":[
        {"type":"pointerMove","x":'"$1"',"y":'"$2"'},{"type":"pointerDown","button":0},{"type":"pointerUp","button":0}]}]}' \
        >/dev/null
}
click_on() { # id of an element: its middle
    click $(js "const box = document.getElementById('$1').getBoundingClientRect();
        return Math.round(box.left + box.width / 2) + ' ' + Math.round(box.top + box.height / 2);")
}
press() { # keys in JSON, held ones first
    local down='' up='' key
    for key in "$@"; do
        down+="{\"type\":\"keyDown\",\"value\":\"$key\"},"
        up=",{\"type\":\"keyUp\",\"value\":\"$key\"}$up"
    done
    call POST "$session/actions" "{\"actions\":[{\"type\":\"key\",\"id\":\"keys\",\"actions\":[${down%,}$up]}]}" >/dev/null
}
text_of() { js "return document.getElementById('$1').textContent;"; }
selected() { js "return whitewater.view.selected;"; }
# Where an event is in the window: its mark; scrolled to first.
where_is() {
    js "const v = whitewater.view; v.reveal($1); v.draw(); const box = v.canvas.getBoundingClientRect();
        return Math.round(box.left + v.x($1)) + ' ' + Math.round(box.top + v.markY($1, v.lane.get(v.life.who[$1])));"
}

# ---- claims

claim() { # name, what was found, what it should be
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        printf 'FAILED %s\n  found:    %s\n  expected: %s\n' "$1" "$2" "$3"
        status=1
    fi
}
contains() { case $2 in *"$3"*) claim "$1" yes yes ;; *) claim "$1" "$2" "...$3..." ;; esac; }

# The state that the page shows, and as `raftsim replay --state` prints it; but for the clock, a large number.
page_state() {
    js "return Array.from(document.querySelectorAll('#state dt'), (dt) => dt.textContent + '='
        + dt.nextSibling.lastChild.textContent).filter((line) => !line.startsWith('clock')).sort().join(', ');"
}
terminal_state() { # seed, step, node
    "$program" replay "$1" --inputs "$inputs" --until "$2" --state "$3" |
        sed -n 's/^  \(.\{22\}\)\(.*\)$/\1=\2/p' | sed 's/ *=/=/; s/=$/=yes/' | grep -v ^clock= |
        LC_ALL=C sort | paste -sd, | sed 's/,/, /g'
}

violation() {
    open_page $work/planted.html
    contains a_violation_is_said_at_the_top "$(text_of verdict)" state_machine
    contains the_page_opens_at_the_violation "$(text_of event-title)" 'Violation: state_machine'
    contains its_sentence_is_shown_as_it_is "$(text_of event-values)" 'planted: <commit> &'

    # A step that a frame fed, before the violation.
    local step
    step=$(js "const l = whitewater.life; let i = l.violation; while (i > 0 && !(l.kind[i] === K.STEP && l.cause[i] >= 0
        && l.kind[l.cause[i]] === K.SEND)) i--; return i;")
    click $(where_is "$step")
    claim a_click_selects_the_step_under_it "$(selected)" "$step"
    contains a_fed_step_says_by_whom "$(text_of event-title)" 'is fed: from'
    contains the_decoded_frame_is_beside_it "$(text_of event-values)" 'the frame'
    contains so_is_the_state_of_the_node "$(text_of state-title)" "State of n"

    press '\uE012' # ←
    claim the_left_arrow_steps_back "$(selected)" "$(js "const v = whitewater.view;
        return v.list[v.list.indexOf($step) - 1];")"
    press '\uE014' # →
    claim and_the_right_one_forth "$(selected)" "$step"
    press '\uE008' '\uE012' # Shift ←
    claim with_shift_to_the_step_before_of_the_node "$(selected)" "$(js "const l = whitewater.life;
        const steps = l.stepsOf[l.who[$step]]; return steps[steps.indexOf($step) - 1];")"
    click_on forth-node
    claim the_button_goes_to_the_next_one "$(selected)" "$step"
    press c
    claim c_goes_to_the_frame_that_was_sent "$(js "const l = whitewater.life, i = whitewater.view.selected;
        return l.kinds[l.kind[i]] + ' ' + l.effect[i];")" "send $step"

    press e
    claim e_goes_to_what_came_of_it "$(selected)" "$step"
    press v
    contains v_goes_to_the_violation "$(text_of event-title)" Violation
}

filters() {
    # One that the violation is not of, which is always shown.
    local node seen
    node=$(js 'const l = whitewater.life; return (l.who[l.violation] + 1) % l.nodes;')
    seen="const v = whitewater.view, l = v.life; let n = 0; for (const i of v.list)
        if (l.who[i] === $node || (l.kind[i] === K.SEND && l.a[i] === $node)) n++;"
    click_on lane-n$node
    claim a_node_can_be_hidden_with_its_frames "$(js "$seen return n + ' ' + v.lane.has($node);")" '0 false'
    claim the_list_does_not_have_it_either "$(js "return Array.from(document.querySelectorAll('.row b'))
        .filter((b) => b.textContent === 'n$node').length;")" 0
    click_on lane-n$node
    claim and_shown_again "$(js "$seen return n > 10 && v.lane.has($node);")" true
    click_on family-disk
    claim a_kind_can_be_hidden "$(js "const v = whitewater.view;
        return v.list.every((i) => v.life.kind[i] !== K.DISK && v.life.kind[i] !== K.DISK_END);")" true
    click_on family-disk
    click_on by-time
    claim the_axis_can_be_to_scale "$(js "const v = whitewater.view; return v.position(v.life.count - 1)
        === v.life.time[v.life.count - 1];")" true
    click_on by-order
    click_on theme
    contains light_and_dark "$(js 'return document.documentElement.dataset.theme;')" dark
    click_on theme
}

long_run() {
    local seed events
    inputs=48000
    for seed in 7 8 9 10 11 12; do
        events=$(timeout 60 "$program" replay $seed --inputs $inputs --quiet --html $work/long.html 2>&1 | sed -n 's/^page: .*, \([0-9]*\) events$/\1/p')
        [ "${events:-0}" -ge $events_min ] && break
    done
    open_page $work/long.html
    claim a_long_life_has_all_its_events "$(js 'return whitewater.life.count;') $((events >= events_min))" "$events 1"
    claim all_of_it_is_in_the_window_at_first "$(js 'const v = whitewater.view; v.draw(); return v.inWindow === v.list.length;')" true
    claim no_more_is_drawn_than_can_be_seen "$(js 'const v = whitewater.view; v.draw(); return v.drawn < 20000;')" true

    # Far inside, whatever the page says of a node is what the terminal says.
    local place step node
    for place in 0.31 0.77; do
        step=$(js "const l = whitewater.life; let i = Math.floor(l.count * $place);
            while (l.kind[i] !== K.STEP) i++; whitewater.view.show(i, 120, 0.5); whitewater.view.draw(); return i;")
        claim "no_more_is_drawn_than_is_in_the_window_at_$place" "$(js 'const v = whitewater.view; v.draw();
            return v.inWindow < 200 && v.drawn < 2000;')" true
        click $(where_is "$step")
        claim "a_step_far_inside_is_clicked_at_$place" "$(selected)" "$step"
        node=$(js "const l = whitewater.life; return l.nameOf(l.who[$step]);")
        claim "its_state_is_what_the_terminal_says_at_$place" "$(page_state)" \
            "$(terminal_state $seed "$(js "return whitewater.life.step[$step];")" "$node")"
        click_on back-node
        node=$(js "const l = whitewater.life, i = whitewater.view.selected; return l.step[i] + ' ' + l.nameOf(l.who[i]);")
        claim "and_so_it_is_a_step_back_at_$place" "$(page_state)" "$(terminal_state $seed ${node% *} ${node#* })"
    done

    click_on search
    for key in l e a d e r; do press $key; done
    for _ in $(seq 100); do
        case $(text_of found) in *found) break ;; esac
        sleep 0.1
    done
    contains search_finds_events "$(text_of found)" ' found'
    claim each_has_the_word "$(js "return whitewater.found.length > 10
        && whitewater.found.every((i) => whitewater.life.lineOf(i).includes('leader'));")" true
    press '\uE007' # Enter
    claim enter_goes_to_one "$(js 'return whitewater.found.includes(whitewater.view.selected);')" true
}

"$unit" a_planted_violation_is_on_the_page >$work/unit.log || { cat $work/unit.log; exit 1; }
start_browser || { cat $work/driver.log; echo "FAILED the browser starts"; exit 1; }
violation
filters
long_run
claim the_console_has_no_errors "$(call POST "$session/se/log" '{"type":"browser"}')" '{"value":[]}'
exit $status
