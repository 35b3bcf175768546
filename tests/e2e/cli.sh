#!/bin/bash
# tests/e2e/cli.sh RINGMQ HOST PORT - ringmq pub, sub and check against a running broker that lets anybody in.
# One line per test, "ok …" or "FAILED …"; then "N passed, N failed". Exit status 1 when one failed.
# CLI_LINES: how many messages the bulk tests send (2000). Everything happens below one random topic.
set -u
[ $# -eq 3 ] || { echo "usage: $0 RINGMQ HOST PORT" >&2; exit 2; }
ringmq=$1 host=$2 port=$3
lines=${CLI_LINES:-2000}
top="cli/$$-$RANDOM$RANDOM"
dir=$(mktemp -d)
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT

pub() { timeout 60 "$ringmq" pub -h "$host" -p "$port" "$@"; }
sub() { timeout 60 "$ringmq" sub -h "$host" -p "$port" "$@"; }

verdict() { # NAME STATUS [DETAILS]
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); echo "ok $1"
    else failed=$((failed + 1)); echo "FAILED $1${3:+: $3}"; fi
}
equal() { # NAME GOT WANTED
    [ "$2" = "$3" ]; verdict "$1" $? "got '${2:0:300}', wanted '${3:0:300}'"
}
matches() { # NAME GOT REGEX
    [[ $2 =~ $3 ]]; verdict "$1" $? "got '${2:0:300}', wanted /$3/"
}

# start_sub NAME ARGS…: a subscriber in the background, writing $dir/NAME; returns once its subscription is answered.
start_sub() {
    local name=$1; shift
    : > "$dir/$name.err"
    timeout 60 "$ringmq" sub -h "$host" -p "$port" -d "$@" > "$dir/$name" 2> "$dir/$name.err" &
    sub_pid=$!
    for _ in $(seq 1500); do
        grep -q '^<-- SUBACK' "$dir/$name.err" && return
        kill -0 "$sub_pid" 2>/dev/null || return
        sleep 0.02
    done
}
wait_sub() { wait "$sub_pid"; sub_status=$?; }
# until_true COMMAND…: waits (half a minute at most) until it is true.
until_true() { for _ in $(seq 1500); do "$@" && return; sleep 0.02; done; }
lines_are() { [ "$(cat "${@:2}" | wc -l)" -ge "$1" ]; } # LINES FILE…
said() { [ "$(grep -cs -- "$2" "$dir/$1")" -ge "${3:-1}" ]; } # FILE PATTERN [TIMES]

# ---- one message, each QoS and version ----
for version in 31 311 5; do
    for qos in 0 1 2; do
        start_sub one -V $version -t "$top/one/$version" -q $qos -C 1 -F '%t %q %p' -W 50
        pub -V $version -t "$top/one/$version" -q $qos -m "hello $qos"
        status=$?
        wait_sub
        equal "version $version, QoS $qos" "$(cat "$dir/one") $status $sub_status" "$top/one/$version $qos hello $qos 0 0"
    done
done

# ---- output ----
start_sub out -t "$top/out" -C 1 -W 50; pub -t "$top/out" -m text; wait_sub
equal "payload alone" "$(od -An -c "$dir/out" | tr -d ' \n')" 'text\n'
start_sub out -t "$top/out" -v -C 1 -W 50; pub -t "$top/out" -m text; wait_sub
equal "-v" "$(cat "$dir/out")" "$top/out text"
start_sub out -t "$top/out" -N -C 2 -W 50; pub -t "$top/out" -m ab --repeat 2; wait_sub
equal "-N" "$(od -An -c "$dir/out" | tr -d ' \n')" 'abab'
start_sub out -t "$top/out" -C 1 -W 50 -q 1 -F '[%6p|%-6p|%.2p|%04l|%x|%X|%q|%r|%%|\t|%3%]'
pub -t "$top/out" -q 1 -m 'k+z'; wait_sub
equal "-F: widths, precision, hexadecimal" "$(cat "$dir/out")" "$(printf '[   k+z|k+z   |k+|0003|6b2b7a|6B2B7A|1|0|%%|\t|  %%]')"
start_sub out -t "$top/out" -C 1 -W 50 -F '%I %U %@Y-%@m-%@d'; pub -t "$top/out" -m x; wait_sub
matches "-F: times" "$(cat "$dir/out")" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{4} [0-9]+\.[0-9]{9} [0-9]{4}-[0-9]{2}-[0-9]{2}$'
sub -t "$top/out" -F '%y' 2> "$dir/err"; equal "-F: unknown item" "$?" 1
matches "-F: unknown item is named" "$(cat "$dir/err")" "'%y'"

