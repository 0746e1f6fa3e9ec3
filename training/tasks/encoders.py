"""The encoder that a task begins with: from a checkpoint, or random; and what of a checkpoint must fit an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from training.checkpoints import load_checkpoint
from training.configuration import ConfigError, configuration, option
from training.data.archive import Archive
from training.model.encoder import ATTENTION
from training.model.modalities import MODALITIES
from training.model.options import ARCHITECTURES, ModelOptions
from training.model.usdrl import USDRL


@configuration
class EncoderConfig:
    """The keys by which tasks say what to work on and which encoder to begin with."""

    name: str = option(help="name of the run")
    data: str = option(help="archive")
    archives: str = option("archives", "directory that holds the archives")
    split: str = option("", "split of the archive; none: the data set's usual one")
    also_tested: tuple[str, ...] = option((), "splits with smaller test parts, reported besides")
    modalities: tuple[str, ...] = option(
        (), "those to use; none: all of the checkpoint, joint for a random encoder", choices=MODALITIES
    )
    architecture: str = option(
        "", "dste or sttr; none: as the checkpoint, dste for a random encoder", choices=("", *ARCHITECTURES)
    )
    width: int = option(0, "H; 0: as the checkpoint, 256 for a random encoder", low=0)
    heads: int = option(0, "attention heads; 0: as the checkpoint, 1 for a random encoder", low=0)
    layers: int = option(0, "layers a stream; 0: as the checkpoint, 2 for a random encoder", low=0)
    people: int = option(
        0, "M; 0: as the checkpoint, or the archive for a random encoder; 1: the main person alone", low=0
    )
    attention: str = option(
        "", "full or causal; none: as the checkpoint, full for a random encoder", choices=("", *ATTENTION)
    )
    seed: int = option(0, "of everything random", low=0)


def open_archive(config: EncoderConfig) -> Archive:
    """The archive that a task works on, its content checked.

    Raises:
        DatasetError: There is none, or its content is not what skeletons are.
    """
    archive = Archive(Path(config.archives) / config.data)
    archive.check()
    return archive


def make_model(config: EncoderConfig, checkpoint: str, archive: Archive, drop_path: float = 0.1) -> USDRL:
    """The network with an encoder of a checkpoint ("": random weights, drawn with the seed) and heads for the archive.

    A checkpoint of one person is used on an archive of two only where `people: 1` says that the main person is enough;
    one of two people takes an archive of one, whose second person is unseen. A checkpoint of the authors does not say
    its modality and heads: `modalities` and `heads` do, joint and 1 where they are not given.

    Raises:
        ConfigError: The checkpoint does not fit the archive or the configuration.
        ValueError: The checkpoint cannot be read.
    """
    torch.manual_seed(config.seed)
    if not checkpoint:
        options = ModelOptions(
            actions=archive.actions,
            modalities=config.modalities or MODALITIES[:1],
            architecture=config.architecture or "dste",
            width=config.width or 256,
            heads=config.heads or 1,
            layers=config.layers or 2,
            joints=int(archive.joints.shape[2]),
            people=config.people or int(archive.joints.shape[1]),
            attention=config.attention or "full",
            drop_path=drop_path,
        )
        return USDRL(options).eval()
    modality = (config.modalities or MODALITIES)[0]
    found = load_checkpoint(Path(checkpoint), modality=modality, heads=config.heads or 1)[0]
    check_fit(found.options, config, checkpoint, archive)
    options = replace(
        found.options,
        actions=archive.actions,
        modalities=config.modalities or found.options.modalities,
        attention=config.attention or found.options.attention,
        drop_path=drop_path,
    )
    model = USDRL(options)
    wanted = model.encoder.state_dict()
    model.encoder.load_state_dict({key: value for key, value in found.encoder.state_dict().items() if key in wanted})
    return model.eval()


def check_fit(found: ModelOptions, config: EncoderConfig, checkpoint: str, archive: Archive) -> None:
    """Make sure that what a checkpoint was trained for is what the configuration and the archive are.

    Raises:
        ConfigError: It is not.
    """
    joints, people = archive.joints.shape[2], archive.joints.shape[1]
    if found.joints != joints:
        raise ConfigError(
            f"{checkpoint} is for {found.joints} joints, {archive.directory} has {joints}: take another checkpoint"
        )
    for key in ("architecture", "width", "heads", "layers", "people"):
        if (wanted := getattr(config, key)) and wanted != getattr(found, key):
            raise ConfigError(
                f"{checkpoint} has {key} {getattr(found, key)}, the configuration says {wanted}: "
                "leave the key out, or take another checkpoint"
            )
    if not config.people and found.people < people:
        raise ConfigError(
            f"{checkpoint} is for {found.people} people, {archive.directory} has {people}: "
            f"give people: {found.people} to use the first alone, or take a checkpoint for {people}"
        )
    if missing := set(config.modalities) - set(found.modalities):
        raise ConfigError(
            f"{checkpoint} has no modality {', '.join(sorted(missing))}; it has {', '.join(found.modalities)}"
        )
