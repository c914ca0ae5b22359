#!/usr/bin/env bash
# Runs work on a Ray cluster that spans the nodes of this Slurm job and ends with it.
#
# Sourced by a batch script, which defines `work` (what the first node does once Ray runs on every node) and then
# calls `on_ray VARIABLE...` with the variables that `work` uses. The exit code is that of `work`: `ray symmetric-run`
# itself exits 0 even where Ray did not start. Also started by `on_ray` on every node, from the job's own folder.
#
# Settings, as variables in front of sbatch or exported in the batch script:
#   BIN              folder of the commands `animatic` and `ray`; default: .venv/bin of the folder that sbatch was called
#                    in, where it exists; empty: PATH
#   ANIMATIC_RUNS    run folders and this job's own one, on a file system that all nodes share; default: runs
#   ANIMATIC_REGISTRY  folder or URL of the ledger, an absolute path or s3://…; default: ANIMATIC_RUNS
#   SRUN_OPTIONS     more options of srun, as for pyxis:
#                    SRUN_OPTIONS="--container-image=/shared/animatic.sqsh --container-mounts=/shared:/shared" BIN=
#   RUN_IN           a command that runs its arguments in a container, as
#                    RUN_IN="apptainer exec --nv --bind /shared /shared/animatic.sif" BIN=
#   HEAD_ADDRESS     address of the first node, where not the one that its name resolves to on the last node
#   OBJECT_STORE     bytes of /dev/shm for Ray on each node; jobs pass paths and counts through it, never clips
#   RAY_TMPDIR       folder on every node's own disk; Ray's sockets and logs are in its ray-JOB, which stays where the work
#                    failed; default: /tmp
#   START_TIMEOUT    seconds that nodes have to start Ray; a container that is imported on every node needs more
#   MAX_REQUEUES     how often the job returns to the queue at its time limit; 0: never
#
# A batch script whose work takes SIGUSR1 as a warning sets WARNING=USR1; other work gets SIGTERM.
# Every exported variable reaches every process, NCCL's included. None is needed where NCCL finds the network:
#   NCCL_SOCKET_IFNAME=ib0 NCCL_IB_HCA=mlx5 NCCL_DEBUG=WARN

# The exit code of work that stopped because its processors are withdrawn: it wants to be started again.
EX_TEMPFAIL=75

