"""What takes rights away from a server and from its episodes: landlock, seccomp, limits."""
