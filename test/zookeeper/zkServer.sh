#!/usr/bin/env bash
# Stands in for the script of that name in a ZooKeeper release, for tests that start servers by it: runs the
# coordinator.
#
#   zkServer.sh start-foreground ZOO_CFG
#
# Read from ZOO_CFG: dataDir, clientPort, tickTime. From SERVER_JVMFLAGS: superDigest, extendedTypesEnabled. SLUICE_BIN is
# the program.

set -euo pipefail

[[ ${1:-} == start-foreground && -r ${2:-} ]] || { echo "usage: zkServer.sh start-foreground ZOO_CFG" >&2; exit 2; }

# value KEY prints what the file has for it.
value() { sed -n "s/^$1=//p" "$cfg"; }

# flag NAME prints what the JVM would be told.
flag() { tr ' ' '\n' <<<"${SERVER_JVMFLAGS:-}" | sed -n "s/^-Dzookeeper\.$1=//p"; }

cfg=$2
settings=(
  "coordinator.dir=$(value dataDir)/coordinator"
  "coordinator.listeners=127.0.0.1:$(value clientPort)"
  "coordinator.tick.time.ms=$(value tickTime)"
  "coordinator.super.digest=$(flag DigestAuthenticationProvider.superDigest)"
  "coordinator.extended.types.enabled=$(flag extendedTypesEnabled)"
  "coordinator.max.client.cnxns=0"
  "coordinator.4lw.commands.whitelist=*"
  "coordinator.admin.listener="
)
arguments=()
for s in "${settings[@]}"; do arguments+=(--set "$s"); done
bin=$SLUICE_BIN
unset SLUICE_BIN # the program takes it for a setting, and refuses it
exec "$bin" coordinator "${arguments[@]}"
