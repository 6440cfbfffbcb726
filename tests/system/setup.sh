#!/usr/bin/env bash
# Brings up what the system tests need on a Debian machine, as root: a Docker engine, a registry on
# the loopback, ssh, and a Debian image to build on. Run it as often as you like; what is there is
# left as it is. Exits 1 after one line for each thing it could not do; the tests that need that
# thing then skip and say so.
#
#   SFT_TEST_REGISTRY  where the registry listens (default 127.0.0.1:5000)
#   SFT_TEST_BASE      the image it provides (default sft-debian:bookworm)
set -uo pipefail

registry=${SFT_TEST_REGISTRY:-127.0.0.1:5000}
base=${SFT_TEST_BASE:-sft-debian:bookworm}
state=${XDG_CACHE_HOME:-$HOME/.cache}/sft-launch-system
mkdir -p "$state"
failed=0
cannot() {
  echo "system tests: $*" >&2
  failed=1
}
answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
serves() { timeout 5 python3 -c "import urllib.request; urllib.request.urlopen('http://$registry/v2/')" 2>/dev/null; }
# Long-lived: its own session, and none of our descriptors, or whoever reads our output waits for it.
background() { setsid nohup "${@:2}" >"$state/$1.log" 2>&1 </dev/null & }
wait_for() {
  for _ in $(seq "$1"); do "$2" && return 0; sleep 0.25; done
  return 1
}

export PATH=$PATH:/usr/sbin:/sbin
missing=()
answers || { command -v dockerd && command -v iptables; } >/dev/null || missing+=(docker.io iptables)
command -v docker >/dev/null || missing+=(docker.io)
command -v docker-registry >/dev/null || missing+=(docker-registry)
command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || missing+=(docker-compose)
command -v debootstrap >/dev/null || missing+=(debootstrap)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v sshd >/dev/null || missing+=(openssh-server)
command -v chromium >/dev/null || missing+=(chromium)
if ((${#missing[@]})); then
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    cannot "missing ${missing[*]}; run as root: apt-get install ${missing[*]}"
  elif ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$state/apt.log" 2>&1 </dev/null; then
    cannot "apt-get install ${missing[*]} failed: $(tail -n 1 "$state/apt.log") (see $state/apt.log)"
  fi
fi

if ! answers; then
  if [[ $(id -u) -ne 0 ]] || ! command -v dockerd >/dev/null; then
    cannot "no Docker engine answers, and dockerd cannot be started here"
  else
    # Left by one that was killed: its number may be another process's by now.
    for pid in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
      grep -qxE 'dockerd|containerd' "/proc/$(cat "$pid" 2>/dev/null)/comm" 2>/dev/null || rm -f "$pid"
    done
    background dockerd dockerd
    wait_for 240 answers || cannot "dockerd does not answer: $(tail -n 1 "$state/dockerd.log")"
  fi
fi

if ! serves; then
  if command -v docker-registry >/dev/null; then
    printf '%s\n' 'version: 0.1' 'log: {level: warn}' \
      "storage: {filesystem: {rootdirectory: $state/registry}, delete: {enabled: true}}" \
      "http: {addr: $registry, secret: loopback-only}" >"$state/registry.yml"
    background registry docker-registry serve "$state/registry.yml"
    wait_for 40 serves || cannot "no registry on $registry: $(tail -n 1 "$state/registry.log")"
  else
    cannot "no registry on $registry and no docker-registry to start one"
  fi
fi

# Where the host's own apt installs from; nothing where that cannot be told: debootstrap has a default.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
    2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' '
}
if answers && ! docker image inspect "$base" >/dev/null 2>&1; then
  if timeout 60 docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
    docker tag debian:bookworm-slim "$base"
  elif [[ $(id -u) -eq 0 ]] && command -v debootstrap >/dev/null; then
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    if debootstrap --variant=minbase bookworm "$root" $(mirror) >"$state/debootstrap.log" 2>&1; then
      rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
      tar -C "$root" -c . | docker import - "$base" >/dev/null || cannot "docker import of $base failed"
    else
      cannot "no image $base: debootstrap failed: $(tail -n 1 "$state/debootstrap.log")"
    fi
  else
    cannot "no image $base: no public registry can be reached, and debootstrap needs root"
  fi
fi

((failed)) && exit 1
echo "system tests: Docker $(docker version --format '{{.Server.Version}}'), registry $registry, image $base"
