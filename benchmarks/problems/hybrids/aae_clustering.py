from __future__ import annotations

from collections.abc import Iterable

import torch

from benchmarks.problem import Floor, Metric, View
from benchmarks.problems._labels import Admitting
from benchmarks.problems.hybrids._aae import Sorted
from benchmarks.quality.labels import code_accuracy
from benchmarks.quality.reference import k_means


class ClusteringAAE(Admitting, Sorted):
    """Adversarial autoencoder whose encoder tells style and cluster, of as many clusters as classes, without labels.

    A critic D compares styles with N(0, I), another, E, probabilities of the clusters with clusters one-hot, all as
    probable. The decoder minimises ½E|x - Dec(z(x), y(x))|², the encoder that, E softplus(-D(z(x))) and E softplus(
    -E(y(x))). `code_accuracy`: of test images, under the best matching of clusters to classes, beside k-means'.

    Differs from the source, which has more clusters than classes, and in E, which pays ½E|∇E(y)|² on clusters y.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 5.
    """

    name = "aae-clustering"
    leading = (Metric("code_accuracy", "higher", range=(0, 1), headline=True),)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        matched = code_accuracy(self.told(view), self.images.test_labels, self.images.classes)
        return {**super().evaluate(view), "code_accuracy": matched}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        classes = self.images.classes
        clusters = k_means(self.images.train.flatten(1), self.images.test.flatten(1), classes)
        yield Floor("code_accuracy", "k-means", code_accuracy(clusters, self.images.test_labels, classes))
