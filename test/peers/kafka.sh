#!/usr/bin/env bash
# Apache Kafka 4.3.0 (KRaft mode), or 3.9.1 in ZooKeeper mode, on loopback, to test and measure against.
#
#   kafka.sh start [OPTION...]     start, wait until it answers, print host:port of all brokers
#   kafka.sh stop [--data DIR]     stop, keep the data
#   kafka.sh clean [--data DIR]    stop, delete the data
#   kafka.sh pids [--data DIR]     the brokers' process ids, one per line
#   kafka.sh cli [TOOL [ARG...]]   run one of Kafka's tools (kafka-topics or just topics); without TOOL: list them
#   kafka.sh fetch                 fetch the jars and do nothing else
#
# Options of start:
#   --port N         port of the first broker (29092, with --zookeeper 39092; 0: any free one); the next broker has N+1 and so on
#   --brokers N      how many brokers, each with a controller in it (1)
#   --data DIR       where the brokers' folders are (below ${PEERS_DIR:-~/.cache/sluice-test-peers})
#   --set KEY=VALUE  a broker property; may be given several times
#   --heap SIZE      heap of each broker's JVM (1G)
#   --log-level L    of the broker's log: trace, debug, info, warn, error (warn)
#   --zookeeper C    Kafka 3.9.1 in ZooKeeper mode; C is its zookeeper.connect, such as 127.0.0.1:2181/chroot
#
# stop, clean and pids without --data are about the brokers of both modes. The tools are those of 4.3.0, which work with
# either.
#
# Environment, for the tools: KAFKA_CLI_HEAP (512M), KAFKA_CLI_LOG_LEVEL (error), KAFKA_CLI_TIER (4: all compilers of
# the JVM; 1 starts faster and runs slower). For all: PEERS_DIR, where jars and data are kept; JAVA_HOME.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=4.3.0 zookeeper=''

# The flags that the release's own start scripts give to the JVM, so that figures are those of a stock broker.
flags=(-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35
  -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true)

# tool_class NAME prints the main class behind a kafka-NAME.sh of the release.
tool_class() {
  local tools=org.apache.kafka.tools
  case $1 in
    acls) echo $tools.AclCommand ;;
    broker-api-versions) echo $tools.BrokerApiVersionsCommand ;;
    client-metrics) echo $tools.ClientMetricsCommand ;;
    cluster) echo $tools.ClusterTool ;;
    configs) echo kafka.admin.ConfigCommand ;;
    console-consumer) echo $tools.consumer.ConsoleConsumer ;;
    console-producer) echo $tools.ConsoleProducer ;;
    console-share-consumer) echo $tools.consumer.ConsoleShareConsumer ;;
    consumer-groups) echo $tools.consumer.group.ConsumerGroupCommand ;;
    consumer-perf-test) echo $tools.ConsumerPerformance ;;
    delegation-tokens) echo $tools.DelegationTokenCommand ;;
    delete-records) echo $tools.DeleteRecordsCommand ;;
    dump-log) echo $tools.DumpLogSegments ;;
    e2e-latency) echo $tools.EndToEndLatency ;;
    features) echo $tools.FeatureCommand ;;
    get-offsets) echo $tools.GetOffsetShell ;;
    groups) echo $tools.GroupsCommand ;;
    jmx) echo $tools.JmxTool ;;
    leader-election) echo $tools.LeaderElectionCommand ;;
    log-dirs) echo $tools.LogDirsCommand ;;
    metadata-quorum) echo $tools.MetadataQuorumCommand ;;
    producer-perf-test) echo $tools.ProducerPerformance ;;
    reassign-partitions) echo $tools.reassign.ReassignPartitionsCommand ;;
    replica-verification) echo $tools.ReplicaVerificationTool ;;
    share-consumer-perf-test) echo $tools.ShareConsumerPerformance ;;
    share-groups) echo $tools.consumer.group.ShareGroupCommand ;;
    storage) echo kafka.tools.StorageTool ;;
    streams-groups) echo $tools.streams.StreamsGroupCommand ;;
    topics) echo $tools.TopicCommand ;;
    transactional-message-copier) echo $tools.TransactionalMessageCopier ;;
    transactions) echo $tools.TransactionsCommand ;;
    verifiable-consumer) echo $tools.VerifiableConsumer ;;
    verifiable-producer) echo $tools.VerifiableProducer ;;
    verifiable-share-consumer) echo $tools.VerifiableShareConsumer ;;
    *) return 1 ;;
  esac
}

# list_tools prints the names that tool_class knows.
list_tools() { declare -f tool_class | sed -n 's/^ *\([a-z0-9][a-z0-9-]*\))$/kafka-\1/p'; }