# ---- properties, as formats and as JSON ----
properties=(-D publish content-type text/x -D publish response-topic a/b -D publish correlation-data id-7
    -D publish payload-format-indicator 1 -D publish message-expiry-interval 500
    -D publish user-property colour red -D publish user-property colour "dark blue" -D publish user-property n 1)
start_sub props -t "$top/props" -D subscribe subscription-identifier 42 -C 1 -W 50 -F '%C|%R|%D|%F|%E|%P|%S|%A'
pub -t "$top/props" -m x "${properties[@]}"; wait_sub
matches "properties in formats" "$(cat "$dir/props")" '^text/x\|a/b\|id-7\|1\|(500|49[0-9])\|colour:red colour:dark blue n:1\|42\|$'
start_sub props -t "$top/props" -D subscribe subscription-identifier 42 -C 1 -W 50 -F %j -q 1
pub -t "$top/props" -q 1 -m 'say "hi" \ é' "${properties[@]}"; wait_sub
if command -v python3 > /dev/null; then
    got=$(python3 - "$dir/props" <<'PYTHON' 2>&1
import json, sys
m = json.load(open(sys.argv[1], encoding="utf-8")); p = m["properties"]
print(m["qos"], m["retain"], m["payloadlen"], m["payload"], m["topic"].split("/")[-1], "tst" in m, m["mid"] > 0,
      p["content-type"], p["response-topic"], p["correlation-data"], p["payload-format-indicator"],
      p["user-properties"]["colour"], p["user-properties"]["n"], p["subscription-identifier"], sep="|")
PYTHON
    )
    equal "JSON: %j" "$got" '1|0|13|say "hi" \ é|props|True|True|text/x|a/b|id-7|1|['"'red', 'dark blue'"']|1|42'
    for pretty in "" --pretty; do
        start_sub json -t "$top/json" -C 3 -W 50 -F %J $pretty
        pub -t "$top/json" -m '{"a": [1, {"b":null}, -2.5e3, "x\n"]}'
        pub -t "$top/json" -m '{"a": 01}'
        printf '\377\000' | pub -t "$top/json" -s
        wait_sub
        got=$(python3 - "$dir/json" <<'PYTHON' 2>&1
import json, sys
text = open(sys.argv[1]).read(); at = 0; found = []
while text[at:].strip():
    value, end = json.JSONDecoder().raw_decode(text[at:].lstrip()); at += len(text[at:]) - len(text[at:].lstrip()) + end
    found.append(value)
print(found[0]["payload"], found[1]["payload"], found[2]["payload_base64"], sep="|")
PYTHON
        )
        equal "JSON: %J $pretty" "$got" "{'a': [1, {'b': None}, -2500.0, 'x\\n']}|{\"a\": 01}|/wA="
    done
fi

# ---- standard input ----
start_sub in -t "$top/in" -q 1 -C 4 -W 50; printf 'one\n\nthree\nno end' | pub -t "$top/in" -q 1 -l; wait_sub
equal "-l: lines, an empty one, one without end" "$(tr '\n' '|' < "$dir/in")" "one||three|no end|"
start_sub in -t "$top/in" -q 2 -C 1 -N -W 50; printf 'one\ntwo\n' | pub -t "$top/in" -q 2 -s; wait_sub
equal "-s" "$(tr '\n' '|' < "$dir/in")" "one|two|"
head -c 300000 /dev/urandom > "$dir/blob"
start_sub in -t "$top/in" -q 1 -C 1 -N -W 50; pub -t "$top/in" -q 1 -f "$dir/blob"; wait_sub
cmp -s "$dir/blob" "$dir/in"; verdict "-f: 300 kB of any bytes" $?
start_sub in -t "$top/in" -C 1 -F '%l' -W 50; pub -t "$top/in" -n; wait_sub
equal "-n" "$(cat "$dir/in")" "0"
pub -t "$top/in" -f "$dir/nowhere" 2> "$dir/err"; status=$?
equal "-f: no such file" "$status $(grep -c nowhere "$dir/err")" "1 1"

