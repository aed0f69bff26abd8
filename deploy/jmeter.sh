#!/usr/bin/env bash
# deploy/jmeter/plan.jmx against what `make up` started, or against URL, by the JMeter that
# is here, or Debian's (make jmeter). Fails if a request did, or none was answered.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh

debian=/usr/share/jmeter
http=$debian/lib/ext/ApacheJMeter_http.jar # a package of its own

is_debians() { [ -e "$debian/bin/ApacheJMeter.jar" ] && [ "$(command -v jmeter)" = /usr/bin/jmeter ]; }

if ! command -v jmeter >/dev/null || { is_debians && [ ! -e "$http" ]; }; then
    { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; } ||
        die "JMeter isn't installed (Debian's is jmeter and jmeter-http): unpack it from" \
            "https://jmeter.apache.org, and have its bin/ in PATH."
    # No file of that name is a program, so the package counts as missing. In a shell of its
    # own, as there is a trap in it.
    (install_debian jmeter=jmeter "$http=jmeter-http")
fi

# Debian's doesn't read plans by itself: jmeter/debian.bsh says why.
jmeter=(jmeter)
if is_debians; then
    jmeter=(java -cp "$debian/bin/ApacheJMeter.jar:/usr/share/java/bsh.jar" bsh.Interpreter
        deploy/jmeter/debian.bsh)
fi

[ -n "${URL:-}" ] || URL=$(deploy/demo.sh url) || die "or name a server: make jmeter URL=http://localhost:8080"
case $URL in
http://?*) rest=${URL#http://} ;;
*) die "URL=$URL isn't one of http: write it as in http://localhost:8080/" ;;
esac
authority=${rest%%/*}
path=/${rest#"$authority"}
path=/${path##/}
host=$authority port=80
case $authority in
*:*[!0-9]* | *:) die "URL=$URL: JMeter wants a name or an IPv4 address, and a port that is a number." ;;
*:*) host=${authority%:*} port=${authority##*:} ;;
esac

scenario=${SCENARIO:-ramp}
case $scenario in
ramp | spike | soak) ;;
*) die "SCENARIO=$scenario isn't one of ramp, spike and soak." ;;
esac

folder=$(target_dir)/jmeter
mkdir -p "$folder"
results=$folder/$scenario.csv
rm -f "$results" # it would be added to
# More options are words, as in ARGS="-Jpause=10 -Jthreads=50".
# shellcheck disable=SC2086
"${jmeter[@]}" -n -t deploy/jmeter/plan.jmx -q deploy/jmeter/results.properties \
    -l "$results" -j "$folder/$scenario.log" \
    -Jscenario="$scenario" -Jhost="$host" -Jport="$port" -Jpath="$path" \
    ${HOST_HEADER:+-Jvhost="$HOST_HEADER"} ${THREADS:+-Jthreads="$THREADS"} \
    ${DURATION:+-Jduration="${DURATION%s}"} ${ARGS:-}

say "" "Results: $results"
[ -s "$results" ] || die "JMeter has written no results; it says why in $folder/$scenario.log"
# The container is the last field, by results.properties.
awk -F, '
    NR == 1 { next }
    { container = $NF; gsub(/"/, "", container); answered[container]++; total++ }
    !/,(text|bin)?,true,/ { failed[container]++; bad++ }
    END {
        for (container in answered)
            printf "  %-24s %8d answered  %8d failed\n", container, answered[container], failed[container] | "sort"
        close("sort")
        printf "  %-24s %8d          %8d failed\n", "all", total, bad
        exit bad || !total
    }' "$results"
