#!/usr/bin/env bash
# The test suite that comes with kazoo, ZooKeeper's client for Python, against the coordinator.
#
#   kazoo.sh          the tests of what brokers and most users rely on; less than a minute
#   kazoo.sh full     all that one server can serve: without SASL, eventlet and gevent; some six minutes
#   kazoo.sh peer     the same as full against a real ZooKeeper, to see what that passes
#
# Further arguments are for pytest. Environment: SLUICE_BIN, the program (bin/sluice).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SLUICE_BIN=${SLUICE_BIN:-$here/../../bin/sluice}
export PYTHONPATH=$here ZOOKEEPER_VERSION=3.8.0 PYTHONDONTWRITEBYTECODE=1

tests=$(/usr/bin/python3 -c 'import kazoo, os; print(os.path.join(os.path.dirname(kazoo.__file__), "tests"))')
args=(-q -p no:cacheprovider -p kazoo_cluster --timeout 120)

# What needs more than one ZooKeeper that is alone: changing the members of an ensemble, three servers, one that is
# cut off from the others.
alone=(test_bad_reconfig or test_good_reconfig or test_remove_reconfig or TestReconfig or test_read_only or test_request_queuing_session_expired)

# Tests that wait for long, by the clock, for what others look at too.
long=(NONE)

mode=${1:-quick}
[[ $# == 0 ]] || shift
case $mode in
  quick)
    exec /usr/bin/python3 -m pytest "${args[@]}" -k "not (${alone[*]} or ${long[*]})" "$tests"/test_{client,lock,watchers,barrier,queue,party,counter,election}.py "$@"
    ;;
  peer) export KAZOO_PEER=1 ;;
  full) ;;
  *) echo "kazoo.sh: no mode $mode" >&2; exit 2 ;;
esac
exec /usr/bin/python3 -m pytest "${args[@]}" --ignore "$tests/test_sasl.py" --ignore "$tests/test_eventlet_handler.py" \
  --ignore "$tests/test_gevent_handler.py" "$tests" "$@"
