"""BPNet in PyTorch (Avsec et al. 2021, Nature Genetics, doi:10.1038/s41588-021-00782-6).

Requirements: torch.
"""

from __future__ import annotations

from torch import Tensor, nn

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import BPNET_FILTERS, BPNET_WIDTH


class BPNet(nn.Module):
    """BPNet: residual dilated convolutions; per task a profile and a counts head.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence.
    numchars : int, default 4
        Number of characters.
    num_dilated_convs : int, default 9
        Number of residual layers; zero is allowed.
    num_tasks : int, default 1
        Number of tasks, each with a profile and a counts output.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.
    """

    def __init__(
        self,
        seqlen: int = 1000,
        numchars: int = 4,
        num_dilated_convs: int = 9,
        num_tasks: int = 1,
    ) -> None:
        super().__init__()
        check_length("bpnet_model", seqlen, 1)
        numchars = check_whole("bpnet_model", "numchars", numchars)
        self.num_dilated_convs = check_whole(
            "bpnet_model", "num_dilated_convs", num_dilated_convs, least=0
        )
        self.num_tasks = check_whole("bpnet_model", "num_tasks", num_tasks)
        filters, width = BPNET_FILTERS, BPNET_WIDTH
        self.conv = nn.Conv1d(numchars, filters, width, padding="same")
        self.conv_relu = nn.ReLU()
        for index in range(1, self.num_dilated_convs + 1):
            conv = nn.Conv1d(filters, filters, 3, padding="same", dilation=2 ** (index - 1))
            self.add_module(f"dilated{index}", conv)
            self.add_module(f"dilated{index}_relu", nn.ReLU())
        for task in range(1, self.num_tasks + 1):
            # "same" of a width that is odd: as much is cut off at either end.
            profile = nn.ConvTranspose1d(filters, 1, width, padding=width // 2)
            self.add_module(f"task{task}_profile_conv", profile)
            self.add_module(f"task{task}_counts", nn.Linear(filters, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the model.

        Parameters
        ----------
        x : Tensor, shape (batch, numchars, seqlen)

        Returns
        -------
        list of Tensor
            Task by task: the profile ``(batch, seqlen)``, then the counts ``(batch, 1)``.
        """
        x = self.conv_relu(self.conv(x))
        for index in range(1, self.num_dilated_convs + 1):
            branch = self.get_submodule(f"dilated{index}")(x)
            x = self.get_submodule(f"dilated{index}_relu")(branch) + x
        average = x.mean(dim=2)
        outputs = []
        for task in range(1, self.num_tasks + 1):
            outputs.append(self.get_submodule(f"task{task}_profile_conv")(x).flatten(1))
            outputs.append(self.get_submodule(f"task{task}_counts")(average))
        return outputs


def bpnet_model(
    seqlen: int = 1000, numchars: int = 4, num_dilated_convs: int = 9, num_tasks: int = 1
) -> BPNet:
    """Build BPNet as benchmarked by Nair et al. 2022; the arguments are those of `BPNet`."""
    return BPNet(seqlen, numchars, num_dilated_convs, num_tasks)
