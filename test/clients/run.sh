#!/usr/bin/env bash
# Real clients write and read back the same records, and each other's: franz-go, sarama, librdkafka (2.15, and
# kcat's older one), and the tools of Kafka itself. Contents are compared by SHA-256, with their order.
#
#   run.sh [PART...]     parts: matrix kcat text console tools configs; all without arguments
#
# Environment:
#   BOOTSTRAP   a cluster to test; without it a broker is started, from
#   SLUICE_BIN  the program to start (built if not set)
#
# Prints a table and, last, `N passed, N failed`. Exit code 1 if any failed. Needs Go with cgo and gcc, kcat, a Java
# runtime and Maven: test/peers/install.sh gets them.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
kafka=$root/test/peers/kafka.sh
work=$(mktemp -d)
broker=''

finish() {
  if [[ $broker ]]; then
    kill "$broker" 2>/dev/null || true
    wait "$broker" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

start_broker() {
  local bin=${SLUICE_BIN:-} i
  unset SLUICE_BIN # the program reads SLUICE_ variables as its configuration
  if [[ -z $bin ]]; then
    bin=$work/sluice
    (cd "$root" && CGO_ENABLED=0 go build -trimpath -o "$bin" ./cmd/sluice)
  fi
  "$bin" serve --data "$work/data" --set listeners=PLAINTEXT://127.0.0.1:0 --set admin.listener=127.0.0.1:0 --set coordinator.listeners=127.0.0.1:0 \
    --ready-file "$work/ready.json" >"$work/broker.log" 2>&1 &
  broker=$!
  for ((i = 0; i < 200; i++)); do
    [[ -e $work/ready.json ]] && break
    kill -0 "$broker" 2>/dev/null || break
    sleep 0.05
  done
  [[ -e $work/ready.json ]] || { cat "$work/broker.log" >&2; echo "run.sh: the broker did not start" >&2; exit 1; }
  BOOTSTRAP=$(sed -n 's/.*"kafka": *"\([^"]*\)".*/\1/p' "$work/ready.json")
}

# row WHAT CODEC COUNT SUM SECONDS VERDICT: one line of the table, as the Go part prints them too.
row() { printf '%-44s %-7s %7s %-12.12s %6s  %s\n' "$@" | tee -a "$work/table"; }

# now prints milliseconds; since BEGAN prints the seconds since then.
now() { date +%s%3N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", (b - a) / 1000 }'; }

# sum_of FILE
sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

# writes WHAT CODEC COUNT COMMAND...: run COMMAND, a row for it.
writes() {
  local what=$1 codec=$2 count=$3 began verdict=ok
  shift 3
  began=$(now)
  "$@" >"$work/out" 2>"$work/err" || verdict="FAIL exit code $?: $(tail -n 2 "$work/err" | tr '\n' ' ')"
  row "$what" "$codec" "$count" '' "$(since "$began")" "$verdict"
  [[ $verdict == ok ]]
}

# reads WHAT CODEC EXPECTED COMMAND...: the standard output of COMMAND must be the file EXPECTED.
reads() {
  local what=$1 codec=$2 expected=$3 began verdict=ok sum count
  shift 3
  began=$(now)
  "$@" >"$work/out" 2>"$work/err" || verdict="FAIL exit code $?: $(tail -n 2 "$work/err" | tr '\n' ' ')"
  sum=$(sum_of "$work/out")
  count=$(wc -l <"$work/out")
  [[ $verdict != ok || $sum == "$(sum_of "$expected")" ]] || verdict="FAIL other content than was written"
  row "$what" "$codec" "$count" "$sum" "$(since "$began")" "$verdict"
  [[ $verdict == ok ]]
}

# codec_seen CODEC: franz-go's last read-lines found batches in this codec and, at most, some left uncompressed.
codec_seen() {
  local found
  found=$(tail -n 1 "$work/err")
  [[ $found == "[$1]" || $found == "[none $1]" ]] || row '  batches are compressed so' "$1" '' '' '' "FAIL $found"
}

topic() { echo "clients-$1-$(now)"; }
create() { "$kafka" cli topics --bootstrap-server "$BOOTSTRAP" --create --topic "$1" --partitions "${2:-1}" >/dev/null; }

codecs=(none gzip snappy lz4 zstd)

part_matrix() { "$work/clients" matrix "$BOOTSTRAP" | tee -a "$work/table"; }

# kcat is Debian's, on librdkafka 2.0.2. It makes its topics by asking for their metadata.
part_kcat() {
  local codec name
  for codec in "${codecs[@]}"; do
    name=$(topic "kcat-$codec")
    kcat -b "$BOOTSTRAP" -L -t "$name" >/dev/null
    await_topic "$name"
    writes 'kcat writes' "$codec" 100000 \
      kcat -b "$BOOTSTRAP" -P -t "$name" -p 0 -K '\t' -z "$codec" -H header=value -l "$work/lines" || continue
    reads 'kcat -> kcat' "$codec" "$work/headed" \
      kcat -b "$BOOTSTRAP" -C -q -e -o beginning -t "$name" -p 0 -f '%h\t%k\t%s\n' || true
    reads 'kcat -> franz-go' "$codec" "$work/lines" "$work/clients" read-lines "$BOOTSTRAP" "$name" || continue
    codec_seen "$codec"
  done
  name=$(topic franz-lines)
  writes 'franz-go writes lines' zstd 100000 "$work/clients" write-lines "$BOOTSTRAP" "$name" zstd || return 0
  reads 'franz-go -> kcat' zstd "$work/lines" \
    kcat -b "$BOOTSTRAP" -C -q -e -o beginning -t "$name" -p 0 -f '%k\t%s\n' || true
}

# await_topic NAME: kcat -L asks for creation; wait until the partition has a leader.
await_topic() {
  local i
  for ((i = 0; i < 100; i++)); do
    kcat -b "$BOOTSTRAP" -Q -t "$1:0:-1" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
}

pipe_text() { kcat -b "$BOOTSTRAP" -P -t "$1" -p 0 -X queue.buffering.max.messages=1000000 <"$work/text"; }

# part_text sends a text of more than 50 MB, line by line, and expects the same file back.
part_text() {
  local name
  name=$(topic text)
  kcat -b "$BOOTSTRAP" -L -t "$name" >/dev/null
  await_topic "$name"
  "$work/clients" text 52428800 >"$work/text"
  writes "kcat writes $(($(stat -c %s "$work/text") / 1000000)) MB of text" none "$(wc -l <"$work/text")" \
    pipe_text "$name" || return 0
  reads 'kcat -> kcat, the text' none "$work/text" kcat -b "$BOOTSTRAP" -C -q -e -o beginning -t "$name" -p 0 || true
  rm -f "$work/text"
}

console_consumer() { # TOPIC [PROPERTY...]
  local name=$1 args=()
  shift
  for property; do args+=(--formatter-property "$property"); done
  "$kafka" cli console-consumer --bootstrap-server "$BOOTSTRAP" --topic "$name" --partition 0 --offset earliest \
    --max-messages 100000 --timeout-ms 60000 "${args[@]}"
}

console_producer() { # TOPIC CODEC
  "$kafka" cli console-producer --bootstrap-server "$BOOTSTRAP" --topic "$1" --compression-codec "$2" \
    --reader-property parse.headers=true --reader-property parse.key=true <"$work/headed-colon"
}

part_console() {
  local codec name
  for codec in "${codecs[@]}"; do
    name=$(topic "console-$codec")
    writes 'kafka-topics --create' '' '' create "$name" || continue
    writes 'kafka-console-producer writes' "$codec" 100000 console_producer "$name" "$codec" || continue
    reads 'console-producer -> console-consumer' "$codec" "$work/headed-colon" \
      console_consumer "$name" print.headers=true print.key=true || true
    reads 'console-producer -> franz-go' "$codec" "$work/lines" "$work/clients" read-lines "$BOOTSTRAP" "$name" || continue
    codec_seen "$codec"
  done
  name=$(topic franz-console)
  writes 'franz-go writes lines' lz4 100000 "$work/clients" write-lines "$BOOTSTRAP" "$name" lz4 || return 0
  reads 'franz-go -> console-consumer' lz4 "$work/lines" console_consumer "$name" print.key=true || true
}

# part_tools: the tools that count and administrate.
part_tools() {
  local codec name
  for codec in "${codecs[@]}"; do
    name=$(topic "perf-$codec")
    create "$name" 3
    writes 'kafka-producer-perf-test writes' "$codec" 100000 "$kafka" cli producer-perf-test --topic "$name" \
      --num-records 100000 --record-size 500 --throughput -1 \
      --producer-props bootstrap.servers="$BOOTSTRAP" compression.type="$codec" acks=all || continue
    echo 100000 >"$work/expected"
    reads 'kafka-get-offsets, sum' "$codec" "$work/expected" offsets_sum "$name" || true
  done
  echo "$name" >"$work/expected"
  reads 'kafka-topics --list' '' "$work/expected" list_topic "$name" || true
  printf '%s 0\n%s 1\n%s 2\n' "$name" "$name" "$name" >"$work/expected"
  reads 'kafka-topics --describe' '' "$work/expected" describe_topic "$name" || true
  writes 'kafka-topics --delete' '' '' "$kafka" cli topics --bootstrap-server "$BOOTSTRAP" --delete --topic "$name" || true
  : >"$work/expected"
  reads 'kafka-topics --list, after it' '' "$work/expected" list_topic "$name" || true
}

offsets_sum() {
  "$kafka" cli get-offsets --bootstrap-server "$BOOTSTRAP" --topic "$1" | awk -F: '{ n += $3 } END { print n }'
}
list_topic() { "$kafka" cli topics --bootstrap-server "$BOOTSTRAP" --list | { grep -xF "$1" || true; }; }
describe_topic() {
  "$kafka" cli topics --bootstrap-server "$BOOTSTRAP" --describe --topic "$1" |
    awk '$3 == "Partition:" && $5 == "Leader:" && $6 ~ /^[0-9]+$/ { print $2, $4 }'
}

configs() { "$kafka" cli configs --bootstrap-server "$BOOTSTRAP" "$@"; }

# settings ENTITY...: key=value of what kafka-configs says was set while running.
settings() { configs --describe "$@" | sed -n 's/^  *\([a-z.]*=[^ ]*\) sensitive=.*/\1/p' | grep -v '^min.insync.replicas=' | sort || true; }

# topic_settings TOPIC: what kafka-topics says of them.
topic_settings() {
  "$kafka" cli topics --bootstrap-server "$BOOTSTRAP" --describe --topic "$1" |
    sed -n 's/.*Configs: *//p' | tr , '\n' | grep -v '^min.insync.replicas=' | sort || true
}

# log_dir_sizes TOPIC: partition and size, of the JSON that kafka-log-dirs prints.
log_dir_sizes() {
  "$kafka" cli log-dirs --bootstrap-server "$BOOTSTRAP" --describe --topic-list "$1" | grep -o '"partition":"[^}]*' |
    sed 's/.*-\([0-9]*\)","size":\([0-9]*\),.*/\1 \2/' | sort || true
}

# part_configs: settings are changed and shown by Kafka's tools; the broker does as they say.
part_configs() {
  local name own all
  name=$(topic configs)
  create "$name" 2
  writes 'kafka-configs --alter, topic' '' '' configs --alter --entity-type topics --entity-name "$name" \
    --add-config 'retention.ms=3600000,max.message.bytes=2000,cleanup.policy=[compact,delete]' || return 0
  printf '%s\n' cleanup.policy=compact,delete max.message.bytes=2000 retention.ms=3600000 >"$work/expected"
  reads 'kafka-configs --describe, topic' '' "$work/expected" settings --entity-type topics --entity-name "$name" || true
  writes 'kafka-configs --alter, topic, both ways' '' '' configs --alter --entity-type topics --entity-name "$name" \
    --delete-config cleanup.policy --add-config segment.bytes=2097152 || true
  printf '%s\n' max.message.bytes=2000 retention.ms=3600000 segment.bytes=2097152 >"$work/expected"
  reads 'kafka-topics --describe, settings' '' "$work/expected" topic_settings "$name" || true
  own=(--entity-type brokers --entity-name 1) all=(--entity-type brokers --entity-default)
  writes 'kafka-configs --alter, broker' '' '' configs --alter "${own[@]}" --add-config log.retention.ms=7200000 || true
  writes 'kafka-configs --alter, all brokers' '' '' configs --alter "${all[@]}" --add-config log.segment.bytes=3145728 || true
  echo log.retention.ms=7200000 >"$work/expected"
  reads 'kafka-configs --describe, broker' '' "$work/expected" settings "${own[@]}" || true
  echo log.segment.bytes=3145728 >"$work/expected"
  reads 'kafka-configs --describe, all brokers' '' "$work/expected" settings "${all[@]}" || true
  writes 'kafka-configs --alter, taken back' '' '' configs --alter "${own[@]}" --delete-config log.retention.ms || true
  writes 'kafka-configs --alter, taken back' '' '' configs --alter "${all[@]}" --delete-config log.segment.bytes || true
  : >"$work/expected"
  reads 'kafka-configs --describe, nothing left' '' "$work/expected" settings "${own[@]}" || true
  printf '0 0\n1 0\n' >"$work/expected"
  reads 'kafka-log-dirs --describe' '' "$work/expected" log_dir_sizes "$name" || true
}

"$root/test/peers/install.sh" --check
"$kafka" fetch
[[ -n ${BOOTSTRAP:-} ]] || start_broker
# JVMs of a second or two: the full optimising compiler costs them more than it gives
export KAFKA_CLI_TIER=1

began=$(now)
(cd "$here" && go build -o "$work/clients" .)
"$work/clients" lines >"$work/lines"
sed 's/^/header=value\t/' "$work/lines" >"$work/headed"
sed 's/^/header:value\t/' "$work/lines" >"$work/headed-colon"

: >"$work/table"
printf '%-44s %-7s %7s %-12s %6s  %s\n' client codec records sha256 s ''
for part in "${@:-matrix kcat text console tools configs}"; do
  for p in $part; do "part_$p"; done
done
if [[ $broker ]] && ! kill -0 "$broker" 2>/dev/null; then
  row 'the broker' '' '' '' '' 'FAIL it has ended'
fi
failed=$(grep -c '  FAIL' "$work/table" || true)
passed=$(grep -c '  ok$' "$work/table" || true)
if ((failed)) && [[ $broker ]]; then tail -n 30 "$work/broker.log"; fi
echo "clients took $(since "$began") s"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
