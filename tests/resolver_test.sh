#!/bin/sh
# A name server that does not answer must not make raftctl wait much longer than --timeout: a look-up blocks, and by
# default for ten seconds. In network and mount namespaces of its own, with a name server that packets never reach;
# skipped where there are none.
set -u
cd "$(dirname "$0")/.." || exit 2
bin=${BIN:-build}
failed=0

if [ "${1:-}" != inside ]; then
    if ! unshare -rnm true 2>/dev/null || ! command -v ip >/dev/null; then
        echo "skip all of it: no namespaces for it here"
        exit 0
    fi
    exec unshare -rnm "$0" inside
fi

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
echo "nameserver 192.0.2.53" >"$work/resolv.conf"
if ! { ip link set lo up && ip link add silent type veth peer name far && ip addr add 192.0.2.1/24 dev silent &&
    ip link set silent up && ip link set far up && ip neigh add 192.0.2.53 lladdr 02:00:00:00:00:01 dev silent &&
    mount --bind "$work/resolv.conf" /etc/resolv.conf; } 2>/dev/null; then
    echo "skip all of it: no silent network here"
    exit 0
fi

# Exit status, words and at most so many seconds.
claim() { # name, status, words, endpoints
    begun=$(date +%s)
    "$bin/raftctl" --endpoints "$4" --timeout 1s snapshot save "$work/snapshot" >"$work/out" 2>&1
    status=$?
    spent=$(($(date +%s) - begun))
    if [ "$status" -eq "$2" ] && grep -q "$3" "$work/out" && [ "$spent" -le 6 ] && [ ! -e "$work/snapshot" ]; then
        echo "ok $1"
        return
    fi
    echo "FAILED $1: exit status $status after $spent s: $(cat "$work/out")"
    failed=1
}

claim a_name_that_nobody_looks_up_is_given_up_soon 2 'no such host, none of: silent.example:7001' silent.example:7001
claim beside_an_endpoint_that_refuses_it_is_too 4 'no answer within 1 s: 0 of 2 endpoints answered' \
    silent.example:7001,127.0.0.1:59999
exit $failed
