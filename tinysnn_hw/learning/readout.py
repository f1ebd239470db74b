"""From spike counts to classes: label the neurons on training images, then read every image three ways.

Neurons are labelled once, from the summed responses of training images with learning off; test images are
only ever read.  Comparisons of means are done in integers, and the two probabilistic readouts use tables
rounded to multiples of ``2**-24``, so that every sum of products is exact in float64 whatever its order: the
same counts give the same prediction on every machine.

Three sentences hold for all readouts.  A class without labelling images is never predicted.  A tie goes to
the lowest class.  A silent image (no output spike) is a tie of all classes that can win, so it is predicted
as the lowest of them and counts in the accuracy like any other, almost always as an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.errors import DataError

READOUTS = ("mean_rate", "weighted_vote", "naive_bayes")
"""Names of the readouts; accuracy without further words is that of ``naive_bayes``."""

NAIVE_BAYES_ALPHA = 1.0
"""Spikes added to every class and neuron before probabilities are formed (Laplace's rule of succession)."""

TABLE_BITS = 24
"""Fraction bits of the probability and log-likelihood tables."""

MAX_SPIKES = 1 << 23
"""Most output spikes of one image, so that a score has at most 53 bits: 23, 24 and 6 of a logarithm."""

_BLOCK = 1024
"""Images handled at once: bounds the memory of the float copies of the counts."""


@dataclass(frozen=True, slots=True)
class ClassResponses:
    """Output spikes of labelling images, summed per class.

    Attributes
    ----------
    spikes : int64[n_classes, n_neurons]
        Output spikes of every neuron over all images of a class.
    images : int64[n_classes]
        Number of labelling images of each class.
    """

    spikes: NDArray[np.int64]
    images: NDArray[np.int64]

    @classmethod
    def empty(cls, n_classes: int, n_neurons: int) -> ClassResponses:
        """Return the responses to no image at all."""
        return cls(np.zeros((n_classes, n_neurons), np.int64), np.zeros(n_classes, np.int64))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.spikes.shape[0])

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return int(self.spikes.shape[1])

    def add(self, counts: NDArray[Any], labels: NDArray[Any]) -> ClassResponses:
        """Return the responses with more images taken in; the object itself does not change.

        Parameters
        ----------
        counts : integer[n_images, n_neurons]
            Output spikes of every neuron for every image.
        labels : integer[n_images]
            Class of every image, 0 to n_classes - 1.

        Raises
        ------
        DataError
            A shape, dtype or label does not fit.
        """
        _check_counts(counts, self.n_neurons)
        labels = _check_labels(labels, self.n_classes, "labels")
        if len(labels) != len(counts):
            raise DataError(f"labels: {len(labels)} for {len(counts)} images; one per image is required")
        spikes, images = self.spikes.copy(), self.images.copy()
        for label in np.unique(labels):
            of_class = labels == label
            spikes[label] += counts[of_class].sum(axis=0, dtype=np.int64)
            images[label] += np.count_nonzero(of_class)
        return ClassResponses(spikes, images)


@dataclass(frozen=True, slots=True)
class Readouts:
    """Everything the readouts know after labelling.

    Attributes
    ----------
    neuron_label : int64[n_neurons]
        Class of each neuron, -1 for a neuron that fired for no labelling image.
    p_class : float64[n_classes, n_neurons]
        ``P(class | neuron)``, a multiple of ``2**-24``; 0 for neurons that never fired.
    log_likelihood : float64[n_classes, n_neurons]
        ``ln P(neuron | class)`` of one spike, a multiple of ``2**-24``; 0 for classes without labelling
        images.
    images : int64[n_classes]
        Number of labelling images of each class.
    """

    neuron_label: NDArray[np.int64]
    p_class: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    images: NDArray[np.int64]


def fit_readouts(responses: ClassResponses) -> Readouts:
    """Label the neurons and form the tables of all readouts.

    Parameters
    ----------
    responses : ClassResponses
        At least one labelling image.

    Returns
    -------
    Readouts

    Raises
    ------
    DataError
        There is no labelling image.

    Notes
    -----
    With ``S[c, j]`` the spikes of neuron ``j`` over the ``M[c]`` images of class ``c``, ``R = S / M`` the
    mean responses (0 where ``M[c] = 0``) and ``N`` the number of neurons:

    - ``neuron_label[j] = argmax_c R[c, j]``, ties to the lowest class (Diehl & Cook 2015, section 2.6);
      compared as ``S[a, j] * M[b] > S[b, j] * M[a]``, in integers;
    - ``p_class[c, j] = R[c, j] / sum_c R[c, j]`` (proportional weighting, Hazan et al. 2018);
    - ``log_likelihood[c, j] = ln((S[c, j] + alpha) / (sum_j S[c, j] + alpha N))``, ``alpha`` =
      `NAIVE_BAYES_ALPHA` (the multinomial event model of McCallum & Nigam 1998).

    Both tables are rounded to the nearest multiple of ``2**-24``.
    """
    spikes, images = responses.spikes, responses.images
    if not images.any():
        raise DataError("labelling: no images; neurons get their classes from at least one training image")
    seen = images > 0
    rate = np.divide(spikes, images[:, None], out=np.zeros(spikes.shape), where=seen[:, None])
    total = rate.sum(axis=0)
    p_class = np.divide(rate, total, out=np.zeros(spikes.shape), where=total > 0)
    smoothed = spikes + NAIVE_BAYES_ALPHA
    log_likelihood = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))
    log_likelihood[~seen] = 0.0
    return Readouts(
        neuron_label=_label_neurons(spikes, images),
        p_class=_on_grid(p_class),
        log_likelihood=_on_grid(log_likelihood),
        images=images.copy(),
    )


def predict(readouts: Readouts, counts: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Return the predicted class of every image, by every readout.

    Parameters
    ----------
    readouts : Readouts
    counts : integer[n_images, n_neurons]
        Output spikes ``n[j]`` of every neuron for every image.

    Returns
    -------
    dict of str to int64[n_images]
        One entry per name in `READOUTS`.

    Raises
    ------
    DataError
        The counts have a wrong shape or dtype, are negative, or exceed `MAX_SPIKES` in one image.

    Notes
    -----
    - ``mean_rate``: the class whose neurons fired most on average, ``argmax_c sum_{j in c} n[j] / |c|``, with
      ``c`` the neurons of the class; compared in integers; a class without neurons never wins.
    - ``weighted_vote``: ``argmax_c sum_j n[j] P(c | j)``.
    - ``naive_bayes``: ``argmax_c ln P(c) + sum_j n[j] ln P(j | c)``, the prior ``P(c)`` equal for all classes
      that have labelling images.
    """
    _check_counts(counts, len(readouts.neuron_label))
    seen = readouts.images > 0
    n_classes = len(seen)
    members = np.bincount(readouts.neuron_label[readouts.neuron_label >= 0], minlength=n_classes)
    is_member = (readouts.neuron_label == np.arange(n_classes)[:, None]).astype(np.float64)
    tables = np.concatenate((is_member, readouts.p_class, readouts.log_likelihood)).T
    predicted = {name: np.zeros(len(counts), np.int64) for name in READOUTS}
    for first in range(0, len(counts), _BLOCK):
        block = slice(first, first + _BLOCK)
        of_block = counts[block].astype(np.float64)
        if of_block.sum(axis=1).max() > MAX_SPIKES or of_block.min() < 0:
            raise DataError(f"counts: an image has a negative count or more than {MAX_SPIKES} output spikes")
        # Sums of integers times multiples of 2**-24, all below 2**53 of them: exact in any order.
        votes, shares, evidence = np.split(of_block @ tables, 3, axis=1)
        predicted["mean_rate"][block] = _largest_mean(votes.astype(np.int64), members, seen)
        predicted["weighted_vote"][block] = np.where(seen, shares, -np.inf).argmax(axis=1)
        predicted["naive_bayes"][block] = np.where(seen, evidence, -np.inf).argmax(axis=1)
    return predicted


def confusion(labels: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
    """Return how often each class was taken for each: int64[n_classes, n_classes], rows the true classes.

    Raises
    ------
    DataError
        A label or prediction is out of range, or their numbers differ.
    """
    labels = _check_labels(labels, n_classes, "labels")
    predicted = _check_labels(predicted, n_classes, "predicted")
    if len(labels) != len(predicted):
        raise DataError(f"predicted: {len(predicted)} classes for {len(labels)} labels; one each is required")
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy_percent(labels: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the share of images predicted right, in percent: ``100 * right / images``.

    Raises
    ------
    DataError
        There is no image, or the numbers of labels and predictions differ.
    """
    if not len(labels) or len(labels) != len(predicted):
        raise DataError(
            f"accuracy: {len(labels)} labels and {len(predicted)} predictions; the same number, at least 1, "
            "is required"
        )
    return 100.0 * int(np.count_nonzero(np.asarray(labels) == np.asarray(predicted))) / len(labels)


def _label_neurons(spikes: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    label = np.full(spikes.shape[1], -1, np.int64)
    best_spikes = np.zeros(spikes.shape[1], np.int64)
    best_images = np.ones(spikes.shape[1], np.int64)
    for candidate in np.flatnonzero(images):
        better = spikes[candidate] * best_images > best_spikes * images[candidate]
        label[better] = candidate
        best_spikes[better] = spikes[candidate, better]
        best_images[better] = images[candidate]
    return label


def _largest_mean(
    votes: NDArray[np.int64], members: NDArray[np.int64], seen: NDArray[np.bool_]
) -> NDArray[np.int64]:
    candidates = np.flatnonzero(members)
    if not len(candidates):
        return np.full(len(votes), np.flatnonzero(seen)[0], np.int64)
    best = np.full(len(votes), candidates[0], np.int64)
    best_votes = votes[:, candidates[0]].copy()
    for candidate in candidates[1:]:
        better = votes[:, candidate] * members[best] > best_votes * members[candidate]
        best[better] = candidate
        best_votes[better] = votes[better, candidate]
    return best


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ldexp(np.rint(np.ldexp(values, TABLE_BITS)), -TABLE_BITS)


def _check_counts(counts: NDArray[Any], n_neurons: int) -> None:
    if counts.dtype.kind not in "iu" or counts.ndim != 2 or counts.shape[1] != n_neurons:
        raise DataError(
            f"counts: {counts.dtype} with shape {counts.shape}; integers [n_images, {n_neurons}] are required"
        )


def _check_labels(labels: NDArray[Any], n_classes: int, subject: str) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"{subject}: {labels.dtype} with shape {labels.shape}; integers [n_images] are required"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(bad):
        raise DataError(f"{subject}: entry {bad[0]} is {labels[bad[0]]}; allowed 0..{n_classes - 1}")
    return labels.astype(np.int64)


__all__ = [
    "MAX_SPIKES", "NAIVE_BAYES_ALPHA", "READOUTS", "ClassResponses", "Readouts", "accuracy_percent",
    "confusion", "fit_readouts", "predict",
]  # fmt: skip