# ---- many: order, nothing lost, nothing twice ----
seq "$lines" > "$dir/wanted"
for qos in 1 2; do
    start_sub many -t "$top/many" -q $qos -C "$lines" -W 50
    pub -t "$top/many" -q $qos -l < "$dir/wanted"; status=$?
    wait_sub
    cmp -s "$dir/wanted" "$dir/many"; verdict "$lines messages with QoS $qos, in order" $? "pub $status, sub $sub_status, $(wc -l < "$dir/many") lines"
done
start_sub many -t "$top/many" -q 1 -C 50 -W 50 -M 3
pub -t "$top/many" -q 1 -M 2 -m x --repeat 50; status=$?; wait_sub
equal "small windows (-M) on both sides" "$status $sub_status $(wc -l < "$dir/many")" "0 0 50"
begin=$(date +%s%N); pub -t "$top/many" -m x --repeat 4 --repeat-delay 0.1; took=$((($(date +%s%N) - begin) / 1000000))
[ $took -ge 300 ]; verdict "--repeat-delay" $? "$took ms"

# ---- retained ----
pub -t "$top/ret/a" -m A -r -q 1; pub -t "$top/ret/b" -m B -r -q 1; pub -t "$top/ret/c" -m C -r -q 1
equal "retained messages" "$(sub -t "$top/ret/+" -C 3 -W 50 -F '%p%r' | sort | tr '\n' ' ')" "A1 B1 C1 "
equal "-T" "$(sub -t "$top/ret/+" -T "$top/ret/b" -C 2 -W 50 | sort | tr '\n' ' ')" "A C "
sub -t "$top/ret/+" -R -W 0.4 > "$dir/out"; equal "-R" "$? $(cat "$dir/out")" "27 "
equal "--retain-handling never" "$(sub -t "$top/ret/+" --retain-handling never -W 0.4)" ""
start_sub ret -t "$top/ret/+" --retained-only -W 50; until_true lines_are 3 "$dir/ret"; pub -t "$top/ret/a" -m live; wait_sub
equal "--retained-only ends at a live message" "$sub_status $(sort "$dir/ret" | tr '\n' ' ')" "0 A B C "
sub -t "$top/ret/+" --remove-retained -T "$top/ret/c" -C 2 -W 50 > "$dir/out"
equal "--remove-retained, -T spares one" "$(sort "$dir/out" | tr '\n' ' ')$(sub -t "$top/ret/+" -C 2 -W 2)" "A B C"
pub -t "$top/ret/c" -rn -q 1; equal "-r -n clears" "$(sub -t "$top/ret/+" -W 0.4)" ""
start_sub ret -t "$top/ret/d" --retain-as-published -C 1 -F '%r%p' -W 50; pub -t "$top/ret/d" -m D -r; wait_sub
equal "--retain-as-published" "$(cat "$dir/ret")" "1D"; pub -t "$top/ret/d" -rn -q 1

# ---- sessions ----
id="cli-$$-$RANDOM"
sub -c -i "$id" -t "$top/session" -q 2 -E; equal "-E" "$?" 0
for qos in 1 2; do pub -t "$top/session" -q $qos -m "away $qos"; done
equal "-c: what came while we were away" "$(sub -c -i "$id" -q 2 -t "$top/session" -C 2 -W 50 | tr '\n' '|')" "away 1|away 2|"
seq 10 | pub -t "$top/session" -q 2 -l
got=$(sub -c -i "$id" -q 2 -t "$top/session" -C 3 -W 50; sub -c -i "$id" -q 2 -t "$top/session" -C 7 -W 50)
equal "-c -C: the rest stays in the session" "$(tr '\n' ' ' <<< "$got")" "1 2 3 4 5 6 7 8 9 10 "
sub -c -i "$id" -U "$top/session" -E; pub -t "$top/session" -q 1 -m gone
equal "-U" "$(sub -c -i "$id" -x 0 -W 0.4)" ""
sub -i "$id" -t "$top/session" -E
sub -c -t "$top/session" 2> "$dir/err"; equal "-c without -i" "$?" 1
start_sub own -t "$top/own" -i "$id" --no-local -W 0.5; wait_sub; equal "-W: status" "$sub_status" 27

