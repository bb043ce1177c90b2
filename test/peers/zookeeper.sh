#!/usr/bin/env bash
# Apache ZooKeeper 3.9.5 on loopback, to test and measure against.
#
#   zookeeper.sh start [OPTION...]     start, wait until all serve, print host:port of all servers
#   zookeeper.sh stop [--data DIR]     stop, keep the data
#   zookeeper.sh clean [--data DIR]    stop, delete the data
#   zookeeper.sh pids [--data DIR]     the servers' process ids, one per line, in order of their numbers
#   zookeeper.sh 4lw WORD [PORT]       what the server on PORT (22181) answers to a four-letter word
#   zookeeper.sh cli [ARG...]          zkCli, such as: cli -server 127.0.0.1:22181 ls /
#   zookeeper.sh classpath             the class path of zkCli, for scripts that run it themselves
#   zookeeper.sh fetch                 fetch the jars and do nothing else
#
# Options of start:
#   --port N         client port of the first server (22181; 0: any free one); the next server has N+1 and so on
#   --servers N      1: standalone; 3, 5: an ensemble, started when it has a leader (1)
#   --observer       the last server of the ensemble is an observer; it does not vote
#   --data DIR       where the servers' folders are (below ${PEERS_DIR:-~/.cache/sluice-test-peers})
#   --set KEY=VALUE  a line of zoo.cfg; may be given several times. What ZooKeeper does not know there becomes the
#                    system property zookeeper.KEY, such as extendedTypesEnabled
#   --jvm FLAG       a flag of each server's JVM; may be given several times
#   --heap SIZE      heap of each server's JVM (1000m)
#   --log-level L    of the server's log: trace, debug, info, warn, error (warn)
#
# Environment, for zkCli: ZOOKEEPER_CLI_LOG_LEVEL (error). For all: PEERS_DIR, where jars and data are kept; JAVA_HOME.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

release=zookeeper-3.9.5
classpath="$cache/jars/$release/*"

# word WORD PORT prints the answer to a four-letter word, nothing where nobody answers.
word() {
  # shellcheck disable=SC2016  # $1 and $2 are for the inner shell
  timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$2"; printf %s "$1" >&3; cat <&3' - "$1" "$2" 2>/dev/null || true
}

# serves PORT: the server there is part of a working ensemble, or alone.
serves() { [[ $(word srvr "$1") == *"Mode: "* ]]; }

# configuration I prints zoo.cfg of server I (from 1). ZooKeeper's defaults, save where tests need other ones: all
# words are answered, no limit of connections from this machine, no HTTP server.
configuration() {
  local i
  cat <<END
dataDir=$base/node-$1/data
clientPort=$((port + $1 - 1))
clientPortAddress=127.0.0.1
tickTime=2000
initLimit=10
syncLimit=5
maxClientCnxns=0
4lw.commands.whitelist=*
admin.enableServer=false
END
  if ((servers > 1)); then
    for ((i = 1; i <= servers; i++)); do
      echo "server.$i=127.0.0.1:$((port + servers + i - 1)):$((port + 2 * servers + i - 1))$(role "$i")"
    done
    [[ -z $observer || $1 != "$servers" ]] || echo "peerType=observer"
  fi
  ((${#settings[@]} == 0)) || printf '%s\n' "${settings[@]}"
}

# role I prints what the list of servers says behind the addresses of server I.
role() { [[ -z $observer || $1 != "$servers" ]] || echo ":observer"; }

# make_nodes writes the servers' folders. A folder made for another layout is refused: its data name the others.
make_nodes() {
  local i dir layout="$servers servers${observer:+ with an observer} from port $port" made
  mkdir -p "$base"
  [[ -e $base/layout ]] || echo "$layout" >"$base/layout"
  read -r made <"$base/layout"
  [[ $made == "$layout" ]] || fail "$base was made for $made, not for $layout: clean it, or give another --data"
  for ((i = 1; i <= servers; i++)); do
    dir=$base/node-$i
    mkdir -p "$dir/data"
    echo "$i" >"$dir/data/myid"
    configuration "$i" >"$dir/zoo.cfg"
  done
}

start() {
  local i dir java addresses=''
  jars "$here/zookeeper/pom.xml" "$release"
  java=$(java_bin)
  [[ -z $observer ]] || ((servers > 1)) || fail "one server alone cannot be an observer"
  if ((port == 0)); then port=$(free_ports $((3 * servers))); fi
  for ((i = 1; i <= servers; i++)); do
    if node_pid "$base/node-$i" >/dev/null; then fail "a server already runs in $base"; fi
    port_freed $((port + i - 1)) || fail "port $((port + i - 1)) is taken: give another --port"
  done
  make_nodes
  for ((i = 1; i <= servers; i++)); do
    dir=$base/node-$i
    launch "$dir" "$java" "-Dsluice.node=$dir" "-Xmx$heap" "${flags[@]}" \
      "-Dorg.slf4j.simpleLogger.defaultLogLevel=$level" -Dorg.slf4j.simpleLogger.showDateTime=true \
      -cp "$classpath" org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
    addresses+=${addresses:+,}127.0.0.1:$((port + i - 1))
  done
  for ((i = 1; i <= servers; i++)); do
    wait_until "$base/node-$i" 120 serves $((port + i - 1))
  done
  echo "$addresses"
}

verb=${1:-help}
[[ $# == 0 ]] || shift
case $verb in
  4lw)
    [[ $# -ge 1 ]] || fail "which word? see zookeeper.sh help"
    word "$1" "${2:-22181}"
    exit
    ;;
  cli)
    jars "$here/zookeeper/pom.xml" "$release"
    java=$(java_bin)
    exec "$java" -Xmx256m -XX:TieredStopAtLevel=1 \
      "-Dorg.slf4j.simpleLogger.defaultLogLevel=${ZOOKEEPER_CLI_LOG_LEVEL:-error}" -cp "$classpath" \
      org.apache.zookeeper.ZooKeeperMain "$@"
    ;;
  classpath)
    jars "$here/zookeeper/pom.xml" "$release"
    echo "$classpath"
    exit
    ;;
  help | -h | --help) usage; exit ;;
esac

# the flag is that of the release's start script
port=22181 servers=1 observer='' base=$cache/run/$release heap=1000m level=warn settings=() flags=(-XX:+HeapDumpOnOutOfMemoryError)
while (($#)); do
  if [[ $1 == --observer ]]; then
    observer=1
    shift
    continue
  fi
  [[ $# -ge 2 ]] || fail "$1 needs a value, or is no option; see zookeeper.sh help"
  case $1 in
    --port) port=$2 ;;
    --servers) servers=$2 ;;
    --data) mkdir -p "$2" && base=$(cd "$2" && pwd) ;;
    --set) settings+=("$2") ;;
    --jvm) flags+=("$2") ;;
    --heap) heap=$2 ;;
    --log-level) level=$2 ;;
    *) fail "no option $1; see zookeeper.sh help" ;;
  esac
  shift 2
done

shopt -s nullglob
nodes=("$base"/node-*)
case $verb in
  fetch) jars "$here/zookeeper/pom.xml" "$release" ;;
  start) start ;;
  stop) stop_nodes "${nodes[@]}" ;;
  clean)
    stop_nodes "${nodes[@]}"
    rm -rf "${nodes[@]}" "$base/layout"
    ;;
  pids) for node in "${nodes[@]}"; do node_pid "$node" || true; done ;;
  *) fail "no command $verb; see zookeeper.sh help" ;;
esac
