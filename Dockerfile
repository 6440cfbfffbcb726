# What runs where the GPU is; docker/README.md says what the image promises. Targets: `train` (the
# default) and `cpu`. Layers from what hardly ever changes to what changes all the time. For BuildKit
# and for the classic builder, which knows neither `RUN --mount` nor here-documents and builds every
# stage on its way: all that takes time is shared by both targets.

# CUDA that torch is built for: 13.0 is what the package index has; any other (12.6, 12.8, or none
# for a CPU) is taken from PyTorch's own index, and wants a base image of the same version.
ARG BASE_IMAGE=nvidia/cuda:13.0.2-base-ubuntu24.04

FROM ${BASE_IMAGE} AS system
COPY docker/system.sh /tmp/
RUN sh /tmp/system.sh && rm /tmp/system.sh
ENV PATH=/opt/sft/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/workspace/hf \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What to install is worked out here: of pyproject.toml and constraints.txt, only a change of what the
# image installs touches a layer below.
FROM system AS wanted
ARG CUDA=13.0
COPY docker/wanted.py pyproject.toml constraints.txt /wanted/
RUN python /wanted/wanted.py --cuda "$CUDA" /wanted

FROM system AS wheels
ARG CUDA=13.0
ARG PIP_FIND_LINKS=
ARG PIP_EXTRA_INDEX_URL=
COPY --from=wanted /wanted/out/torch /opt/sft/wanted/torch
RUN sh /opt/sft/wanted/torch/install.sh && rm -rf /tmp/* /root/.cache
COPY --from=wanted /wanted/out/train /opt/sft/wanted/train
COPY docker/unused_libraries.py /opt/sft/wanted/train/
RUN sh /opt/sft/wanted/train/install.sh && python /opt/sft/wanted/train/unused_libraries.py \
    && rm -rf /tmp/* /root/.cache
COPY --from=wanted /wanted/out/datagen /opt/sft/wanted/datagen
RUN sh /opt/sft/wanted/datagen/install.sh && rm -rf /tmp/* /root/.cache

FROM system AS ours
COPY trainer /ours/code/trainer
COPY datagen /ours/code/datagen
COPY docker/ours.sh docker/entrypoint docker/sshd_config /ours/
RUN sh /ours/ours.sh

FROM wheels AS code
COPY --from=ours /ours/data /opt/sft/
COPY --from=ours /ours/datagen /opt/sft/
COPY --from=ours /ours/trainer /
WORKDIR /workspace

# What makes data sets is for a CPU alone: a pod evaluates questions that were made before.
FROM code AS cpu
COPY --from=ours /ours/questions /opt/sft/
ENTRYPOINT ["tini", "--", "/opt/sft/entrypoint"]
CMD ["datagen", "--help"]

FROM code AS train
EXPOSE 22
ENTRYPOINT ["tini", "--", "/opt/sft/entrypoint"]
CMD ["train", "--help"]