# On every node: Ray, and on the first one the work.
node() {
    set -m # what is started in the background is a process group of its own
    export RAY_TMPDIR=${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID
    mkdir -p "$RAY_TMPDIR"
    symmetric_run &
    local ray=$! code=0
    while kill -0 "$ray" 2>/dev/null && [ ! -e "$JOB/status" ]; do sleep 1; done
    if [ -e "$JOB/status" ]; then
        # The end of Ray that it would wait for takes minutes, and it reports it as a failure.
        kill -KILL -- "-$ray" 2>/dev/null
        wait "$ray" 2>/dev/null
        "${BIN:+$BIN/}ray" stop --force >/dev/null 2>&1
        [ "$(cat "$JOB/status")" -ne 0 ] || rm -rf "$RAY_TMPDIR"
        return 0
    fi
    wait "$ray" || code=$?
    return "$code"
}

symmetric_run() {
    "${BIN:+$BIN/}ray" symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
        --num-cpus "${CPUS_PER_NODE:-${SLURM_CPUS_ON_NODE:-1}}" --num-gpus "$GPUS_PER_NODE" \
        --object-store-memory "$OBJECT_STORE" --dashboard-agent-listen-port "$AGENT_PORT" \
        --disable-usage-stats -- bash "$JOB/on_ray.sh" first_node
}

# On the first node: the work, which gets the signal that the batch script asks for. Signals of Slurm to this step would
# end Ray before the checkpoint is written.
first_node() {
    set -m
    bash "$JOB/work.sh" &
    local work=$! status=0
    while kill -0 "$work" 2>/dev/null && [ ! -e "$JOB/stop" ]; do sleep 1; done
    [ ! -e "$JOB/stop" ] || kill "-$(cat "$JOB/stop")" -- "-$work" 2>/dev/null || true
    # A wait that a signal interrupts says nothing about the work.
    while wait "$work" || status=$?; kill -0 "$work" 2>/dev/null; do :; done
    echo "$status" >"$JOB/status.new" && mv "$JOB/status.new" "$JOB/status"
    return "$status"
}

# In the batch script: prepare the job's folder, start Ray everywhere, report how the work ended.
on_ray() {
    BIN=${BIN-$(test -x "$SLURM_SUBMIT_DIR/.venv/bin/ray" && echo "$SLURM_SUBMIT_DIR/.venv/bin" || true)}
    GPUS_PER_NODE=${GPUS_PER_NODE:-${SLURM_GPUS_ON_NODE:-0}}
    ANIMATIC_RUNS=$(realpath -m "${ANIMATIC_RUNS:-$SLURM_SUBMIT_DIR/runs}")
    JOB=$ANIMATIC_RUNS/slurm/$SLURM_JOB_ID
    OBJECT_STORE=${OBJECT_STORE:-1073741824}
    # Below them are the ports of Ray's workers, above them those that Linux assigns.
    local port=$((20000 + SLURM_JOB_ID % 5000 * 2))
    AGENT_PORT=$((port + 1))
    prepare_job "$@"
    RAY_ADDRESS=$(head_address):$port
    RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$JOB/token
    RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=${START_TIMEOUT:-600}
    export BIN GPUS_PER_NODE ANIMATIC_RUNS JOB OBJECT_STORE AGENT_PORT RAY_ADDRESS RAY_AUTH_MODE RAY_AUTH_TOKEN_PATH \
        RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT RAY_USAGE_STATS_ENABLED=0
    echo "job $SLURM_JOB_ID: Ray at $RAY_ADDRESS on $SLURM_JOB_NUM_NODES nodes, $GPUS_PER_NODE GPUs each; $JOB"

    local requeue=no status
    trap 'requeue=yes; stop "${WARNING:-TERM}"' USR1 USR2 # before the time limit
    trap 'requeue=yes; stop TERM' TERM                    # where a job is preempted with notice
    trap 'stop TERM' INT                                  # scancel --batch --signal=INT JOB: stop, and stay stopped
    local srun_options run_in
    read -r -a srun_options <<<"${SRUN_OPTIONS:-}"
    read -r -a run_in <<<"${RUN_IN:-}"
    # Where a task ends, the others have no work left: those that lost the first node linger.
    srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpu-bind=none --kill-on-bad-exit=1 --wait=60 \
        "${srun_options[@]}" "${run_in[@]}" bash "$JOB/on_ray.sh" node &
    while wait $! || true; kill -0 $! 2>/dev/null; do :; done
    rm -f "$JOB/token"

    if [ ! -e "$JOB/status" ]; then
        echo "error: Ray did not start on all $SLURM_JOB_NUM_NODES nodes, or a node was lost: see the lines above," \
            "and ${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID on each node" >&2
        return 1
    fi
    status=$(cat "$JOB/status")
    [ "$status" -ne "$EX_TEMPFAIL" ] || requeue=yes
    if [ "$status" -ne 0 ] && [ "$requeue" = yes ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_REQUEUES:-20}" ]; then
        echo "job $SLURM_JOB_ID: stopped with exit code $status, returns to the queue and resumes there"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    return "$status"
}

# Have the first node pass a signal on to the work.
stop() {
    [ -e "$JOB/stop" ] || { echo "$1" >"$JOB/stop.new" && mv "$JOB/stop.new" "$JOB/stop"; }
}

# The folder with what every node reads: this file, the work, the token of Ray, and later the exit code.
prepare_job() {
    local here
    here=$(dirname "${BASH_SOURCE[0]}")
    mkdir -p "$JOB" && chmod 700 "$JOB"
    rm -f "$JOB"/stop "$JOB"/status "$JOB"/token # of the attempt before, where the job was requeued
    cp "$here/on_ray.sh" "$JOB/on_ray.sh"
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$JOB/token")
    {
        echo 'set -euo pipefail'
        declare -p "$@"
        declare -f work
        # A signal ends the command in progress; bash, which gets it too, ends with the exit code of the command.
        echo "trap : TERM USR1"
        printf 'cd %q\n' "$SLURM_SUBMIT_DIR"
        # shellcheck disable=SC2016
        echo 'PATH=${BIN:+$BIN:}$PATH'
        echo 'work'
    } >"$JOB/work.sh"
}

# The address at which the other nodes reach the first: where it resolves its own name, that may be 127.0.1.1.
head_address() {
    local nodes
    mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
    if [ -n "${HEAD_ADDRESS:-}" ]; then
        echo "$HEAD_ADDRESS"
    elif [ "${#nodes[@]}" -eq 1 ]; then
        echo 127.0.0.1
    else
        srun --nodes=1 --ntasks=1 --nodelist="${nodes[-1]}" getent ahostsv4 "${nodes[0]}" | awk 'NR == 1 { print $1 }'
    fi
}

case ${1:-} in node | first_node) "$@" ;; esac