# ---- will ----
start_sub will -t "$top/will" -q 1 -C 1 -F '%p' -W 50
"$ringmq" sub -h "$host" -p "$port" -t "$top/nothing" -d --will-topic "$top/will" --will-payload gone --will-qos 1 > /dev/null 2> "$dir/dies.err" & dies=$!
until_true said dies.err SUBACK; kill -KILL $dies; { wait $dies; } 2> /dev/null
wait_sub; equal "will of a killed client" "$(cat "$dir/will")" "gone"
start_sub will -t "$top/will" -C 1 -W 50 -F '%p'
rm -f "$dir/dies.err"
"$ringmq" sub -h "$host" -p "$port" -t "$top/nothing" -d --will-topic "$top/will" --will-payload gone > /dev/null 2> "$dir/dies.err" & dies=$!
until_true said dies.err SUBACK; kill -TERM $dies; wait $dies
pub -t "$top/will" -m "none came before" # a will would have been published before this client had gone
wait_sub; equal "no will after SIGTERM" "$(cat "$dir/will")" "none came before"
for signal in INT TERM; do
    rm -f "$dir/signal.err" # or what the one before has written would be taken for this one's
    # a background job of a script ignores SIGINT unless its shell says otherwise
    (trap - INT; exec "$ringmq" sub -h "$host" -p "$port" -t "$top/nothing" -d > /dev/null 2> "$dir/signal.err") & sub_pid=$!
    until_true said signal.err SUBACK
    [ $signal = INT ] && name=2 || name=15
    kill -$name $sub_pid; wait_sub
    equal "SIG$signal: DISCONNECT and status 0" "$sub_status $(grep -c -- '--> DISCONNECT' "$dir/signal.err")" "0 1"
done

# ---- shared subscriptions ----
start_sub share1 -t "\$share/g/$top/share" -q 1 -W 50 -i "$id-1"; pid1=$sub_pid
start_sub share2 -t "\$share/g/$top/share" -q 1 -W 50 -i "$id-2"
seq 100 | pub -t "$top/share" -q 1 -l; until_true lines_are 100 "$dir/share1" "$dir/share2"; sleep 0.2
kill -TERM "$pid1" "$sub_pid"; wait "$pid1"; wait_sub
equal "shared: each message once" "$(sort -n "$dir/share1" "$dir/share2" | tr '\n' ' ')" "$(seq 100 | tr '\n' ' ')"

# ---- topic alias, URL, options ----
start_sub alias -t "$top/alias" -C 3 -W 50; seq 3 | pub -t "$top/alias" -l -D publish topic-alias 1 2> /dev/null; wait_sub
equal "topic alias" "$(tr '\n' ' ' < "$dir/alias")" "1 2 3 "
shown=$host; [[ $host == *:* ]] && shown="[$host]"
start_sub url -t "$top/u r/l" -C 1 -W 50; timeout 60 "$ringmq" pub -L "mqtt://$shown:$port/$top/u%20r/l" -m url; wait_sub
equal "-L" "$(cat "$dir/url")" "url"
start_sub opt -t "$top/opt" -C 1 -W 50 -F '%q%p'; pub --topic="$top/opt" -q1 --message=long; wait_sub
equal "--name=value, -q1" "$(cat "$dir/opt")" "0long"
start_sub opt -t "$top/opt" -W 50 -C 1 --retry 1; pub -t "$top/opt" -m x --retry; wait_sub
equal "--retry with and without a value" "$(cat "$dir/opt") $sub_status" "x 0"
start_sub opt -t "$top/opt" -C 1 -W 50; pub -i '' -t "$top/opt" -m x; wait_sub
equal "empty client id" "$(cat "$dir/opt")" "x"

