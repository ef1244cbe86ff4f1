#!/usr/bin/env bash
# A Slurm of one node, this machine, from Debian's packages: to try the workflow on, and for tests.
#
#   eval "$(workflows/slurm/one_node.sh start DIR)"   starts it; prints what the shell has to know of it
#   sinfo                                             the commands of Slurm now talk to it
#   workflows/slurm/one_node.sh stop DIR              cancels its jobs and ends its daemons
#
# Runs as root. Everything it writes lies in DIR: configuration, key, state, logs and process ids. It has
# a munge socket and ports of its own, so a Slurm that runs here already is neither used nor disturbed.
# There is no accounting (sacct does not answer) and there are no cgroups (memory is not enforced).
# Exit codes: 1 an error, 2 a wrong call, 3 not root, or the packages cannot be had.
set -euo pipefail

PACKAGES=(munge slurm-client slurmctld slurmd)
DAEMONS=(slurmd slurmctld munged) # in the order in which they are stopped
LONGEST_SOCKET=100                # the system allows 107 characters for the path of a socket

say() { echo "one_node.sh: $*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

unavailable() {
    say "$*"
    exit 3
}

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>&1)" == installed ]] ||
            echo "$package"
    done
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends --quiet \
        -o DPkg::Lock::Timeout=120 "$@" >&2
}

install_packages() {
    command -v apt-get dpkg-query >/dev/null || unavailable "there is no apt-get here; the packages are Debian's"
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    # The lists of packages may be missing, as in a fresh container, or out of date.
    apt_install "${missing[@]}" || { apt-get update --quiet >&2 && apt_install "${missing[@]}"; } ||
        unavailable "Debian's packages cannot be installed: ${missing[*]}"
}

# The id of a daemon that `start` started in DIR; fails where it no longer runs. A process id may have been
# given to another process since, whose command line does not name DIR.
pid_of() {
    local pid
    pid=$(cat "$DIR/$1.pid" 2>/dev/null) && [[ "$pid" =~ ^[0-9]+$ ]] &&
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep --quiet --fixed-strings -- "$1 " &&
        tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep --quiet --fixed-strings -- "$DIR/" &&
        echo "$pid"
}

free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
    fail "no free port was found"
}

write_configuration() {
    local host memory processors controller node
    host=$(hostname -s)
    memory=$(awk '/^MemTotal:/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
    # Without variables that say how many threads a program may start: nproc takes them into account.
    processors=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
    controller=$(free_port)
    node=$(free_port)
    while [[ "$node" == "$controller" ]]; do node=$(free_port); done
    cat >"$DIR/slurm.conf" <<CONFIGURATION
ClusterName=one_node
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge.socket
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MailProg=/bin/true
ReturnToService=2
KillWait=5
MinJobAge=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=$processors RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONFIGURATION
}

# Within jobs the Slurm plugin of Snakemake takes every SLURM_* variable away from srun but a few, and with
# them where slurm.conf is. An srun that knows it goes first in the PATH.
write_srun() {
    mkdir -p "$DIR/bin"
    printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$DIR/slurm.conf" "$(command -v srun)" >"$DIR/bin/srun"
    chmod +x "$DIR/bin/srun"
}

await_idle_node() {
    local state=""
    for _ in {1..150}; do
        state=$(SLURM_CONF=$DIR/slurm.conf sinfo --noheader --format=%T 2>/dev/null || true)
        [[ "$state" == idle ]] && return
        sleep 0.2
    done
    tail -n 20 "$DIR"/*.log >&2
    stop
    fail "the node is not idle after 30 s but '$state'; the ends of the logs stand above"
}

start() {
    if pid_of munged && pid_of slurmctld && pid_of slurmd; then
        say "runs already"
        return
    fi >/dev/null
    stop # what is left of an earlier one
    install_packages
    ((${#DIR} + 13 <= LONGEST_SOCKET)) || fail "the path of the folder is too long for a socket: $DIR"
    mkdir -p "$DIR/state" "$DIR/spool"
    (umask 077 && head -c 1024 /dev/urandom >"$DIR/munge.key")
    write_configuration
    write_srun
    # --force: the folders above may be closed to others, who need not get in here.
    munged --force --key-file="$DIR/munge.key" --socket="$DIR/munge.socket" --pid-file="$DIR/munged.pid" \
        --log-file="$DIR/munged.log" --seed-file="$DIR/munged.seed" >&2
    slurmctld -f "$DIR/slurm.conf" >&2
    slurmd -f "$DIR/slurm.conf" >&2
    await_idle_node
}

stop() {
    local daemon pid
    if pid_of slurmctld >/dev/null && pid_of munged >/dev/null; then
        export SLURM_CONF=$DIR/slurm.conf
        # No job survives: the daemon that watches over it is about to go.
        timeout 10 squeue --noheader --format=%A 2>/dev/null | xargs --no-run-if-empty timeout 10 scancel || true
        for _ in {1..50}; do
            [[ -n "$(timeout 10 squeue --noheader 2>/dev/null || true)" ]] || break
            sleep 0.2
        done
    fi
    for daemon in "${DAEMONS[@]}"; do
        pid=$(pid_of "$daemon") || continue
        kill "$pid"
        for _ in {1..50}; do
            pid_of "$daemon" >/dev/null || continue 2
            sleep 0.2
        done
        kill -KILL "$pid"
    done
}

[[ $# -eq 2 && ("$1" == start || "$1" == stop) ]] || {
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}
[[ "$(id -u)" == 0 ]] || unavailable "runs as root only: the daemons start jobs as their users"
[[ "$1" == stop ]] || mkdir -p "$2"
[[ -d "$2" ]] || fail "there is no folder $2"
DIR=$(cd "$2" && pwd -P)
"$1"
[[ "$1" == stop ]] || printf 'export SLURM_CONF=%q PATH=%q:"$PATH"\n' "$DIR/slurm.conf" "$DIR/bin"
