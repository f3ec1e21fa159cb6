"""Training a judge, and the statistics of real images that it brings with it."""

import dataclasses

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from thaw.base import ThawError, derive, generator
from thaw.data import ImageSet, background_of
from thaw.scoring.extractor import statistics
from thaw.scoring.judge import FeatureNetwork, Judge


def train_features(train: ImageSet, test: ImageSet, epochs: int = 8, seed: int = 0, progress: bool = True) -> Judge:
    """Train a feature network and collect its reference statistics.

    AdamW with a one-cycle rate of 3e-3, batch 128, cross-entropy with label smoothing 0.05, images
    shifted by up to two pixels. The test split is used for its accuracy and as reference only.

    Raises:
        ThawError: if there is nothing to tell apart, or too little to compare with.
    """
    if train.classes < 2:
        raise ThawError(
            f"a feature network learns to tell classes apart, and {train.name} has {train.classes or 'none'}; "
            "sort the images into two subfolders or more"
        )
    if min(len(train), len(test)) < 2:
        raise ThawError(
            f"{train.name} has {len(train)} training and {len(test)} test images; distances need two of each or more"
        )
    torch.manual_seed(derive(seed, "features"))
    network = FeatureNetwork(train.shape[0], train.classes).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01, fused=True)
    batches = max(1, len(train) // 128)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * batches)
    draws = generator(seed, "features data")
    for epoch in range(epochs):
        order = torch.randperm(len(train), generator=draws)
        bar = tqdm(range(batches), disable=not progress, desc=f"features {epoch + 1}/{epochs}", mininterval=5)
        for index in bar:
            chosen = order[index * 128 : (index + 1) * 128]
            dy, dx = torch.randint(0, 5, (2,), generator=draws).tolist()
            images = F.pad(train.images[chosen], (2, 2, 2, 2))[..., dy : dy + train.shape[1], dx : dx + train.shape[2]]
            loss = F.cross_entropy(network.logits(network(images)), train.labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            rate.step()
    return dataclasses.replace(make_judge(network.eval(), train, test), training={"epochs": epochs, "seed": seed})


def make_judge(network: FeatureNetwork, train: ImageSet, test: ImageSet) -> Judge:
    """Collect the reference statistics and the accuracy of a network.

    Its weights are rounded to fp16 first, because that is how they are stored: the statistics are
    then exactly those of the network that is loaded later.
    """
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            if value.is_floating_point():
                value.copy_(value.half())
    blank = Judge(network, train.name, train.shape, 0.0, {})
    network.unit.fill_(1.0)
    of_train = blank.features(train.images)
    network.unit.copy_((network.num_features / of_train.double().var(dim=0).sum()).sqrt().half())
    of_train, of_test = of_train * network.unit, blank.features(test.images)
    references = {
        "train": statistics(of_train, train.labels, train.classes),
        "test": statistics(of_test, test.labels, test.classes),
    }
    with torch.no_grad():
        accuracy = float((network.classify(of_test).argmax(dim=1) == test.labels).float().mean())
    known = (network, train.name, train.shape, accuracy, references)
    return Judge(*known, source=train.source, background=background_of(train.images))