# ---- complaints and exit statuses ----
expect_wrong() { # NAME WANTED-IN-MESSAGE ARGS…
    local name=$1 wanted=$2; shift 2
    "$ringmq" "$@" > "$dir/out" 2> "$dir/err"
    local status=$?
    [ $status -eq 1 ] && grep -q -- "$wanted" "$dir/err"; verdict "$name" $? "status $status, '$(head -c 200 "$dir/err")'"
}
expect_wrong "unknown subcommand names the nearest" "'pub'" pbu
expect_wrong "unknown option names the nearest" "--topic" pub --topik x
expect_wrong "no topic" "-t" pub -m x
expect_wrong "no message" "-m" pub -t x
expect_wrong "two messages" "only one" pub -t x -m x -n
expect_wrong "topic with a wildcard" "x/#" pub -t 'x/#' -m x
expect_wrong "wrong filter" "x#" sub -t 'x#'
expect_wrong "QoS 3" "0 to 2" pub -t x -m x -q 3
expect_wrong "unknown property names the nearest" "content-type" pub -t x -m x -D publish content-tipe x
expect_wrong "property of another packet" "cannot have" pub -t x -m x -D publish receive-maximum 3
expect_wrong "property before MQTT 5" "MQTT 5" pub -V 311 -t x -m x -D publish content-type x
expect_wrong "value out of range" "0 to 65535" pub -t x -m x -D connect receive-maximum 70000
expect_wrong "no such capability" "qos-1" check --only qos-11
"$ringmq" pub -h 127.0.0.1 -p 1 -t x -m x 2> "$dir/err"; equal "nobody listens: status" "$?" 2
matches "nobody listens: what and where" "$(cat "$dir/err")" "127.0.0.1:1: Connection refused"
"$ringmq" pub -h 127.0.0.1 -p 1 -t x -m x --quiet 2> "$dir/err"; equal "--quiet" "$? $(cat "$dir/err")" "2 "
"$ringmq" pub -h 127.0.0.1 -p 1 -t x -m x --retry 2> "$dir/err" & tries=$!
until_true said err 'trying again' 2; kill -TERM $tries; wait $tries
said err 'trying again' 2; verdict "--retry tries again" $? "$(cat "$dir/err")"
sub -t "$top/pipe" -W 50 -C 1000 2> "$dir/err" | head -n 1 > "$dir/out" & reader=$!
pub -t "$top/pipe" -m x --repeat 2000 --repeat-delay 0.02 & writer=$! # until the reader has been there, and a while behind its end
wait $reader; kill $writer; wait $writer 2> /dev/null
equal "| head -n 1 ends quietly" "$(cat "$dir/out")$(cat "$dir/err")" "x"

# ---- help, version, manual ----
for command in "" pub sub bench check passwd; do
    "$ringmq" $command --help > "$dir/out" 2> "$dir/err"; status=$?
    equal "${command:-ringmq} --help" "$status $(grep -c '^Usage:' "$dir/out") $(wc -c < "$dir/err")" "0 1 0"
done
matches "--version" "$("$ringmq" --version)" '^ringmq [0-9]'
manual="$here/../../docs/cli.md"
if [ -f "$manual" ]; then
    for command in pub sub bench check passwd; do
        "$ringmq" $command --help=markdown > "$dir/wanted.md"
        sed -n "/^<!-- options: $command -->/,/^<!-- end -->/p" "$manual" | sed '1d;$d' > "$dir/got.md"
        diff -B "$dir/wanted.md" "$dir/got.md" > "$dir/diff"; verdict "docs/cli.md has the options of $command" $? "$(head -n 5 "$dir/diff")"
    done
fi

# ---- check ----
timeout 150 "$ringmq" check -h "$host" -p "$port" --timeout 30 --json > "$dir/check.json" 2> "$dir/err"
status=$?
[ $status -eq 0 ]; verdict "check: all essential capabilities" $? "status $status, $(cat "$dir/err")"
if command -v python3 > /dev/null; then
    got=$(python3 - "$dir/check.json" <<'PYTHON' 2>&1
import json, sys
c = json.load(open(sys.argv[1]))
print(c["reachable"], len(c["checks"]) > 20, c["passed"] + c["failed"] + c["absent"] == len(c["checks"]), c["essential_missed"])
for one in c["checks"]:
    if one["verdict"] != "pass": print(f'note: check says {one["verdict"]}: {one["name"]}: {one["note"]}', file=open("/dev/stderr", "w"))
PYTHON
    )
    equal "check --json" "$(grep -v ^note: <<< "$got")" "True True True 0"
    grep ^note: <<< "$got"
fi
equal "check leaves nothing retained" "$(sub -t 'ringmq/check/#' -W 0.4)" ""
"$ringmq" check 127.0.0.1:1 > "$dir/out" 2>&1; equal "check: nobody listens" "$?" 2
shown_check=$("$ringmq" check "$shown:$port" --timeout 30 --only qos-2 --only will); equal "check --only" "$? $(grep -c '^pass' <<< "$shown_check")" "0 2"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
