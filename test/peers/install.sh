#!/usr/bin/env bash
# Installs what tests need beyond Go and make, as Debian packages: a Java runtime, Maven, kcat, shellcheck, gcc,
# strace, and ZooKeeper's client for Python with its tests.
# Does nothing where all are there. Without root it says what to install, and fails.
#
#   install.sh [--check] [PROGRAM...]
#
# PROGRAM is java, mvn, kcat, shellcheck, gcc, strace or kazoo; all of them without arguments.
# --check: install nothing, only say what is missing.

set -euo pipefail

declare -A package=([kazoo]="python3-kazoo python3-pytest python3-pytest-timeout python3-mock python3-objgraph"
  [java]=openjdk-17-jre-headless [mvn]=maven [kcat]=kcat [shellcheck]=shellcheck [gcc]=gcc [strace]=strace)
check=''
if [[ ${1:-} == --check ]]; then
  check=1
  shift
fi
missing=()

# there PROGRAM: it is installed. Debian's modules are those of Debian's own Python.
there() {
  if [[ $1 == kazoo ]]; then
    /usr/bin/python3 -c 'import kazoo, pytest, pytest_timeout, mock, objgraph' 2>/dev/null
  else
    command -v "$1" >/dev/null
  fi
}

for program in "${@:-java mvn kcat shellcheck gcc strace kazoo}"; do
  for p in $program; do
    # shellcheck disable=SC2206  # several packages may be behind a name
    there "$p" || missing+=(${package[$p]})
  done
done
((${#missing[@]})) || exit 0

if [[ $check || $(id -u) != 0 ]]; then
  echo "missing: install the Debian packages ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates
