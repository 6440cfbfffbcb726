# The system layer: what Triton needs to compile with, sshd, and a Python of 3.11 or newer in a venv.
# The base image's own Python is taken where it will do, the distribution's where it will not.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  ca-certificates gcc libc6-dev openssh-server tini util-linux

suits() {
  "$1" - 2>/dev/null <<'CHECK'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (sys.version_info >= (3, 11) and os.path.exists(header)))
CHECK
}
choose() {
  for python in python3.12 python3.11 python3 python3.13 /usr/bin/python3; do
    if suits "$python"; then
      command -v "$python"
      return
    fi
  done
}
python=$(choose)
if [ -z "$python" ]; then
  apt-get install -y -qq --no-install-recommends python3 python3-venv libpython3-dev
  python=$(choose)
fi
if [ -z "$python" ]; then
  echo "no Python of 3.11 or newer in this base image, nor in its distribution: choose another BASE_IMAGE" >&2
  exit 1
fi
"$python" -m venv /opt/sft/venv
echo /opt/sft >"$(/opt/sft/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sft.pth"

# Host keys are made at a pod's first boot; a baked one would be everybody's.
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /etc/ssh/ssh_host_* /root/.cache /tmp/pip*
mkdir -p /run/sshd /workspace
chmod 1777 /workspace
