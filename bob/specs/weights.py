"""Where a backbone's tensors come from, and how a published file lays them out."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bob.specs.yaml import Closed

SOURCES = ("hub", "tag", "package", "url", "file", "random")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Weights(Closed):
    """A backbone's tensors: one source, and what to read of it."""

    hub: str | None = None
    """A Hugging Face repository, `owner/name`."""
    revision: str | None = None
    """The hub commit; None is the repository's main branch, resolved on download and recorded through the weights hash."""
    tag: str | None = None
    """open_clip's name for the weights of an architecture; with `hub`, the repository that open_clip must have it in."""
    package: str | None = None
    """An installed distribution that carries `file`."""
    url: str | None = None
    """A file on the web, http(s)."""
    file: str | None = None
    """A path: inside the hub repository, inside the package's folder of site-packages, or on this machine."""
    sha256: Sha256 | None = None
    """Of the whole file; another file is refused."""
    match: Literal["name", "order"] = "name"
    """How the file's tensors meet the architecture's: by name, or one to one in file order (files converted from other frameworks)."""
    random: int | None = None
    """The seed of a random initialisation."""
    state_dict: str | None = None
    """Where the tensors lie in a training checkpoint, such as `teacher` or `model`; dots go deeper."""
    strip: str = ""
    """The prefix of the backbone's own tensors, such as `module.base_encoder.`."""
    drop: tuple[str, ...] = Field((), strict=False)
    """Prefixes, as they stand in the file, of tensors that are not the backbone's: heads, projectors, a second network."""

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
        """A file inside a hub repository or a package is no source of its own, nor is the tag of a hub repository."""
        named = [name for name in SOURCES if getattr(self, name) is not None]
        inside = {"file", "tag"} if self.hub else {"file"} if self.package else set()
        return [name for name in named if name not in inside]
