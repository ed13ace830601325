"""Anytime-valid bounds of the number of errors in a finite file, from points drawn without replacement.

Of N points M are wrong. Point t is drawn with probability q_t among those that are left (any probabilities that do not
depend on later answers), f_t = 1 if it is wrong, S_t-1 errors were found before. Then Z_t = f_t / q_t has the mean

    mu_t = M - S_t-1                                 errors that are left

whatever was drawn before, and for any fixed 0 <= c <= 1

    K_t = prod_s (1 - c (Z_s - mu_s) / (B_s - mu_s)),    B_s = 1 / (least probability among what is left at s)

is a nonnegative martingale that starts at 1. So is its mean over a grid of c. It exceeds 1 / alpha *at any time* with
a probability of at most alpha (Ville's inequality). A number M is excluded once its martingale has been that high; the
upper bound is the largest M that is not. Because the probability is for all times together, the number of inspections
may be chosen in any way, also from the answers. The lower bound uses 1 - c + c Z_s / mu_s likewise.

K_t grows with M (the lower bound's falls), so the search for the bound is a bisection. With equal probabilities a
factor is the likelihood ratio of an error rate (1 - c) times the one of M: the grid spans all smaller rates.

Only the draw is random. Errors may depend on each other in any way, as the points of one person do.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B 2024), and Confidence
sequences for sampling without replacement (NeurIPS 2020); Shekhar, Xu, Lipton, Liang and Ramdas, Risk-limiting
financial audits via weighted sampling without replacement (UAI 2023).

Legend of shape suffixes: T draws, in their order; C betting fractions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Uniform on (0, 1]. Measured: 16, 32 and 64 fractions give the same bounds to a tenth of their width.
FRACTIONS_C = np.arange(1, 33) / 32


@dataclass(frozen=True)
class Draws:
    """Inspected points in the order in which they were drawn.

    Attributes:
        points: N of the population.
        wrong: (T,) whether each is a gross error.
        probability: (T,) with which each was drawn among the points that were left.
        least: (T,) the smallest probability among the points that were left.
    """

    points: int
    wrong: NDArray[np.bool_]
    probability: NDArray[np.float64]
    least: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.wrong) == len(self.probability) == len(self.least) <= self.points:
            raise ValueError("wrong, probability and least differ in length, or exceed the population")

    @property
    def errors(self) -> int:
        """Errors among the inspected points."""
        return int(self.wrong.sum())

    def seen(self) -> NDArray[np.int64]:
        """(T,) errors before each draw."""
        wrong = self.wrong.astype(np.int64)
        return np.asarray(np.cumsum(wrong) - wrong)


def draws_of(weight: NDArray[np.float64], order: NDArray[np.integer], wrong: NDArray[np.bool_]) -> Draws:
    """Draws with probabilities proportional to weights.

    Args:
        weight: (N,) of all points, positive.
        order: (T,) indices of the inspected points, first drawn first.
        wrong: (T,) of them.
    """
    left = _left(weight, order)
    sorted_weight = np.sort(weight)
    rank = np.argsort(np.argsort(weight, kind="stable"), kind="stable")
    taken = np.zeros(len(weight), bool)
    least = np.empty(len(order))
    lowest = 0  # rank of the lightest point that is left
    for t, point in enumerate(order.tolist()):
        while taken[lowest]:
            lowest += 1
        least[t] = sorted_weight[lowest]
        taken[rank[point]] = True
    return Draws(len(weight), np.asarray(wrong, bool), weight[order] / left, least / left)


def probabilities(weight: NDArray[np.float64], order: NDArray[np.integer]) -> NDArray[np.float64]:
    """(T,) with which each point of `order` was drawn among those that were left."""
    return weight[order] / _left(weight, order)


def _left(weight: NDArray[np.float64], order: NDArray[np.integer]) -> NDArray[np.float64]:
    """(T,) weight that was left at each draw."""
    drawn = weight[order]
    return np.maximum(weight.sum() - np.cumsum(drawn) + drawn, drawn)  # against cancellation at the very end


def upper_bound(draws: Draws, alpha: float) -> int:
    """The most errors among all points that are not excluded at confidence 1 - alpha."""
    low, high = draws.errors, draws.points - (len(draws.wrong) - draws.errors)
    while low < high:  # the largest M that is not excluded
        middle = (low + high + 1) // 2
        if most_evidence(draws, middle) >= -np.log(alpha):
            high = middle - 1
        else:
            low = middle
    return low


def lower_bound(draws: Draws, alpha: float) -> int:
    """The fewest errors among all points that are not excluded at confidence 1 - alpha."""
    low, high = draws.errors, draws.points - (len(draws.wrong) - draws.errors)
    while low < high:
        middle = (low + high) // 2
        if _log_martingale(_factors_below(draws, middle)).max(initial=0.0) >= -np.log(alpha):
            low = middle + 1
        else:
            high = middle
    return low


def most_evidence(draws: Draws, errors: int) -> float:
    """Largest log K_t so far against "at least `errors` of the points are wrong"."""
    return float(evidence(draws, errors).max(initial=0.0))


def evidence(draws: Draws, errors: int) -> NDArray[np.float64]:
    """(T,) log K_t after each draw against "at least `errors` of the points are wrong"."""
    return _log_martingale(_factors_above(draws, errors))


def estimate(draws: Draws) -> float | None:
    """Unbiased estimate of the share of errors (Des Raj, 1956): mean of S_t-1 + Z_t; None before the first draw."""
    if not len(draws.wrong):
        return None
    return float((draws.seen() + draws.wrong / draws.probability).mean() / draws.points)


def _factors_above(draws: Draws, errors: int) -> NDArray[np.float64]:
    """(T, C) factors of K_t under M = `errors`; infinite where the answers rule this number out."""
    left_T = errors - draws.seen()
    most_T = 1 / draws.least
    value_T = draws.wrong / draws.probability
    room_T = most_T - left_T
    # No room: all points that are left must be wrong, which a right one contradicts.
    certain_T = room_T <= 1e-9 * most_T
    excess_T = (value_T - left_T) / np.where(certain_T, 1.0, room_T)
    excess_T = np.where(certain_T, np.where(draws.wrong, 0.0, -np.inf), excess_T)
    return np.asarray(np.maximum(1 - FRACTIONS_C * excess_T[:, None], 0.0))


def _factors_below(draws: Draws, errors: int) -> NDArray[np.float64]:
    """(T, C) factors of the lower bound's martingale under M = `errors`."""
    left_T = errors - draws.seen()
    ratio_T = (draws.wrong / draws.probability) / np.maximum(left_T, 1)
    # No error is left: a wrong one contradicts that.
    ratio_T = np.where(left_T > 0, ratio_T, np.where(draws.wrong, np.inf, 1.0))
    return np.asarray(1 - FRACTIONS_C + FRACTIONS_C * ratio_T[:, None])


def _log_martingale(factor_TC: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) log of the mean over the betting fractions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_TC = np.cumsum(np.log(factor_TC), 0)
    log_TC = np.where(np.isnan(log_TC), np.inf, log_TC)  # infinity times zero: once excluded, always excluded
    return np.asarray(np.logaddexp.reduce(log_TC, 1) - np.log(len(FRACTIONS_C)))
