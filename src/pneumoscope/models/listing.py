"""List the available models with size, licence and availability of their weights."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError, PneumoscopeError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.folder import BUNDLED, find_in_folder, weights_folder
from pneumoscope.models.hub import cached
from pneumoscope.models.known import KNOWN_FILES
from pneumoscope.models.names import Published, is_pretrained_name, resolve, xrv_names
from pneumoscope.models.packages import installed_weights

if TYPE_CHECKING:
    from pneumoscope.models.network import Network

SEED = "seed-cnn"
MOST = 40
"""Maximum number of models measured for one filter."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of ``pneumoscope models``.

    Attributes:
        name: The network, as in ``--model``.
        parameters: Number of parameters with one input channel and two classes.
        multiply_adds: Number of multiply-adds for one image of ``input_px`` by ``input_px``.
        input_px: Side of the images that the weights were trained on.
        licence: Licence of the pretrained weights, or where to read it; empty if there are none.
        here: Whether pretrained weights are on this machine; None if there are none.
    """

    name: str
    parameters: int
    multiply_adds: int
    input_px: int
    licence: str
    here: bool | None = None


CHOSEN: tuple[Listed, ...] = (
    Listed("timm:mobilenetv3_small_050.lamb_in1k", 569_986, 19_554_064, 224, "apache-2.0"),
    Listed("timm:mobilenetv2_035", 398_402, 54_395_696, 224, "Apache-2.0"),
    Listed("timm:mobilenetv3_large_100.ra_in1k", 4_204_306, 211_699_648, 224, "apache-2.0"),
    Listed("timm:mobilenetv2_100.ra_in1k", 2_225_858, 292_271_488, 224, "apache-2.0"),
    Listed("seed-cnn", 3_267_202, 364_478_592, 224, ""),
    Listed("timm:tf_efficientnet_lite0", 3_372_994, 376_684_768, 224, "apache-2.0"),
    Listed("timm:efficientnet_b0.ra_in1k", 4_009_534, 377_311_968, 224, "apache-2.0"),
    Listed("timm:convnextv2_atto.fcmae_ft_in1k", 3_386_762, 542_999_040, 224, "cc-by-nc-4.0"),
    Listed("timm:tf_efficientnet_lite1", 4_137_666, 590_613_392, 240, "apache-2.0"),
    Listed("timm:tf_efficientnet_lite2", 4_813_058, 848_724_432, 260, "apache-2.0"),
    Listed(
        "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        5_426_498,
        1_234_224_000,
        224,
        "apache-2.0",
    ),
    Listed("timm:resnet18.a1_in1k", 11_171_266, 1_734_886_400, 224, "apache-2.0"),
    Listed(
        "timm:convnextv2_nano.fcmae_ft_in22k_in1k", 14_981_522, 2_436_861_440, 224, "cc-by-nc-4.0"
    ),
    Listed("timm:densenet121.ra_in1k", 6_949_634, 2_754_463_744, 224, "apache-2.0"),
    Listed("xrv:densenet121-res224-all", 6_949_634, 2_754_463_744, 224, "Apache-2.0"),
    Listed("timm:resnet50.a1_in1k", 23_505_858, 4_008_464_384, 224, "apache-2.0"),
    Listed(
        "timm:convnextv2_tiny.fcmae_ft_in22k_in1k", 27_864_962, 4_445_131_008, 224, "cc-by-nc-4.0"
    ),
)
"""A selection suitable for radiographs on ordinary machines, from small to large.

The numbers are results of ``measure``, stored here so that listing does not load large packages.
"""


def chosen_models() -> list[Listed]:
    """Return the recommended models ``CHOSEN``, and whether their weights are available."""
    return [replace(row, here=_is_here(row, _usual_place(row))) for row in CHOSEN]


def names_like(pattern: str) -> list[str]:
    """Return the names of all matching models, with the tags of their weights.

    Args:
        pattern: Pattern with ``*`` and ``?`` as in a shell; without them, a part of the name.
    """
    import timm  # noqa: PLC0415 - takes a second

    published = timm.list_pretrained()
    with_weights = {name.partition(".")[0] for name in published}
    bare = [name for name in timm.list_models() if name not in with_weights]
    names = [SEED, *xrv_names(), *(f"timm:{name}" for name in sorted([*published, *bare]))]
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern.lower())]


def measured_models(names: list[str]) -> tuple[list[Listed], dict[str, str]]:
    """Return a row per model, smallest first, and errors of those that failed.

    Raises:
        OptionError: There are more than ``MOST``.
    """
    if len(names) > MOST:
        raise OptionError(
            "FILTER",
            must=f"specific enough for at most {MOST} models",
            was=f"a pattern with {len(names):,} matches",
            hint="Use a more specific pattern, or list only names with `names`.",
        )
    rows, faults = [], {}
    for name in names:
        try:
            rows.append(measure(name))
        except (PneumoscopeError, NotImplementedError, RuntimeError, TypeError) as fault:
            faults[name] = (str(fault).strip() or type(fault).__name__).splitlines()[0]
    return sorted(rows, key=lambda row: (row.multiply_adds, row.name)), faults


def measure(name: str) -> Listed:
    """Return the row of a model, measured without allocating its weights (meta device).

    Raises:
        OptionError: The model does not exist.
        NotImplementedError: The network cannot be built on the meta device.
    """
    import torch  # noqa: PLC0415 - so that the chosen models are listed at once
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    network, input_px, published, licence = _bare_network(name)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network.eval()(torch.zeros(1, 1, input_px, input_px, device="meta"))
    row = Listed(
        name,
        parameters=sum(weights.numel() for weights in network.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
        input_px=input_px,
        licence=licence,
    )
    return replace(row, here=_is_here(row, published))


def _bare_network(name: str) -> tuple[Network, int, Published | None, str]:
    """Return a network on the meta device, its input, and origin and licence of its weights."""
    import torch  # noqa: PLC0415 - the same

    with torch.device("meta"):
        if not is_pretrained_name(name):
            from pneumoscope.models.registry import MODELS  # noqa: PLC0415 - the same

            spec = InputSpec()
            if name not in MODELS:
                raise OptionError("NAME", must="a known model", was=name)
            return MODELS[name].build(input_px=spec.shape), spec.height_px, None, ""
        from pneumoscope.models.backbone import Backbone  # noqa: PLC0415 - the same

        model = resolve(name)
        side = model.facts.input_px
        network = Backbone(model, input_px=(side, side))
    known = next((known for known in KNOWN_FILES if known.model == name), None)
    licence = model.facts.licence or (known.facts.licence if known else "")
    return network, side, model.published, licence


def _is_here(row: Listed, published: Published | None) -> bool | None:
    """Return whether weights are in the weights folder, a package or the hub's cache."""
    if not row.licence:
        return None
    if any(find_in_folder(folder, [row.name]) for folder in (weights_folder(), BUNDLED)):
        return True
    if installed_weights([row.name]):
        return True
    if published is None or not published.repository:
        return False
    return cached(published) is not None


def _usual_place(row: Listed) -> Published | None:
    """Return where timm publishes the weights of a recommended model, without importing timm."""
    family, _, rest = row.name.partition(":")
    if family != "timm" or "." not in rest:
        return None
    return Published(f"timm/{rest}", ("model.safetensors", "pytorch_model.bin"))
