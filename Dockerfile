# docker build -t orthoforge .
# docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" orthoforge train baseline --data low --out runs/baseline
# The server: cloud/compose.yaml
FROM python:3.11-slim

# TORCH_INDEX is the address of a package index with torch for one kind of GPU or for CPUs only, as pytorch.org's install page names it.
# Without it torch comes from the default index: on x86 Linux that is a build with CUDA.
ARG TORCH_INDEX=

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    HOME=/home/orthoforge \
    MPLCONFIGDIR=/tmp/matplotlib

# rasterio's wheel takes libexpat from the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 orthoforge \
    && install --directory --owner=orthoforge /work /data

# From what changes rarely to what changes often: torch, the other packages, Orthoforge itself.
WORKDIR /opt/orthoforge
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

COPY pyproject.toml ./
RUN python -c "import tomllib; of = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
               print(*of['dependencies'], *of['optional-dependencies']['serve'], sep='\n')" > /tmp/packages \
    && pip install --no-cache-dir -c constraints.txt -r /tmp/packages \
    && rm /tmp/packages

COPY README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --no-deps . \
    && orthoforge --version

EXPOSE 8000
USER orthoforge
WORKDIR /work
ENTRYPOINT ["orthoforge"]
CMD ["--help"]
