# Lines of our access log, as Logstalgia's own format has them:
#
#   unixtime|client|path|status|size|success|colour|referrer|agent|host|container
#
# The container stands where Logstalgia has a process id, so with --paddle-mode pid each
# of them is a paddle. Lines that are in that format already pass as they are; others
# are left out.

BEGIN {
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
    for (m in names) month[names[m]] = m + 0
    # Of the status, by its first digit.
    split("8090a0 5fd38d 5aa9e6 f4c95d ff5a5f", colours, " ")
    FS = "\""
    OFS = "|"
}

/^[0-9]+[|]/ { print; flush(); next }

# host client - - [time] "request" status bytes "referer" "agent" "container" seconds attempts reason
NF == 9 && split($1, head, " ") == 6 && split($3, answer, " ") == 2 {
    path = $2
    sub(/^[^ ]* /, "", path)
    sub(/ [^ ]*$/, "", path)
    status = answer[1]
    # What the balancer answered itself flies past the paddles, unless it is fine.
    print unixtime(substr(head[5], 2), head[6]), plain(head[2]), plain(path), status, answer[2] + 0, \
        status < 400, colours[substr(status, 1, 1)], plain($4), plain($6), plain(head[1]), \
        $8 == "-" ? "lb" : plain($8)
    flush()
}

# The separator is the one thing that a field can't have.
function plain(text) {
    gsub(/[|]/, "%7C", text)
    return text
}

# 22/Nov/2026:16:48:00 and +0000]: mktime() is not in every awk, and knows no zones.
function unixtime(time, zone,    t, year, m, day, era, offset) {
    split(time, t, "[/:]")
    # Years that begin in March end in the leap day.
    m = month[t[2]]
    year = t[3] - (m <= 2)
    era = int(year / 400)
    year -= era * 400
    day = int((153 * (m + (m > 2 ? -3 : 9)) + 2) / 5) + t[1] - 1
    day += year * 365 + int(year / 4) - int(year / 100) + era * 146097 - 719468
    offset = (substr(zone, 2, 2) * 60 + substr(zone, 4, 2)) * 60
    if (zone ~ /^-/) offset = -offset
    return day * 86400 + t[4] * 3600 + t[5] * 60 + t[6] - offset
}

# Each line at once, as somebody watches.
function flush() { fflush() }
