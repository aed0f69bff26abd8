#!/usr/bin/env bash
# Programs of others as clients, friendly ones (curl, h2load) and one that means harm
# (slowhttptest), against lb-bin before two of app-bin, on free ports (make clients).
# Installs what is missing.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh
# shellcheck source=checks.sh
. deploy/checks.sh

# It has a trap of its own.
(install_debian curl=curl h2load=nghttp2-client slowhttptest=slowhttptest)
cargo build --locked -p lb-bin -p app-bin
programs=$(target_dir)/debug

work=$(mktemp -d)
pids=()
clean() {
    if [ "${#pids[@]}" -gt 0 ]; then kill "${pids[@]}" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# begin NAME PROGRAM ARGS: runs it, with what it says in a file of that name.
begin() {
    : >"$work/$1"
    "${@:2}" >>"$work/$1" 2>&1 &
    pids+=($!)
}

# address NAME TEXT: what stands behind the text in what it says, once it does.
address() {
    local found
    for _ in {1..200}; do
        found=$(sed -n "s|.*$2\([0-9.]*:[0-9]*\).*|\1|p" "$work/$1")
        if [ -n "$found" ]; then
            say "$found"
            return
        fi
        sleep 0.05
    done
    cat "$work/$1" >&2
    die "$1 doesn't listen."
}

for app in a b; do
    begin "$app" "$programs/app-bin" --listen 127.0.0.1:0 --admin off --name "$app"
done
apps=$(address a "listening on "),$(address b "listening on ")
begin lb "$programs/lb-bin" --docker=off --control=off --access-log=off \
    --trust-downstream-proxy=false --memory-limit=off --listen=127.0.0.1:0 \
    --admin=127.0.0.1:0 --upstream="$apps" --body-limit=1m \
    --head-timeout=4s --send-timeout=4s
url=http://$(address lb "listening on http://")
admin=http://$(address lb "status on http://")

# ask ARGS: curl's answer, with status, version and new connections in front.
ask() {
    curl --silent --show-error --max-time 20 --output "$work/body" \
        --write-out '%{http_code} %{http_version} %{num_connects}\n' "$@"
    cat "$work/body"
}

# is EXPECTED ARGS: the answer's lines begin with those expected.
is() {
    local answer
    answer=$(ask "${@:2}")
    say "expected: $1" "got: $answer"
    [[ $answer == "$1"* ]]
}

# has TEXT ARGS: a line of the answer is this.
has() {
    local answer
    answer=$(ask "${@:2}")
    say "expected: $1" "got: $answer"
    grep -qxiF "$1" <<<"$answer"
}

head -c 1048576 /dev/zero >"$work/fits"
head -c 1048577 /dev/zero >"$work/too-long"

keeps_alive() {
    # The last number is that of new connections.
    ask "$@" "$url/[1-50]" --output /dev/null | grep -c ' 1$' | grep -x 1
}

waits_for_100() {
    curl --silent --show-error --max-time 20 --expect100-timeout 60 --verbose \
        --header 'Expect: 100-continue' --data-binary @"$work/fits" "$url/" 2>&1 |
        tee "$work/verbose" | grep -aF '< HTTP/1.1 100 Continue'
    grep -aF '< HTTP/1.1 200 OK' "$work/verbose"
}

uploads() {
    # Of unknown length, and of a known one.
    ask "$2" --upload-file - "$url/" <"$work/$1" | grep "^$3 "
    ask "$2" --data-binary @"$work/$1" "$url/" | grep "^$3 "
}

# curl 7.88 takes the end of its upload (NO_ERROR) for an error, and forgets the answer.
uploads_too_much_over_http2() {
    nghttp --no-dep --null-out --verbose --data="$work/too-long" "$url/" |
        sed 's/\x1b\[[0-9;]*m//g' | tee "$work/frames" | grep -F ':status: 413'
    grep -F 'error_code=NO_ERROR' "$work/frames"
}

for version in --http1.1 --http2-prior-knowledge; do
    number=1.1
    [ "$version" = --http1.1 ] || number=2
    check "curl $version: GET" is "200 $number 1
Hi there" "$version" "$url/"
    check "curl $version: HEAD" is "200 $number 1" "$version" --head "$url/?size=1000"
    check "curl $version: HEAD tells the length" has $'content-length: 1000\r' \
        "$version" --head "$url/?size=1000"
    check "curl $version: ranges are asked for" has "range: bytes=5-9" \
        "$version" --range 5-9 "$url/?echo"
    check "curl $version: an upload, as long as it may be" uploads fits "$version" 200
    check "curl $version: 404 with a body" is "404 $number 1" "$version" "$url/?status=404"
done
# Not over HTTP/2: curl 7.88 can't use such a connection twice (its issue 10634).
check "curl: one connection is enough" keeps_alive
check "curl: an upload that is too long" uploads too-long --http1.1 413
check "nghttp: an upload that is too long" uploads_too_much_over_http2
check "curl: Expect: 100-continue" waits_for_100
check "curl: HTTP/1.0" is "200 1 1" --http1.0 "$url/"

# load ARGS: all requests are answered well.
load() {
    local told
    told=$(timeout 60 h2load --requests 5000 --clients 20 "$@")
    say "$told"
    grep -F '5000 succeeded, 0 failed, 0 errored, 0 timeout' <<<"$told"
}

check "h2load: HTTP/2" load --max-concurrent-streams 50 "$url/"
check "h2load: HTTP/2, 100 KB each" load --max-concurrent-streams 10 "$url/?size=100000"
check "h2load: HTTP/2, POST" load --max-concurrent-streams 10 --data Makefile "$url/"
check "h2load: HTTP/1.1" load --h1 "$url/"

# attack NAME ARGS: slow clients, in the background; a file tells each second whether
# another one was served meanwhile.
attack() {
    (cd "$work" && slowhttptest -g -o "$1" -c 200 -r 200 -l 10 -p 5 "${@:2}" >"$1.log" 2>&1) &
    attacks+=($!)
}

# The column is 0 in each second in which there was no answer.
was_available() {
    cat "$work/$1.csv"
    [ "$(wc -l <"$work/$1.csv")" -gt 3 ]
    awk -F, 'NR > 1 && $NF == 0 { failed = 1 } END { exit failed }' "$work/$1.csv"
}

# Until all of them have ended.
others_are_served() {
    while kill -0 "${attacks[@]}" 2>/dev/null; do
        is "200 1.1 1" "$url/"
        sleep 0.1
    done
}

# counted SERIES: it has happened.
counted() {
    curl --silent --max-time 20 "$admin/metrics" | tee /dev/stderr | grep -F "$1" | grep -v ' 0$'
}

attacks=()
attack headers -H -i 1 -u "$url/"
attack body -B -i 1 -s 8192 -u "$url/"
attack read -X -n 5 -z 5 -w 10 -y 20 -u "$url/?size=10000000"
check "slowhttptest: others are served" others_are_served
for name in headers body read; do
    check "slowhttptest: slow $name keep nobody else out" was_available "$name"
done
closed=lb_client_connections_closed_total
check "slowhttptest: slow headers are cut off" counted "$closed{reason=\"head_timeout\"}"
check "slowhttptest: slow reads are cut off" counted "$closed{reason=\"send_timeout\"}"

verdict
