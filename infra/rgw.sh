#!/usr/bin/env bash
# A real S3 server for tests: Ceph RGW from Debian's own packages, unpacked beside the system (nothing is installed, no
# root is needed), with its data in memory. One monitor, one store, one gateway, all on 127.0.0.1, on free ports.
#
#   rgw.sh start FOLDER [PID]   start a server that keeps everything in FOLDER; it ends itself when process PID has ended
#   rgw.sh stop FOLDER          end it, by its process ids
#
# `start` prints the environment that reaches it, one NAME=VALUE a line. Packages (66 MB) are kept in $RGW_PACKAGES
# (default ~/.cache/speechmill/rgw). Exit 4: the packages cannot be had here; 1: the server did not start.
set -euo pipefail

usage() {
  sed -n '2,/^set -/{s/^# \{0,1\}//;/^set -/d;p}' "$0" >&2
  exit 2
}

complain() { # MESSAGE [EXIT]
  echo "rgw.sh: $1" >&2
  exit "${2:-1}"
}

[ $# -ge 2 ] || usage
command=$1
if [ "$command" = start ]; then mkdir -p "$2"; elif [ ! -d "$2" ]; then exit 0; fi
home=$(cd "$2" && pwd)
watched=${3:-}
packages=${RGW_PACKAGES:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/speechmill/rgw}
root=$packages/root
triplet=$(uname -m)-linux-gnu
access_key=speechmill
secret_key=speechmill-test

is_ours() { # PID: still the server that we started in this folder?
  { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF -- "$home/"
}

stop() {
  local name pid
  for name in rgw osd mon; do
    [ -f "$home/$name.pid" ] || continue
    pid=$(<"$home/$name.pid")
    is_ours "$pid" && kill "$pid" 2>/dev/null || true
  done
  for name in rgw osd mon; do
    [ -f "$home/$name.pid" ] || continue
    pid=$(<"$home/$name.pid")
    for _ in $(seq 30); do is_ours "$pid" || break; sleep 0.1; done
    is_ours "$pid" && kill -KILL "$pid" 2>/dev/null || true
    rm -f "$home/$name.pid"
  done
}

# Download and unpack the packages once; whoever comes meanwhile waits.
unpack() {
  [ -x "$root/usr/bin/radosgw" ] && return
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || complain "this system has no apt-get to get Ceph with" 4
  mkdir -p "$packages"
  exec 9>"$packages/lock"
  flock 9
  [ -x "$root/usr/bin/radosgw" ] && return
  apt-cache show radosgw >/dev/null 2>&1 || apt-get update -qq >/dev/null 2>&1 || true
  apt-cache show radosgw >/dev/null 2>&1 || complain "apt knows no package radosgw; run apt-get update as root" 4
  local names debs=$packages/debs new=$packages/new
  names=$(apt-get install -s --no-install-recommends radosgw ceph-mon ceph-osd 2>/dev/null | awk '/^Inst/ {print $2}')
  rm -rf "$debs" "$new"
  mkdir -p "$debs" "$new"
  # shellcheck disable=SC2086 # one word a package
  (cd "$debs" && apt-get download -qq $names >"$packages/log" 2>&1) ||
    complain "the packages of Ceph cannot be downloaded: $(tail -n 1 "$packages/log")" 4
  local deb
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$new"; done
  rm -rf "$debs" "$root"
  mv "$new" "$root"
}

free_ports() { # HOW MANY
  "$python" - "$1" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in held:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in held))
PYTHON
}

write_configuration() {
  cat >"$home/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$mon_port,v1:127.0.0.1:$old_mon_port]
public network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
admin socket =
run dir = $home
log file = $home/log/\$name.log
mon cluster log file = $home/log/cluster.log
erasure code dir = $root/usr/lib/$triplet/ceph/erasure-code
plugin dir = $root/usr/lib/$triplet/ceph
osd class dir = $root/usr/lib/$triplet/rados-classes
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
mon data avail warn = 2
mon data avail crit = 1
[mon.a]
mon data = $home/mon
[osd.0]
osd data = $home/osd
keyring = $home/osd.keyring
osd objectstore = memstore
memstore device bytes = ${RGW_BYTES:-2147483648}
[client.admin]
keyring = $home/keyring
[client.rgw.a]
keyring = $home/keyring
rgw data = $home/data
rgw frontends = beast endpoint=127.0.0.1:$port
rgw dns name = 127.0.0.1
CONF
}

