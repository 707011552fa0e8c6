#!/bin/sh
# Campaigns in pieces: shards, merged results, and the files of deploy/ that start them, on loopback: GNU parallel over
# ssh, a Slurm array, and what the Kubernetes job and the CI matrix would execute. So that there are failures to be found,
# most of it runs with a known bug of tests/mutants/. Skips what needs packages that are not there.
set -u
cd "$(dirname "$0")/.." || exit 2
bin=${BIN:-build}
root=$PWD
scratch=$(mktemp -d "$root/build/fleet.XXXXXX") || exit 2
sockets=$(mktemp -d) || exit 2 # their names must be short
status=0
raftsim=$root/$bin/raftsim
case $bin in /*) raftsim=$bin/raftsim ;; esac

stop() { # pid file of a process that this test has started
    [ ! -s "$1" ] || kill "$(cat "$1")" 2>/dev/null
}
finish() {
    stop "$scratch/sshd.pid"
    stop "$scratch/slurmd.pid"
    stop "$scratch/slurmctld.pid"
    rm -rf "$scratch" "$sockets"
}
trap finish EXIT
trap 'exit 1' INT TERM

claim() { # name, command...: holds when the command succeeds
    claimed=$1
    shift
    if "$@" >"$scratch/claim.log" 2>&1; then
        echo "ok $claimed"
    else
        cat "$scratch/claim.log"
        echo "FAILED $claimed"
        status=1
    fi
}
fails_with() { # exit status, words on stderr, command...
    wanted=$1
    words=$2
    shift 2
    "$@" >"$scratch/out" 2>"$scratch/err"
    code=$?
    cat "$scratch/err"
    [ "$code" -eq "$wanted" ] || { echo "exit status $code, expected $wanted"; return 1; }
    [ -z "$words" ] || grep -q -- "$words" "$scratch/err" || { echo "no word of: $words"; return 1; }
}

# What does not depend on who ran it when: all but times, rates and the number of workers.
facts() { sed 's/"\(jobs\|runs\|seconds\|schedules_per_second\|worker_seconds\)":[0-9.]*,//g; s/,"history".*//' "$1"; }
failures() { cat "$@" | grep '"type":"failure"' | sed 's/,"trace".*//' | sort; }

# --- a program with a bug: a vote is given whatever the candidate's log
if ! command -v patch >/dev/null; then
    echo "skip all of it: no patch (.ci/deps fleet)"
    exit 0
