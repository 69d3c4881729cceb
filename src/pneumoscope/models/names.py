"""Resolve the name of a pretrained model to its architecture and weights."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from pneumoscope.errors import OptionError, did_you_mean, nearest
from pneumoscope.models.known import WeightsFacts

FAMILIES = ("timm", "xrv")

OWN = ("seed-cnn",)
"""The networks of this package."""


@dataclass(frozen=True, slots=True)
class Published:
    """The source of published weights: a file on the Hugging Face hub, or an address.

    Attributes:
        repository: OWNER/NAME on the hub, or empty.
        files: Possible names of the file, the preferred one first.
        revision: A branch or commit of the repository; None for its main branch.
        url: The address, if there is no repository.
    """

    repository: str = ""
    files: tuple[str, ...] = ()
    revision: str | None = None
    url: str = ""

    @property
    def address(self) -> str:
        """The web address of the preferred file."""
        if self.url:
            return self.url
        revision = self.revision or "main"
        return f"https://huggingface.co/{self.repository}/resolve/{revision}/{self.files[0]}"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The architecture and weights of a model name.

    Attributes:
        name: The full name, with the tag of the weights.
        given: The name as given.
        architecture: The network in timm.
        facts: Settings of the published weights.
        published: Source of the weights; None if there are no published ones.
    """

    name: str
    given: str
    architecture: str
    facts: WeightsFacts
    published: Published | None


def is_pretrained_name(name: str) -> bool:
    """Return whether the name belongs to a supported family."""
    return name.partition(":")[0] in FAMILIES


def check_known(name: str) -> None:
    """Raise an error for an unknown name.

    Raises:
        OptionError: The name is unknown; the message suggests the closest.
    """
    if name in OWN or is_pretrained_name(name):
        return
    known = [*OWN, *(f"{family}:NAME" for family in FAMILIES)]
    raise OptionError("model", must="a known model", was=name, hint=nearest(name, known))


def resolve(name: str) -> Pretrained:
    """Return the model for ``timm:NAME`` or ``xrv:NAME``.

    Raises:
        OptionError: The model does not exist; the message suggests the closest.
    """
    family, _, rest = name.partition(":")
    match family:
        case "timm":
            return _timm(name, rest)
        case "xrv":
            return _xrv(name, rest)
        case _:
            raise OptionError("model", must=f"a model of {' or '.join(FAMILIES)}", was=name)


def _timm(name: str, rest: str) -> Pretrained:
    import timm  # noqa: PLC0415 - takes a second

    architecture, _, tag = rest.partition(".")
    if not timm.is_model(rest):
        raise OptionError(
            "model",
            must="timm:NAME with a model name of timm",
            was=name,
            hint=_close(architecture, timm.list_models()),
        )
    try:
        cfg = timm.get_pretrained_cfg(rest)
    except RuntimeError as fault:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise OptionError(
            "model",
            must=f"timm:{architecture} with a tag of timm",
            was=name,
            hint=nearest(tag, tags) if tags else "It has no tags.",
        ) from fault
    if cfg is None:
        raise OptionError("model", must="a network with a known input", was=name)
    published = None
    where = f"{cfg.hf_hub_id}" if cfg.hf_hub_id else str(cfg.url or "")
    if cfg.hf_hub_id:
        repository, _, revision = cfg.hf_hub_id.partition("@")
        published = Published(repository, _hub_files(cfg.hf_hub_filename), revision or None)
    elif isinstance(cfg.url, str) and cfg.url:
        published = Published(url=cfg.url)
    facts = WeightsFacts(
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        input_px=cfg.input_size[-1],
        licence=(cfg.license or f"see {where}") if published else "",
        credit=" ".join(str(part) for part in (cfg.origin_url, cfg.description) if part),
    )
    full = f"{architecture}.{cfg.tag}" if published and cfg.tag else architecture
    return Pretrained(f"timm:{full}", name, full, facts, published)


def _hub_files(given: str | None) -> tuple[str, ...]:
    """Return the file names to try: safetensors first, because it cannot contain code."""
    usual = given or "pytorch_model.bin"
    if not usual.endswith(".bin"):
        return (usual,)
    safe = {
        "pytorch_model.bin": "model.safetensors",
        "open_clip_pytorch_model.bin": "open_clip_model.safetensors",
    }.get(usual, f"{usual.removesuffix('.bin')}.safetensors")
    return (safe, usual)


# torchxrayvision's networks are torchvision's DenseNet-121 and ResNet-50 for one channel; timm has
# both with the same tensor names. Input is scaled to [-1024, 1024]. The addresses are those of
# torchxrayvision 1.5.7; see docs/decisions/0002-pretrained-networks.md.
_XRV_FILES = MappingProxyType(
    {
        "densenet121-res224-all": "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-"
        "lr001-rot45-tr15-sc15-seed0-best.pt",
        "densenet121-res224-chex": "chex-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        "densenet121-res224-mimic_ch": "mimic_ch-densenet121-d121-tw-lr001-rot45-tr15-sc15-"
        "seed0-best.pt",
        "densenet121-res224-mimic_nb": "mimic_nb-densenet121-d121-tw-lr001-rot45-tr15-sc15-"
        "seed0-best.pt",
        "densenet121-res224-nih": "nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        "densenet121-res224-pc": "pc-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        "densenet121-res224-rsna": "kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
        "resnet50-res512-all": "pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt",
    }
)
_XRV_PLACE = "https://github.com/mlmed/torchxrayvision/releases/download/v1/"


def xrv_names() -> tuple[str, ...]:
    """Return the models of torchxrayvision."""
    return tuple(f"xrv:{name}" for name in _XRV_FILES)


def _xrv(name: str, rest: str) -> Pretrained:
    if rest not in _XRV_FILES:
        raise OptionError(
            "model",
            must="xrv:NAME with a model name of torchxrayvision",
            was=name,
            hint=nearest(rest, _XRV_FILES),
        )
    architecture, resolution, data = rest.split("-")
    facts = WeightsFacts(
        mean=(0.5,),
        std=(1 / 2048,),
        input_px=int(resolution.removeprefix("res")),
        licence="Apache-2.0",
        credit=f"torchxrayvision (arXiv:2111.00595), chest X-rays: {data}",
    )
    return Pretrained(name, name, architecture, facts, Published(url=_XRV_PLACE + _XRV_FILES[rest]))


def _close(word: str, known: list[str]) -> str:
    return did_you_mean(word, known) or "List the available names with pneumoscope models FILTER."
