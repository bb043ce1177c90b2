#!/usr/bin/env bash
# The tests that come with github.com/go-zookeeper/zk, the client for Go, against the coordinator: all but those that want
# three servers. It takes less than a minute. Arguments are for the test binary. Environment: SLUICE_BIN, the program (bin/sluice).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SLUICE_BIN=$(realpath "${SLUICE_BIN:-$here/../../bin/sluice}")
export SLUICE_BIN

module=github.com/go-zookeeper/zk@v1.0.4
sum='h1:DPzxraQx7OrPyXq2phlGlNSIyWEsAox0RJmjTseMV6I='

three='^TestIntegration_(BasicCluster|ClientClusterFailover|NoQuorum|RecurringReAuthHang|DNSHostProviderReconnect|IncrementalReconfig|Reconfig)$'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
found=$(cd "$work" && go mod download -json "$module")
dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$found")
grep -qF "$sum" <<<"$found" || { echo "gozk.sh: $module is not what it was" >&2; exit 1; }
cp -R "$dir" "$work/zk"
chmod -R u+w "$work/zk"
cd "$work/zk"
go test -c -o "$work/zk.test" .
ZOOKEEPER_BIN_PATH=$here "$work/zk.test" -test.skip "$three" -test.timeout 10m "$@"
