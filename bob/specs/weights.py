"""Spec of a backbone's weights: their source, and their layout in the published file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.yaml import Closed

SOURCES = ("hub", "tag", "package", "url", "file", "random")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Weights(Closed):
    """The weights of a backbone: exactly one source, and which tensors of it to read."""

    hub: str | None = None
    """Hugging Face repository, `owner/name`."""
    revision: str | None = None
    """Commit, tag or branch of the hub repository; None is its main branch.

    Records identify what was downloaded by the hash of the weights.
    """
    tag: str | None = None
    """open_clip's name for the weights of an architecture.

    If `hub` is given too, open_clip must have the tag in that repository.
    """
    package: str | None = None
    """Installed distribution that contains `file`."""
    url: str | None = None
    """Address of a file on the web, http(s)."""
    file: str | None = None
    """Path in the hub repository, in the package's folder of site-packages, or on this machine."""
    sha256: Sha256 | None = None
    """Digest of the file; a file with another digest is refused."""
    match: Literal["name", "order"] = "name"
    """How the file's tensors are assigned to the architecture's.

    `order` is one to one in file order, for files converted from other frameworks.
    """
    random: int | None = None
    """Seed of a random initialisation."""
    state_dict: str | None = None
    """Key of the tensors in a training checkpoint, such as `teacher`; dots for nested keys.

    None is the file itself or its `state_dict`, or averaged weights beside that (`state_dict_ema`,
    `model_ema`), as timm prefers.
    """
    strip: str = ""
    """Prefix of the backbone's tensors in the file, such as `module.base_encoder.`."""
    drop: tuple[str, ...] = Field((), strict=False)
    """Prefixes, as in the file, of tensors that are not the backbone's.

    Examples are heads, projectors and a second network.
    """

    @model_validator(mode="after")
    def _one_source(self) -> "Weights":
        sources = self._sources()
        if len(sources) != 1:
            raise ValueError(
                f"needs exactly one of {', '.join(SOURCES)}; got {', '.join(sources) or 'none'}"
            )
        if self.package and not self.file:
            raise ValueError("'file' is missing: the path of the weights inside the package")
        if self.revision and not self.hub:
            raise ValueError("'revision' belongs to 'hub'")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError(f"'url' must begin with https:// or http://; got {self.url!r}")
        return self

    def _sources(self) -> list[str]:
        """Return the sources that are set.

        A file in a hub repository or a package does not count, nor does the tag of a repository.
        """
        present = [name for name in SOURCES if getattr(self, name) is not None]
        refinements = {"file", "tag"} if self.hub else {"file"} if self.package else set()
        return [name for name in present if name not in refinements]
