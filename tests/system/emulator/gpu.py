"""The GPU that is not there: an ``nvidia-smi`` for the pod, as the container runtime injects one."""

from tests.system.emulator.hosts import CARDS, DRIVERS

SCRIPT = """\
#!/bin/sh
# Answers for the emulated cards of this pod.
units=yes header=yes fields=
for word in "$@"; do
  case $word in
    --query-gpu=*) fields=$(echo "${{word#*=}}" | tr , ' ') ;;
    --format=*nounits*) units= header= ;;
    --format=*noheader*) header= ;;
    -L) card=0; while [ $card -lt {count} ]; do
      echo "GPU $card: {name} (UUID: GPU-{pod}-$card)"; card=$((card + 1)); done; exit ;;
  esac
done
if [ -z "$fields" ]; then
  echo "NVIDIA-SMI {driver}    Driver Version: {driver}    CUDA Version: {cuda}"
  exit
fi
value() {{
  case $1 in
    name|gpu_name) echo "{name}" ;;
    index) echo $card ;;
    count) echo {count} ;;
    uuid|gpu_uuid) echo "GPU-{pod}-$card" ;;
    driver_version) echo {driver} ;;
    memory.total) echo {megabytes}${{units:+ MiB}} ;;
    memory.used) echo {used}${{units:+ MiB}} ;;
    memory.free) echo $(({megabytes} - {used}))${{units:+ MiB}} ;;
    utilization.gpu|utilization.memory) echo {busy}${{units:+ %}} ;;
    *) echo "[N/A]" ;;
  esac
}}
[ -n "$header" ] && echo "$fields" | sed 's/ /, /g'
card=0
while [ $card -lt {count} ]; do
  line=
  for field in $fields; do line="$line${{line:+, }}$(value "$field")"; done
  echo "$line"
  card=$((card + 1))
done
"""


def nvidia_smi(pod: str, *, gpu: str, count: int, cuda: str, busy: int) -> str:
    """The script's text. `busy` is the utilisation in per cent; an idle card holds no memory."""
    name, gigabytes, *_ = CARDS[gpu]
    return SCRIPT.format(
        pod=pod,
        name=f"NVIDIA {name}" if not gpu.startswith("NVIDIA") else gpu,
        count=count,
        driver=DRIVERS.get(cuda, "570.124.06"),
        cuda=cuda,
        megabytes=gigabytes * 1024,
        used=gigabytes * 512 if busy else 0,
        busy=busy,
    )
