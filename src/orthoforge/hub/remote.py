"""The Hugging Face hub: pretrained folders up and down, through its own client, which is an optional extra."""

import contextlib
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from orthoforge.checkpoint_state import CONFIG, MATERIAL, MODEL
from orthoforge.checkpoints import read_material, read_state, read_tensors
from orthoforge.errors import CheckpointError, ConfigError, OrthoforgeError, ResourceError

LIBRARY = "orthoforge"
CARD, ITEM = "README.md", "stac-item.json"
FILES = (CONFIG, MODEL, CARD, ITEM)
"""What every pretrained folder holds."""
KNOWN = (*FILES, MATERIAL)
"""All that one may hold. Nothing else is uploaded, and nothing else is downloaded."""


def push_to_hub(folder: Path, repo: str, *, private: bool = False, message: str = "") -> str:
    """Upload a pretrained folder to the model repository ``repo`` (``owner/name``), made if it is not there; returns its address.

    Every byte of the folder is checked first. The account is that of ``hf auth login`` or the variable ``HF_TOKEN``.

    Raises ``ConfigError`` without the extra ``hub``, for another kind of name or without permission, ``CheckpointError`` for a
    damaged folder, ``ResourceError`` when the hub cannot be reached.
    """
    require_repository_name(repo)
    hub = require_client(f"uploading to {repo}")
    state = read_state(Path(folder))
    read_tensors(Path(folder), MODEL, state)
    read_material(Path(folder), state)
    if not (Path(folder) / CARD).is_file():
        raise ConfigError(f"{folder}: has no {CARD}, the model card. Write the folder anew with `orthoforge publish`.")
    with _in_our_words(repo):
        api = hub.HfApi(library_name=LIBRARY, library_version=version("orthoforge"))
        url = api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        said = message or f"Upload with orthoforge {version('orthoforge')}"
        api.upload_folder(repo_id=repo, folder_path=str(folder), allow_patterns=list(KNOWN), commit_message=said)
    return str(url)


def download(repo: str, revision: str | None = None) -> Path:
    """The pretrained folder of the hub's repository ``repo``, in the client's own cache; only what is missing there is fetched.

    ``revision`` is a branch, a tag or a commit. Raises ``ConfigError`` without the extra ``hub``, ``CheckpointError`` when there is
    no such repository or it is of other software, ``ResourceError`` when the hub cannot be reached.
    """
    require_repository_name(repo)
    hub = require_client(f"{repo}: no such folder here, and loading it from the Hugging Face hub")
    with _in_our_words(repo):
        folder = Path(
            hub.snapshot_download(
                repo, revision=revision, allow_patterns=list(KNOWN), library_name=LIBRARY, library_version=version("orthoforge")
            )
        )
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{repo} on the Hugging Face hub holds no {CONFIG}: it is not a generator of orthoforge.")
    return folder


def is_repository_name(name: str) -> bool:
    """Whether it has the form ``owner/name``."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None


def require_repository_name(repo: str) -> None:
    """``ConfigError`` for a name of another form."""
    if not is_repository_name(repo):
        raise ConfigError(f"{repo!r} is not the name of a repository on the Hugging Face hub; those are OWNER/NAME.")


def require_client(purpose: str) -> ModuleType:
    """The hub's client. ``ConfigError`` that names the extra when it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError(f"{purpose} needs the package huggingface_hub. Install it with: pip install 'orthoforge[hub]'") from error
    return huggingface_hub


@contextlib.contextmanager
def _in_our_words(repo: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except OrthoforgeError:
        raise
    except errors.HFValidationError as error:
        raise ConfigError(f"{repo!r} cannot be a repository on the Hugging Face hub: {_first_line(error)}") from error
    except errors.LocalTokenNotFoundError as error:
        raise ConfigError(f"{repo}: nobody is logged in to the Hugging Face hub here. Run `hf auth login` first.") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{repo}: has no such revision on the Hugging Face hub.") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{repo}: no such folder here, and the Hugging Face hub shows no repository of that name. If it is private or gated, "
            "run `hf auth login` first."
        ) from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise ConfigError(
                f"{repo}: the Hugging Face hub refuses it ({_first_line(error)}). Log in with `hf auth login`, as somebody who may."
            ) from error
        raise ResourceError(f"{repo}: the Hugging Face hub failed ({_first_line(error)}). Try again later.") from error
    except Exception as error:  # which ones mean "no network" changes with the HTTP library that the client is built on
        raise ResourceError(
            f"{repo}: the Hugging Face hub cannot be reached ({type(error).__name__}: {_first_line(error)}). Check the connection, "
            "or give the path of a folder that is here."
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