fi
mkdir -p "$scratch/bug"
cp -r core "$scratch/bug/"
patch -s -p1 -d "$scratch/bug" <"$(ls tests/mutants/E03-*.patch)" || exit 1
objects=$root/$bin
case $bin in /*) objects=$bin ;; esac
sanitizers=
case $bin in *sanitize*) sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all" ;; esac
gcc -std=c11 -O2 $sanitizers -c -o "$scratch/bug/election.o" "$scratch/bug/core/election.c" || exit 1
# The archive is asked only for what is not there yet.
if ! gcc -pthread -fno-lto $sanitizers -o "$scratch/bug/raftsim" "$objects"/cmd/raftsim*.o "$scratch/bug/election.o" \
    "$objects/libsim.a" "$objects/libcore.a" -lxxhash 2>"$scratch/link.log"; then
    cat "$scratch/link.log"
    echo "FAILED a_program_with_a_bug_is_linked"
    exit 1
fi
bug=$scratch/bug/raftsim
work=$scratch/work
mkdir -p "$work"
cd "$work" || exit 2
options="--seed 31 --count 150 --keep-going --commit 0123456789abcdef0123456789abcdef01234567"

# --- shards and merge
mkdir -p whole parts
$bug run $options --quiet --jobs 2 --jsonl whole/all.jsonl --trace-dir whole >whole/out 2>&1
whole_status=$?
for shard in 0 1 2; do
    $bug run $options --shard $shard/3 --quiet --jobs 1 --jsonl parts/$shard.jsonl --trace-dir parts >parts/out 2>&1
done
$bug merge --json whole/all.jsonl >whole.json 2>/dev/null
merged_status=$?
$bug merge --json --html page.html parts/*.jsonl >parts.json 2>parts.err
parts_status=$?

claim the_bug_is_found [ "$whole_status" -ge 3 ]
claim shards_find_the_same_failures [ -n "$(failures whole/all.jsonl)" -a "$(failures whole/all.jsonl)" = "$(failures parts/*.jsonl)" ]
claim shards_add_up_to_the_whole [ "$(facts whole.json)" = "$(facts parts.json)" ]
claim merge_ends_as_the_run_did [ "$whole_status" -eq "$merged_status" -a "$whole_status" -eq "$parts_status" ]
claim merge_names_the_failures grep -q "seed $(sed -n 's/.*"failure","seed":\([0-9]*\).*/\1/p' whole/all.jsonl | head -n 1): " parts.err
claim failures_have_traces ls $(sed -n 's/.*"trace":"\([^"]*\)".*/\1/p' parts/*.jsonl)
trace=$(ls parts | grep '[0-9]\.trace$' | head -n 1)
failed=$(failures whole/all.jsonl | wc -l)
small=$(ls whole | grep -c '\.small\.trace$')
kinds=$(sed -n 's/^raftsim: seed [0-9]*: \([^:]*: [a-z_]*\).*/\1/p' whole/out | sort -u | wc -l)
claim failures_that_are_alike_are_shrunk_once [ "$small" -ge "$kinds" -a "$small" -lt "$failed" ]
# It may be done before it is interrupted.
timeout --preserve-status -s INT 0.2 $bug shrink "parts/$trace" --for 1m -o interrupted.trace 2>interrupted.err
interrupted=$?
claim a_shrink_that_is_interrupted_writes_how_far_it_got \
    sh -c "case $interrupted in 0 | 130) ;; *) exit 1 ;; esac; $bug replay interrupted.trace --quiet --strict; [ \$? -ge 3 -a \$? -le 6 ]"
claim the_page_links_to_the_traces grep -q "href=\"parts/$trace\"" page.html
claim the_page_needs_nothing_else sh -c '! grep -qiE "<script|https?://|src=|@import|url\(" page.html'
claim what_ran_twice_is_refused fails_with 2 'both ran seed' $bug merge whole/all.jsonl parts/1.jsonl
claim a_missing_shard_of_a_clean_run_fails fails_with 1 '1 shard of' sh -c \
    "$raftsim run --count 30 --shard 1/2 --quiet --jsonl one.jsonl && $raftsim merge one.jsonl"
claim two_builds_of_one_commit_are_refused fails_with 2 'of build' sh -c \
    "$raftsim run --count 9 --commit 0123456789abcdef0123456789abcdef01234567 --quiet --jsonl two.jsonl && $raftsim merge parts/0.jsonl two.jsonl"

# --- a run that is killed leaves what it had
$raftsim run --for 5m --quiet --jsonl killed.jsonl >killed.out 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && ! tail -n 1 killed.jsonl 2>/dev/null | grep -q totals; do sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
claim a_killed_run_is_not_lost fails_with 130 '' $raftsim merge killed.jsonl
claim and_its_schedules_count sh -c "$raftsim merge killed.jsonl | grep -q '^[1-9][0-9]* schedules, 0 failures'"

# However early it is killed: no worker outlives its parent by more than a schedule.
left_behind() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "jsonl $work/orphans"; }
for pause in 0 0 0.001 0.005 0.02 0.1; do
    $raftsim run --for 5m --quiet --jsonl "$work/orphans" >killed.out 2>&1 &
    pid=$!
    sleep $pause
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
tries=0
while left_behind && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
claim workers_end_with_their_parent [ $tries -lt 100 ]

# --- options
claim time_needs_a_unit fails_with 2 '--for: 10 is not a valid value' $raftsim run --for 10
claim a_shard_is_below_their_number fails_with 2 '--shard: 3/3 is not' $raftsim run --shard 3/3
claim time_is_kept_to timeout 20 $raftsim run --for 1s --quiet
(
    cd "$root" && commit=$(git rev-parse HEAD 2>/dev/null) || exit 0
    seed=$(printf '%d' "0x$(echo "$commit" | cut -c 1-12)")
    $raftsim run --seed git --count 1 --quiet --trace-dir "$work" --jsonl "$work/git.jsonl" >/dev/null
    grep -q "\"commit\":\"$commit\".*\"seed\":$seed," "$work/git.jsonl"
)
claim the_commit_gives_the_seed [ $? -eq 0 ]
mkdir -p "$work/tree/.git"
echo nothing >"$work/tree/.git/HEAD"
claim without_a_commit_there_is_no_seed fails_with 2 '--seed git: .*no commit at HEAD' sh -c "cd tree && $raftsim run --seed git --count 1"

