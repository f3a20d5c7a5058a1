#!/usr/bin/env bash
# Runs the installed unit under a real systemd with everything its sandbox forbids: `make install` into a throw-away overlay of
# this machine, systemd-nspawn boots it, the simulated cloud runs beside it, and the script in there tells what happened.
# Needs root and systemd-container. Everything ends and disappears with this script: the overlay lies in memory, mounts and
# processes in namespaces of their own.
#
# Shown: the daemon starts and says READY, its compiler child compiles a plugin, readings reach the cloud, all under the
# system call filter; a daemon that hangs is restarted by the watchdog; `systemctl stop` ends it in order.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
MACHINE_SECONDS_MAX=180

fail() {
    printf 'test-service: %s\n' "$@" >&2
    exit 1
}

# ---- on this machine ----

outside() {
    [ "$(id -u)" -eq 0 ] || fail "this needs root; run: sudo -E make test-service"
    local tool
    for tool in systemd-nspawn unshare; do
        command -v "$tool" >/dev/null || fail "$tool is missing; on Debian: apt-get install systemd-container util-linux"
    done
    [ -x "$BUILD_DIR/debug/edgeplug-cloud" ] || fail "$BUILD_DIR/debug/edgeplug-cloud is not built: run make build"
    [ -e "$BUILD_DIR/guests/system-sensors-rust.wasm" ] || fail "the guests are not built: run make guests"
    unshare --mount --mount-proc --pid --fork --kill-child --propagation private "$BASH" scripts/test-service.sh --overlay
}

# ---- in namespaces of its own ----

overlay() {
    local scratch=/mnt root
    mount -t tmpfs tmpfs "$scratch"
    root=$scratch/root
    mkdir "$scratch/upper" "$scratch/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"

    DESTDIR=$root PREFIX=/usr/local scripts/install.sh install
    cp "$BUILD_DIR/debug/edgeplug-cloud" "$root/root/edgeplug-cloud"
    cp "$BUILD_DIR/guests/system-sensors-rust.wasm" "$root/root/system-sensors.wasm"
    cp scripts/test-service.sh "$root/root/test-service.sh"
    # Only what the unit needs: no login, no network set-up, no timers of the machine below.
    local unit systemd=$root/etc/systemd/system
    for unit in console-getty.service getty.target systemd-logind.service systemd-networkd.service systemd-resolved.service \
        systemd-timesyncd.service systemd-udevd.service systemd-udev-trigger.service mosquitto.service cron.service \
        apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service dbus.service dbus.socket; do
        ln -sf /dev/null "$systemd/$unit"
    done
    ln -sf /lib/systemd/system/multi-user.target "$systemd/default.target"
    mkdir -p "$systemd/multi-user.target.wants"
    cat >"$systemd/test-service.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/bash /root/test-service.sh --machine
StandardOutput=append:/root/said
StandardError=append:/root/said
ExecStopPost=/bin/systemctl --no-block exit
UNIT
    ln -sf ../test-service.service "$systemd/multi-user.target.wants/test-service.service"
    printf 'edgeplug-test\n' >"$root/etc/hostname"

    timeout "$MACHINE_SECONDS_MAX" systemd-nspawn --quiet --directory "$root" --boot --register=no --keep-unit \
        --private-users=no --console=pipe --link-journal=no systemd.show_status=0 </dev/null >"$scratch/console" 2>&1 || true
    cat "$root/root/said" || cat "$scratch/console"
    tail -n 1 "$root/root/said" | grep -q '^test-service: passed$' || fail "it did not pass"
}

# ---- in the booted machine ----

machine() {
    trap 'journalctl --unit edgeplug --no-pager --output cat | tail -n 30' ERR
    export PATH=/usr/local/bin:$PATH HOME=/root
    local cloud=/root/cloud config=/etc/edgeplug/edgeplug.toml pid
    printf '[[attributes]]\nname = "uptime_s"\ntype = "NUMBER"\n' >/root/template.toml
    /root/edgeplug-cloud --directory "$cloud" --device GW:sym --template /root/template.toml >/root/cloud.out 2>&1 &
    await 20 "the simulated cloud is up" grep -q '^Ready' /root/cloud.out

    # A key file belongs to root and reaches the daemon's own user as a credential.
    install -m 644 "$cloud/ca.pem" /etc/edgeplug/ca.pem
    install -m 600 "$cloud/GW.key" /etc/edgeplug/device.key
    {
        sed -n '/^\[cloud\]/,/^$/p' /root/cloud.out | sed "s,$cloud/ca.pem,/etc/edgeplug/ca.pem,"
        printf '[identity]\nkind = "symmetric-key"\nkey_file = "/run/credentials/edgeplug.service/device.key"\n'
        printf '[plugins]\ndirectory = "/etc/edgeplug/plugins"\n'
        printf '[plugins.allow.system-sensors]\nfiles = ["/proc/uptime"]\n'
    } >"$config"
    mkdir -p /etc/systemd/system/edgeplug.service.d
    printf '[Service]\nLoadCredential=device.key:/etc/edgeplug/device.key\nWatchdogSec=4\n' >/etc/systemd/system/edgeplug.service.d/test.conf
    systemctl daemon-reload
    systemd-analyze verify edgeplug.service
    systemctl start edgeplug
    say "READY was said"

    printf 'interval_ms = 500\nfiles = ["/proc/uptime"]\n' >/etc/edgeplug/plugins/system-sensors.toml
    cp /root/system-sensors.wasm /etc/edgeplug/plugins/
    await 60 "readings reach the cloud, from a plugin compiled under the filter" grep -q uptime_s "$cloud/records.jsonl"
    pid=$(systemctl show --property MainPID --value edgeplug)
    grep -E '^(Uid|Groups|CapEff|NoNewPrivs|Seccomp):' "/proc/$pid/status"
    systemctl show --property StatusText edgeplug
    edgeplug status
    edgeplug outbox stats

    kill -STOP "$pid"
    await 30 "a daemon that hangs is restarted by the watchdog" restarted "$pid"
    local before
    before=$(grep -c uptime_s "$cloud/records.jsonl")
    await 30 "and readings go on" more_than "$before"

    systemctl stop edgeplug
    [ "$(systemctl show --property Result --value edgeplug)" = success ]
    say "systemctl stop ends it in order"
    journalctl --unit edgeplug --no-pager --output cat | tail -n 4
    say passed
}

say() { printf 'test-service: %s\n' "$*"; }

# await SECONDS WHAT COMMAND...
await() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || { say "FAILED: $what"; return 1; }
        sleep 0.2
    done
    say "$what"
}

restarted() {
    local now
    now=$(systemctl show --property MainPID --value edgeplug)
    [ "$now" != 0 ] && [ "$now" != "$1" ] && systemctl is-active --quiet edgeplug
}

more_than() { [ "$(grep -c uptime_s /root/cloud/records.jsonl)" -gt "$1" ]; }

case ${1:-} in
--overlay) overlay ;;
--machine) machine ;;
*) outside ;;
esac
