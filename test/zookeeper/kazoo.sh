#!/usr/bin/env bash
# The test suite that comes with kazoo, ZooKeeper's client for Python, against the coordinator.
#
#   kazoo.sh          without the tests that wait longest; less than a minute
#   kazoo.sh full     all that one server can serve, some 75 s
#   kazoo.sh peer     the same as full against a real ZooKeeper, to see what that passes
#
# Left out: SASL, eventlet and gevent; changing the members of an ensemble, and what wants three servers.
#
# Further arguments are for pytest. Environment: SLUICE_BIN, the program (bin/sluice).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SLUICE_BIN=${SLUICE_BIN:-$here/../../bin/sluice}
export PYTHONPATH=$here ZOOKEEPER_VERSION=3.8.0 PYTHONDONTWRITEBYTECODE=1

tests=$(/usr/bin/python3 -c 'import kazoo, os; print(os.path.join(os.path.dirname(kazoo.__file__), "tests"))')
args=(-q -W ignore -p no:cacheprovider -p kazoo_cluster --timeout 120)

ensemble='TestReconfig or test_update_host_list or test_read_only'
long='test_child_watcher_remove_session_watcher or test_race_condition_new_partitioner or test_lock_many_threads'

mode=${1:-quick}
[[ $# == 0 ]] || shift
case $mode in
  quick) without="$ensemble or $long" ;;
  full) without=$ensemble ;;
  peer) without=$ensemble KAZOO_PEER=1 && export KAZOO_PEER ;;
  *) echo "kazoo.sh: no mode $mode" >&2; exit 2 ;;
esac
exec /usr/bin/python3 -m pytest "${args[@]}" --ignore "$tests/test_sasl.py" --ignore "$tests/test_eventlet_handler.py" \
  --ignore "$tests/test_gevent_handler.py" -k "not ($without)" "$tests" "$@"