# --- GNU parallel over ssh
over_ssh() {
    mkdir -p ssh /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f ssh/host
    ssh-keygen -q -t ed25519 -N '' -f ssh/key
    # Any free port; what the user's shell would load belongs to nobody's test.
    for port in 20622 21622 22622 23622; do
        printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $work/ssh/host" "PidFile $scratch/sshd.pid" \
            "AuthorizedKeysFile $work/ssh/key.pub" 'StrictModes no' 'UsePAM no' 'PermitRootLogin yes' 'SetEnv SHLVL=5' >ssh/config
        /usr/sbin/sshd -f "$work/ssh/config" -E "$work/ssh/log" && break
    done
    while [ ! -s "$scratch/sshd.pid" ]; do sleep 0.1; done
    echo "2/ssh -p $port -i $work/ssh/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR" \
        "-o ControlMaster=auto -o ControlPath=$sockets/%C -o ControlPersist=60 $(id -un)@127.0.0.1" >ssh/hosts
    RAFTSIM=$bug "$root/deploy/fleet-ssh" far 2 ssh/hosts $options --jobs 1
    code=$?
    # One connection for all: starting them takes longer than what runs over them.
    ssh -p $port -o ControlPath="$sockets/%C" -O exit "$(id -un)@127.0.0.1"
    [ $code -eq "$whole_status" ] || return 1
    [ "$(failures far/*/results.jsonl)" = "$(failures whole/all.jsonl)" ] || return 1
    ls $(sed -n 's/.*"trace":"\([^"]*\)".*/far\/\1/p' far/*/results.jsonl) >/dev/null && [ -s far/index.html ]
}
if command -v parallel >/dev/null && command -v rsync >/dev/null && [ -x /usr/sbin/sshd ]; then
    if [ "$(id -u)" -eq 0 ]; then
        claim machines_reached_by_ssh_find_the_same over_ssh
    else
        echo "skip machines_reached_by_ssh_find_the_same: only root may start an sshd that lets somebody in"
    fi
else
    echo "skip machines_reached_by_ssh_find_the_same: no parallel, rsync or sshd (.ci/deps fleet)"
fi

# --- Slurm: a controller and a node on loopback, which trust each other
in_slurm() {
    mkdir -p slurm/state slurm/spool
    export SLURM_CONF="$work/slurm/slurm.conf"
    name=$(hostname -s)
    for port in 26817 27817 28817; do
        cat >"$SLURM_CONF" <<EOF
ClusterName=fleet
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation=$work/slurm/state
SlurmdSpoolDir=$work/slurm/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldLogFile=$work/slurm/slurmctld.log
SlurmdLogFile=$work/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc)
PartitionName=all Nodes=ALL Default=YES
EOF
        slurmctld && slurmd && break
    done
    RAFTSIM=$bug RESULTS=$work/array sbatch --wait --cpus-per-task=1 --array=0-1 "$root/deploy/fleet.sbatch" $options
    cat raftsim-*.log slurm/*.log
    $bug merge array/*.jsonl
    [ $? -eq "$whole_status" ] && [ "$(failures array/*.jsonl)" = "$(failures whole/all.jsonl)" ]
}
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v sbatch >/dev/null; then
    echo "skip a_slurm_array_finds_the_same: no slurmctld, slurmd or sbatch (.ci/deps fleet)"
elif [ "$(id -u)" -ne 0 ]; then
    echo "skip a_slurm_array_finds_the_same: only root may start a slurmd that runs jobs"
else
    claim a_slurm_array_finds_the_same in_slurm
fi
claim a_slurm_task_that_is_no_shard_fails fails_with 2 'submit it with --array=0-LAST' sh "$root/deploy/fleet.sbatch"

# --- what a pod and a job of the matrix execute: the command of the file, in the environment that they would have
command_of() { # file, first word of the command's lines: what stands there, as one line
    awk -v first="$2" '$0 ~ "^ *(exec )?" first " run" { on = 1 } on && !/--/ { exit } on' "$1" | tr '\n' ' '
}
in_pods() {
    mkdir -p pods logs
    ln -sf "$raftsim" pods/raftsim
    line=$(command_of "$root/deploy/fleet-job.yaml" raftsim | sed 's/--for 10m/--count 40/; s/COMMIT/0123456789abcdef0123456789abcdef01234567/')
    for index in 0 1; do
        PATH=$work/pods:$PATH JOB_COMPLETION_INDEX=$index SHARDS=2 sh -c "$line" >>logs/all.log || return 1
    done
    $raftsim merge logs/all.log | grep '^40 schedules, 0 failures'
}
in_matrix() {
    mkdir -p checkout/build checkout/results
    ln -sf "$raftsim" checkout/build/raftsim
    line=$(command_of "$root/deploy/fleet-ci.yaml" build/raftsim | sed 's/--for 10m/--count 40/')
    for shard in 0 1; do
        (cd checkout && COMMIT=0123456789abcdef0123456789abcdef01234567 SHARD=$shard SHARDS=2 sh -c "$line") || return 1
    done
    (cd checkout && build/raftsim merge --html results/index.html results/*.jsonl) | grep '^40 schedules, 0 failures'
}
claim pods_of_a_kubernetes_job_add_up in_pods
claim jobs_of_a_ci_matrix_add_up in_matrix
exit $status
