"""``seed-cnn``: three convolutions and two dense layers, with optional variations.

The network of a student report on the Kaggle folder (2022): 224x224 grey input, three blocks of
3x3 convolution, ReLU, 2x2 max pooling and dropout, then two dense layers; 3,267,202 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pneumoscope.errors import OptionError, one_of
from pneumoscope.models.dropout import KeepMasks, ReluDropout
from pneumoscope.models.network import Network, weighted_maps
from pneumoscope.models.pooled import convolve_pool_drop

POOLING = ("max", "average", "stride")
"""Ways of halving the maps of a block."""


class SeedCNN(Network):
    """Logits [batch, classes] from grey pixels in [0, 1], [batch, 1, height, width].

    Args:
        input_px: (height, width) of the input in pixels; each block halves it.
        filters: Output channels of each block; their number is the depth.
        dropout: Share of the activations dropped after each block and after the hidden layer.
        batch_norm: Whether to apply batch normalisation after each convolution.
        pooling: How maps are halved: by the maximum or the mean of each 2x2 pixels, or by a
            convolution with stride 2.
        hidden: Units of the dense layer.
        classes: Number of classes.

    Raises:
        OptionError: An invalid value, or an input too small for the number of blocks.
    """

    def __init__(
        self,
        *,
        input_px: tuple[int, int] = (224, 224),
        filters: Sequence[int] = (32, 64, 64),
        dropout: float = 0.4,
        batch_norm: bool = False,
        pooling: str = "max",
        hidden: int = 64,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if not filters or min(filters) < 1:
            raise OptionError("filters", must="positive numbers, one per block", was=list(filters))
        if not 0 <= dropout < 1:
            raise OptionError("dropout", must="at least 0 and below 1", was=dropout)
        one_of("pooling", pooling, POOLING)
        if hidden < 1:
            raise OptionError("hidden", must="at least 1", was=hidden)
        height, width = (side // 2 ** len(filters) for side in input_px)
        if min(height, width) < 1:
            raise OptionError(
                "filters",
                must=f"few enough blocks for an input of {input_px[0]}x{input_px[1]} pixels",
                was=list(filters),
            )
        masks = KeepMasks(dropout)
        channels = (1, *filters)
        self.blocks = nn.ModuleList(
            Block(before, after, masks=masks, batch_norm=batch_norm, pooling=pooling)
            for before, after in zip(channels, filters, strict=False)
        )
        self.flatten = FlattenMaps()
        self.hidden = nn.Linear(filters[-1] * height * width, hidden)
        self.dropout = ReluDropout(masks)
        self.output = nn.Linear(hidden, classes)
        self.apply(_initialise)

    def features(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch c h w"]:
        """Return the maps of the last block."""
        maps: Tensor = pixels
        for block in self.blocks:
            maps = block(maps)
        return maps

    def pooled(self, maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch hidden"]:
        """Return the activations of the hidden layer."""
        values: Tensor = self.dropout(self.hidden(self.flatten(maps)))
        return values

    def head(self, maps: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch classes"]:
        """Return the logit of each class."""
        logits: Tensor = self.output(self.pooled(maps))
        return logits

    @property
    def last_layer(self) -> nn.Module:
        """The second dense layer."""
        return self.output

    @property
    def stems(self) -> tuple[str, ...]:
        """The first convolution."""
        return ("blocks.0.convolution",)

    def evidence(self, maps: Float[Tensor, "batch c h w"]) -> Tensor:
        """Return the evidence maps from the gradient at the last feature maps.

        Grad-CAM (Selvaraju et al., ICCV 2017), signed and not clipped at zero, multiplied by the
        number of positions, so that it is in units of the logit. The gradient through the two dense
        layers is expressed by forward operations, so that it can be exported.
        """
        active = (self.hidden(self.flatten(maps)) > 0).to(maps.dtype)
        through = active[:, None] * self.speaking(self.output.weight)
        channels, height, width = maps.shape[1:]
        # The gradient of each channel summed over positions: the mean times their number.
        rows = self.hidden.weight.reshape(-1, height * width, channels).sum(1)
        return weighted_maps(maps, through @ rows)

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Return one group per block, one for the hidden layer, one for the output layer."""
        return [list(part.parameters()) for part in (*self.blocks, self.hidden, self.output)]


def _initialise(module: nn.Module) -> None:
    """Initialise as in Keras: Glorot uniform weights, zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None  # noqa: S101 - every layer here has one
        nn.init.zeros_(module.bias)


class Block(nn.Module):
    """3x3 convolution, 2x2 pooling, ReLU, dropout: [b, in, h, w] to [b, out, h/2, w/2].

    Max pooling comes before ReLU: both orders give the same result, since ReLU is monotone, and
    this order accesses a quarter of the memory. Average pooling comes after ReLU, as usual. With
    ``stride``, there is no pooling: the convolution has stride 2.
    """

    def __init__(
        self,
        before: int,
        after: int,
        *,
        masks: KeepMasks,
        batch_norm: bool,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        self.pools = pooling
        self.convolution = nn.Conv2d(before, after, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(after) if batch_norm else nn.Identity()
        self.pooling = nn.MaxPool2d(2)
        if pooling == "stride":
            self.convolution.stride = (2, 2)
        self.dropout = ReluDropout(masks)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the block's maps."""
        if self.training and self._in_one_step(maps):
            return convolve_pool_drop(maps, self.convolution, self.dropout.masks)
        if self.pools == "stride":  # drop odd rows and columns, as in pooling
            maps = maps[..., : maps.shape[2] // 2 * 2, : maps.shape[3] // 2 * 2]
        convolved = self.norm(self.convolution(maps))
        if self.pools == "max":
            convolved = self.pooling(convolved)
        elif self.pools == "average":
            convolved = nn.functional.avg_pool2d(nn.functional.relu(convolved), 2)
        dropped: Tensor = self.dropout(convolved)
        return dropped

    def _in_one_step(self, maps: Tensor) -> bool:
        height, width = maps.shape[2:]
        plain = isinstance(self.norm, nn.Identity) and self.pools == "max"
        return plain and maps.device.type == "cpu" and height % 2 == 0 and width % 2 == 0


class FlattenMaps(nn.Module):
    """Flatten rows, columns, channels: [b, c, h, w] to [b, h * w * c].

    With channels-last memory, no data are copied.
    """

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b features"]:
        """Return the flat features."""
        return maps.permute(0, 2, 3, 1).flatten(1)