run_tool() {
  local name class java
  name=${1#kafka-}
  name=${name%.sh}
  class=$(tool_class "$name") || fail "no tool $1; 'kafka.sh cli' lists them"
  shift
  kafka_jars
  java=$(java_bin)
  exec "$java" "-Xmx${KAFKA_CLI_HEAP:-512M}" "${flags[@]}" -XX:TieredStopAtLevel="${KAFKA_CLI_TIER:-4}" \
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=${KAFKA_CLI_LOG_LEVEL:-error}" -cp "$classpath" "$class" "$@"
}

# kafka_jars makes sure that the jars of the version are there, and sets the class path.
kafka_jars() {
  jars "$here/pom.xml" "kafka-$version" "-Dkafka.version=$version"
  classpath="$cache/jars/kafka-$version/*"
}

# properties I prints the configuration of broker I (from 1). Kafka's defaults, save where one machine needs other ones.
properties() {
  local copies=$((brokers < 3 ? brokers : 3))
  if [[ $zookeeper ]]; then
    cat <<END
broker.id=$1
zookeeper.connect=$zookeeper
listeners=PLAINTEXT://127.0.0.1:$((port + $1 - 1))
END
  else
    kraft_properties "$1" "$copies"
  fi
  cat <<END
log.dirs=$base/node-$1/data
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$((copies > 2 ? 2 : 1))
group.initial.rebalance.delay.ms=0
END
  ((${#settings[@]} == 0)) || printf '%s\n' "${settings[@]}"
}

# kraft_properties I COPIES prints what is of KRaft mode only.
kraft_properties() {
  local i voters=''
  for ((i = 1; i <= brokers; i++)); do
    voters+=${voters:+,}$i@127.0.0.1:$((port + brokers + i - 1))
  done
  cat <<END
node.id=$1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:$((port + $1 - 1)),CONTROLLER://127.0.0.1:$((port + brokers + $1 - 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((port + $1 - 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=$voters
share.coordinator.state.topic.replication.factor=$2
share.coordinator.state.topic.min.isr=$(($2 > 2 ? 2 : 1))
END
}

# make_nodes writes the brokers' folders. A folder made for another layout is refused: the quorum is in its data.
make_nodes() {
  local i dir cluster layout="$brokers brokers from port $port"
  mkdir -p "$base"
  if [[ ! -e $base/layout ]]; then
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
    printf '%s\n%s\n' "$layout" "$cluster" >"$base/layout"
  fi
  { read -r i && read -r cluster; } <"$base/layout"
  [[ $i == "$layout" ]] || fail "$base was made for $i, not for $layout: clean it, or give another --data"
  for ((i = 1; i <= brokers; i++)); do
    dir=$base/node-$i
    mkdir -p "$dir"
    properties "$i" >"$dir/server.properties"
    [[ $zookeeper || -e $dir/data/meta.properties ]] ||
      "$java" -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$classpath" \
        kafka.tools.StorageTool format -t "$cluster" -c "$dir/server.properties" >"$dir/log" 2>&1 ||
      fail_with_log "$dir" "formatting $dir failed"
  done
}

# answers PORT: a Metadata request (version 1, no topics) is answered there and names all brokers.
answers() {
  local reply
  # shellcheck disable=SC2016  # $1 is for the inner shell
  reply=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf "\0\0\0\16\0\3\0\1\0\0\0\1\0\0\0\0\0\0" >&3
    head -c 12 <&3 | od -An -v -tu1' - "$1" 2>/dev/null) || return 1
  # 4 bytes length, 4 correlation id, 4 number of brokers
  [[ $(awk '{ print $12 }' <<<"$reply") == "$brokers" ]]
}

start() {
  local i dir addresses=''
  kafka_jars
  java=$(java_bin)
  if ((port == 0)); then port=$(free_ports $((2 * brokers))); fi
  for ((i = 1; i <= brokers; i++)); do
    if node_pid "$base/node-$i" >/dev/null; then fail "a broker already runs in $base"; fi
    port_freed $((port + i - 1)) || fail "port $((port + i - 1)) is taken: give another --port"
  done
  make_nodes
  for ((i = 1; i <= brokers; i++)); do
    dir=$base/node-$i
    launch "$dir" "$java" "-Dsluice.node=$dir" "-Xms$heap" "-Xmx$heap" "${flags[@]}" \
      "-Xlog:gc*:file=gc.log:time,tags:filecount=4,filesize=50M" \
      "-Dorg.slf4j.simpleLogger.defaultLogLevel=$level" -Dorg.slf4j.simpleLogger.showDateTime=true \
      -cp "$classpath" kafka.Kafka server.properties
    addresses+=${addresses:+,}127.0.0.1:$((port + i - 1))
  done
  for ((i = 1; i <= brokers; i++)); do
    wait_until "$base/node-$i" 180 answers $((port + i - 1))
  done
  echo "$addresses"
}

verb=${1:-help}
[[ $# == 0 ]] || shift
case $verb in
  cli)
    [[ $# != 0 ]] || { list_tools; exit; }
    run_tool "$@"
    ;;
  help | -h | --help) usage; exit ;;
esac

port='' brokers=1 base='' heap=1G level=warn settings=() java=''
while (($#)); do
  [[ $# -ge 2 ]] || fail "$1 needs a value, or is no option; see kafka.sh help"
  case $1 in
    --port) port=$2 ;;
    --brokers) brokers=$2 ;;
    --data) mkdir -p "$2" && base=$(cd "$2" && pwd) ;;
    --set) settings+=("$2") ;;
    --heap) heap=$2 ;;
    --log-level) level=$2 ;;
    --zookeeper) zookeeper=$2 version=3.9.1 ;;
    *) fail "no option $1; see kafka.sh help" ;;
  esac
  shift 2
done

[[ $zookeeper ]] && port=${port:-39092} || port=${port:-29092}
if [[ $base || $verb == start || $verb == fetch ]]; then
  bases=("${base:=$cache/run/kafka-$version}")
else
  bases=("$cache/run/kafka-4.3.0" "$cache/run/kafka-3.9.1")
fi

shopt -s nullglob
nodes=()
for base in "${bases[@]}"; do nodes+=("$base"/node-*); done
case $verb in
  fetch) kafka_jars ;;
  start) start ;;
  stop) stop_nodes "${nodes[@]}" ;;
  clean)
    stop_nodes "${nodes[@]}"
    rm -rf "${nodes[@]}" "${bases[@]/%//layout}"
    ;;
  pids) for node in "${nodes[@]}"; do node_pid "$node" || true; done ;;
  *) fail "no command $verb; see kafka.sh help" ;;
esac