make_keys() {
  ceph-authtool -C "$home/mon.keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool -C "$home/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$home/keyring" --gen-key -n client.rgw.a --cap mon 'allow *' --cap osd 'allow *'
  ceph-authtool -C "$home/osd.keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  ceph-authtool "$home/mon.keyring" --import-keyring "$home/keyring"
  ceph-authtool "$home/mon.keyring" --import-keyring "$home/osd.keyring"
}

launch() { # NAME PROGRAM ARGUMENTS…: in a session of its own, so that Ctrl-C in a terminal leaves it to `stop`
  local name=$1
  shift
  setsid "$@" -f </dev/null >"$home/log/$name.out" 2>&1 9>&- &
  echo $! >"$home/$name.pid"
}

start() {
  unpack
  [ -f "$home/mon.pid" ] && stop
  rm -rf "${home:?}"/{mon,osd,data,log,ceph.conf,monmap} "$home"/*keyring
  mkdir -p "$home"/{mon,osd,data,log}
  export LD_LIBRARY_PATH=$root/usr/lib/$triplet:$root/usr/lib/$triplet/ceph:$root/usr/lib/ceph:$root/lib/$triplet
  export PATH=$root/usr/bin:$PATH PYTHONPATH=$root/usr/lib/python3/dist-packages
  unset PYTHONHOME PYTHONWARNINGS
  python=/usr/bin/python3
  [ -x $python ] || python=$root/usr/bin/python3
  fsid=$(</proc/sys/kernel/random/uuid)
  local ports
  ports=$(free_ports 3)
  read -r port mon_port old_mon_port <<<"$ports"
  write_configuration
  local conf=(-c "$home/ceph.conf") said=$home/log/start.out mons="[v2:127.0.0.1:$mon_port,v1:127.0.0.1:$old_mon_port]"
  trap 'stop; tail -n 5 "$home"/log/*.out >&2; echo "rgw.sh: the server did not start; see $home/log" >&2' EXIT
  make_keys >>"$said" 2>&1
  monmaptool --create --fsid "$fsid" --addv a "$mons" "$home/monmap" >>"$said" 2>&1
  ceph-mon "${conf[@]}" --mkfs -i a --monmap "$home/monmap" --keyring "$home/mon.keyring" >>"$said" 2>&1
  launch mon ceph-mon "${conf[@]}" -i a
  local osd
  osd=$(</proc/sys/kernel/random/uuid)
  timeout 60 "$python" "$root/usr/bin/ceph" "${conf[@]}" -k "$home/keyring" osd new "$osd" 0 >>"$said" 2>&1
  ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd" >>"$said" 2>&1
  cp "$home/osd.keyring" "$home/osd/keyring"
  launch osd ceph-osd "${conf[@]}" -i 0
  launch rgw radosgw "${conf[@]}" -n client.rgw.a
  timeout 60 radosgw-admin "${conf[@]}" -n client.rgw.a user create --uid speechmill --display-name speechmill \
    --access-key "$access_key" --secret-key "$secret_key" >>"$said" 2>&1
  for _ in $(seq 240); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    is_ours "$(<"$home/rgw.pid")" || exit 1
    sleep 0.25
  done
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || exit 1
  trap - EXIT
  if [ -n "$watched" ]; then
    setsid bash -c 'while kill -0 "$1" 2>/dev/null && [ -f "$2/rgw.pid" ]; do sleep 1; done; exec "$0" stop "$2"' \
      "$(readlink -f "$0")" "$watched" "$home" </dev/null >/dev/null 2>&1 9>&- &
  fi
  echo "SPEECHMILL_S3_ENDPOINT_URL=http://127.0.0.1:$port"
  echo "AWS_ACCESS_KEY_ID=$access_key"
  echo "AWS_SECRET_ACCESS_KEY=$secret_key"
}

case $command in
  start) start ;;
  stop) stop ;;
  *) usage ;;
esac
