"""What cards can do at most."""

# Dense bf16 TFLOPS with fp32 accumulation, from NVIDIA's data sheets; L4 throttles below its 121. Named
# as RunPod and torch name them.
PEAK = {
    "NVIDIA RTX A4000": 77,
    "NVIDIA RTX A4500": 95,
    "NVIDIA RTX A5000": 111,
    "NVIDIA GeForce RTX 3090": 71,
    "NVIDIA GeForce RTX 3090 Ti": 80,
    "NVIDIA GeForce RTX 4080": 98,
    "NVIDIA GeForce RTX 4090": 165,
    "NVIDIA GeForce RTX 5090": 210,
    "NVIDIA A10G": 70,
    "NVIDIA A10": 125,
    "NVIDIA L4": 80,
    "NVIDIA A30": 165,
    "NVIDIA A40": 150,
    "NVIDIA RTX A6000": 155,
    "NVIDIA L40": 181,
    "NVIDIA L40S": 362,
    "NVIDIA RTX 6000 Ada Generation": 364,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 NVL": 835,
    "NVIDIA H200": 989,
    "NVIDIA B200": 2250,
}
