# As RunPod's own images: authorise PUBLIC_KEY, make a host key, print it, run sshd.
trap 'echo got TERM; exit 0' TERM
mkdir -p /run/sshd "$HOME/.ssh"
printenv PUBLIC_KEY >"$HOME/.ssh/authorized_keys"
chmod 700 "$HOME/.ssh"
keys=/etc/ssh
[ -d /workspace ] && keys=/workspace
[ -f "$keys/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$keys/host_key"
echo "HOST KEY $(cut -d ' ' -f 1,2 "$keys/host_key.pub")"
echo "args: $*"
/usr/sbin/sshd -D -h "$keys/host_key" &
while :; do sleep 1 & wait $!; done
