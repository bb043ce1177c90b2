# shellcheck shell=bash
# Sourced by the scripts that start real servers to test against: folders, jars, background processes.
#
# A "node" is a directory with one server in it: its configuration, data, `log` and, while it runs, `pid`.
# Its JVM carries -Dsluice.node=DIR, so that a pid file left by a crash or a reboot is never taken for a
# process of somebody else: only a process with that flag on its command line is ever signalled.
set -euo pipefail

# shellcheck disable=SC2034  # read by the scripts that source this
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice-test-peers}

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# usage prints the comment at the head of the script that was called.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# java_bin prints the java to use, 17 or newer.
java_bin() {
  local java=${JAVA_HOME:+$JAVA_HOME/bin/}java major
  command -v "$java" >/dev/null ||
    fail "java is missing. It needs version 17 or newer: Debian has it as openjdk-17-jre-headless (see $here/install.sh)"
  major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  ((major >= 17)) || fail "$java is version $major; 17 or newer is needed (Debian: openjdk-17-jre-headless)"
  command -v "$java"
}

# jars POM NAME [MVN-ARG...]: make sure that the jars of POM are in $cache/jars/NAME.
# They are copied beside it and renamed, so parallel first calls are harmless and an interrupted one is repeated.
jars() {
  local pom=$1 name=$2 dir=$cache/jars/$2 part
  shift 2
  [[ ! -d $dir ]] || return 0
  command -v mvn >/dev/null ||
    fail "mvn is missing, which fetches the jars. Debian has it as maven (see $here/install.sh)"
  mkdir -p "$cache/jars"
  part=$(mktemp -d "$dir.part.XXXXXX")
  echo "fetching $name with Maven ..." >&2
  if ! mvn -q -B -f "$pom" "$@" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part/jars" \
    >"$part/mvn.log" 2>&1; then
    cat "$part/mvn.log" >&2
    rm -rf "$part"
    fail "Maven could not fetch the jars of $name"
  fi
  mv -T "$part/jars" "$dir" 2>/dev/null || [[ -d $dir ]]
  rm -rf "$part"
}

# node_pid DIR prints the process id of the node in DIR; false if none runs.
node_pid() {
  local pid
  read -r pid 2>/dev/null <"$1/pid" || return 1
  grep -qzxF -- "-Dsluice.node=$1" "/proc/$pid/cmdline" 2>/dev/null || return 1
  echo "$pid"
}

# launch DIR COMMAND ARG...: run a server in the background, in a session of its own, in DIR.
launch() {
  local dir=$1 pid
  shift
  (cd "$dir" && exec setsid "$@" >>log 2>&1 </dev/null) &
  pid=$!
  echo "$pid" >"$dir/pid"
  # until the exec has happened the command line is still that of this shell
  until node_pid "$dir" >/dev/null; do
    kill -0 "$pid" 2>/dev/null || fail_with_log "$dir" "the server in $dir did not start"
    sleep 0.01
  done
}

fail_with_log() {
  tail -n 30 "$1/log" >&2
  fail "$2"
}

# wait_until DIR SECONDS COMMAND ARG...: until COMMAND is true, unless the node in DIR ends first.
wait_until() {
  local dir=$1 limit=$2 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    node_pid "$dir" >/dev/null || fail_with_log "$dir" "the server in $dir ended"
    ((SECONDS < end)) || fail_with_log "$dir" "the server in $dir was not ready after $limit s"
    sleep 0.1
  done
}

# stop_nodes DIR...: SIGTERM to all, then wait for each; SIGKILL to what is left after 30 s.
stop_nodes() {
  local dir pid end
  local -A pids=()
  for dir; do
    if pid=$(node_pid "$dir"); then
      pids[$dir]=$pid
      kill "$pid" 2>/dev/null || true
    fi
  done
  end=$((SECONDS + 30))
  for dir in "${!pids[@]}"; do
    while pid=$(node_pid "$dir"); do
      if ((SECONDS >= end)); then kill -KILL "$pid" 2>/dev/null || true; fi
      sleep 0.1
    done
    rm -f "$dir/pid"
  done
}

# port_free PORT: nobody listens on it on loopback.
port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_freed PORT: the same, after a while if need be: a process that was killed has its sockets to the last.
port_freed() {
  local i
  for ((i = 0; i < 30; i++)); do
    if port_free "$1"; then return; fi
    sleep 0.1
  done
  return 1
}

# free_ports N prints a port P such that nobody listens on P .. P+N-1.
free_ports() {
  local try p
  for ((try = 0; try < 200; try++)); do
    local first=$((20000 + (RANDOM << 15 | RANDOM) % 12000)) taken=''
    for ((p = first; p < first + $1; p++)); do
      port_free "$p" || taken=1
    done
    [[ $taken ]] || { echo "$first"; return; }
  done
  fail "no free ports found"
}
