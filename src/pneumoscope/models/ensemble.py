"""Average several trained classifiers, and several views of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pneumoscope.errors import OptionError, nearest
from pneumoscope.models.registry import Classifier

VIEWS = ("plain", "flip", "zoom")
"""Views of an image: unchanged, mirrored, and with its middle 80 % enlarged."""

_ZOOM = 0.8
_LINEAR = ("weight", "bias")


class Averaged(nn.Module):
    """The mean logits of classifiers over views of an image.

    Args:
        members: Trained classifiers with the same input.
        views: Names of ``VIEWS``; evidence is that of the first.

    Raises:
        OptionError: There is no member or no view, or a view is unknown.
    """

    def __init__(self, members: Sequence[Classifier], views: Sequence[str] = ("plain",)) -> None:
        super().__init__()
        if not members:
            raise OptionError("members", must="at least one classifier", was=list(members))
        for view in views:
            if view not in VIEWS:
                raise OptionError(
                    "views", must=f"any of {', '.join(VIEWS)}", was=view, hint=nearest(view, VIEWS)
                )
        if not views or views[0] != "plain":
            raise OptionError("views", must="a list that begins with plain", was=list(views))
        self.members = _Members(members)
        self.views = tuple(views)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return next(iter(self.members)).classes

    @property
    def multilabel(self) -> bool:
        """Whether the logits are those of findings that do not exclude each other."""
        return next(iter(self.members)).multilabel

    def forward(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the mean logit of each class from grey pixels in [0, 1]."""
        outputs = [member(_seen(pixels, view)) for view in self.views for member in self.members]
        return torch.stack(outputs).mean(0)

    def explained(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch c"], Tensor | None]:
        """Return mean logits, the first member's features, and the mean evidence, in one pass.

        Features and evidence are of the first view; evidence is None unless all members have it.
        Maps of different sizes are resized to that of the finest.
        """
        first = [member.explained(_seen(pixels, self.views[0])) for member in self.members]
        more = [member(_seen(pixels, view)) for view in self.views[1:] for member in self.members]
        logits = torch.stack([*(logits_of_view for logits_of_view, _, _ in first), *more]).mean(0)
        maps = [evidence for _, _, evidence in first if evidence is not None]
        return logits, first[0][1], _mean_map(maps) if len(maps) == len(first) else None


def side_by_side(members: Sequence[Classifier]) -> Classifier | None:
    """Return one classifier that computes the mean logits of several of one architecture.

    Their channels are concatenated in every layer, in separate groups; the last layer computes the
    mean. The result equals that of ``Averaged``, with one graph instead of several, which opens and
    runs faster. None for networks that cannot be merged: of different architectures, or with layers
    other than convolutions, batch normalisation and a last linear layer.
    """
    first = deepcopy(members[0])
    network = first.network
    names = dict(network.named_modules())
    for other in members[1:]:
        if not _same_layers(first, other):
            return None
        shapes = [tuple(value.shape) for value in other.state_dict().values()]
        if shapes != [tuple(value.shape) for value in first.state_dict().values()]:
            return None
        if not (torch.equal(other.mean, first.mean) and torch.equal(other.std, first.std)):
            return None
    with torch.no_grad():
        for name, layer in names.items():
            layers = [member.network.get_submodule(name) for member in members]
            if not _widen(
                layer, layers, shared=name in network.stems, last=layer is network.last_layer
            ):
                return None
        first.logit_offset.copy_(torch.stack([m.logit_offset for m in members]).mean(0))
    return first


def _same_layers(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two networks have the same layers; equal weight shapes are not enough."""
    layers = [
        [(name, type(layer), layer.extra_repr()) for name, layer in network.named_modules()]
        for network in (one, other)
    ]
    return layers[0] == layers[1]


def _widen(layer: nn.Module, layers: Sequence[nn.Module], *, shared: bool, last: bool) -> bool:
    """Merge the weights of several layers into one; return whether that is possible."""
    count = len(layers)
    match layer:
        case nn.Conv2d():
            if not shared:
                layer.in_channels *= count
                layer.groups *= count
            elif layer.groups != 1:
                return False
            layer.out_channels *= count
        case nn.BatchNorm2d():
            layer.num_features *= count
            for name in ("running_mean", "running_var"):
                setattr(layer, name, torch.cat([getattr(each, name) for each in layers]))
        case nn.Linear() if last:
            layer.in_features *= count
            weights, biases = ([getattr(each, name) for each in layers] for name in _LINEAR)
            layer.weight = nn.Parameter(torch.cat(weights, 1) / count)
            layer.bias = nn.Parameter(torch.stack(biases).mean(0))
            return True
        case _:
            return not list(layer.parameters(recurse=False))
    for name, _ in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(torch.cat([getattr(each, name) for each in layers])))
    return True


def _mean_map(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of maps [n, (classes,) rows, columns] at the size of the finest.

    The mean of each map, which is its logit without the bias, is preserved.
    """
    shape = max((tuple(each.shape[-2:]) for each in maps), key=lambda size: size[0] * size[1])
    fine = []
    for each in maps:
        if tuple(each.shape[-2:]) == shape:
            fine.append(each)
            continue
        planes = each if each.ndim == 4 else each[:, None]
        larger = F.interpolate(planes, shape, mode="bilinear", align_corners=False)
        larger = larger if each.ndim == 4 else larger[:, 0]
        lost = each.mean((-2, -1), keepdim=True) - larger.mean((-2, -1), keepdim=True)
        fine.append(larger + lost)
    return torch.stack(fine).mean(0)


class _Members(nn.ModuleList):
    """A typed list of modules."""

    def __iter__(self) -> Iterator[Classifier]:
        return super().__iter__()  # type: ignore[return-value]


def _seen(pixels: Tensor, view: str) -> Tensor:
    match view:
        case "plain":
            return pixels
        case "flip":
            return pixels.flip(-1)
        case "zoom":
            height, width = pixels.shape[-2:]
            top, left = round(height * (1 - _ZOOM) / 2), round(width * (1 - _ZOOM) / 2)
            middle = pixels[..., top : height - top, left : width - left]
            return F.interpolate(middle, (height, width), mode="bilinear", align_corners=False)
        case other:
            raise AssertionError(other)
