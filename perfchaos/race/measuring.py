"""A contest as measurements, and as the verdict tells it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from perfchaos.race.bound import interval, lower_bound, upper_bound
from perfchaos.race.contest import Contest
from perfchaos.race.oracles import Judged, doubt, neither_won_nor_lost
from perfchaos.timeline import Fact, Phase
from perfchaos.verdict import Measurement, RaceReport

ROUNDS_TOLD = 20
REASONS_TOLD = 5


def win_ratio(contest: Contest, phase: Phase | None) -> Measurement:
    """The share of the effective rounds with exactly one winner, by all three oracles."""
    effective = contest.effective
    won = [one for one in effective if one.winner is not None]
    undecided = [one for one in effective if one.winner is None and not one.raced]
    return Measurement(
        name="win_ratio",
        phase=phase,
        value=_ratio(len(won), len(effective), contest),
        unit="ratio",
        samples=len(effective),
        evidence={"undecided": len(undecided), **_reason(contest), **_first_wins(won)},
    )


def race_ratio(contest: Contest, phase: Phase | None) -> Measurement:
    """The share of rounds that prove a race; one proves it whether or not it was effective."""
    raced, counted = len(contest.raced), len(contest.counted)
    findings = Counter(finding.value for one in contest.raced for finding in one.findings)
    return Measurement(
        name="race_ratio",
        phase=phase,
        value=_ratio(raced, counted, contest),
        unit="ratio",
        samples=counted,
        evidence={
            "raced": raced,
            **_bound(raced, counted),
            **_reason(contest),
            **dict(findings.most_common()),
            **{
                f"neither won nor lost: {kind}": count
                for kind, count in neither_won_nor_lost(contest.judged).items()
            },
        },
    )


def _bound(raced: int, counted: int) -> dict[str, Fact]:
    """Where races were seen the question is how frequent they are at least."""
    if raced:
        return {"at least, with 95 % confidence": lower_bound(raced, counted)}
    return {"below, with 95 % confidence": upper_bound(raced, counted)}


def effective_round_count(contest: Contest, phase: Phase | None) -> Measurement:
    """How many rounds had all contenders at the server at once; the others prove nothing."""
    effective_count = len(contest.effective)
    reasons = Counter(
        one.problem or "a reply was in before the last request was out"
        for one in contest.rounds
        if not one.effective
    )
    return Measurement(
        name="effective_round_count",
        phase=phase,
        value=float(effective_count),
        unit="rounds",
        samples=effective_count,
        evidence={
            "rounds": len(contest.rounds),
            "skew_p50_us": _skew_us(contest, 0.50),
            "skew_p99_us": _skew_us(contest, 0.99),
            **{f"not effective: {why}": n for why, n in reasons.most_common(REASONS_TOLD)},
        },
    )


def report(contest: Contest) -> RaceReport:
    """The whole contest for the verdict, with the first rounds that prove a race in full."""
    doubted = doubt(contest.judged, contest.controls)
    raced = () if doubted else contest.raced
    return RaceReport(
        rounds=len(contest.rounds),
        effective=len(contest.effective),
        won=sum(1 for one in contest.effective if one.winner is not None),
        raced=len(raced),
        rate_at_least=None if doubted else lower_bound(len(raced), len(contest.counted)),
        neither=neither_won_nor_lost(contest.judged),
        rate_at_most=None if doubted else upper_bound(len(raced), len(contest.counted)),
        doubt=doubted,
        skew_p50_us=_skew_us(contest, 0.50),
        skew_p99_us=_skew_us(contest, 0.99),
        evidence=tuple(evidence_of(one) for one in raced[:ROUNDS_TOLD]),
    )


def evidence_of(one: Judged) -> dict[str, object]:
    """A round with everything that is known of it: who sent what and when, replies, rows."""
    return {
        "findings": [finding.value for finding in one.findings],
        "holders": list(one.held.holders),
        "effects": list(one.held.effects),
        **one.round.as_dict(),
    }


def _ratio(count: int, total: int, contest: Contest) -> float | None:
    return count / total if total and doubt(contest.judged, contest.controls) is None else None


def _reason(contest: Contest) -> dict[str, Fact]:
    reason = doubt(contest.judged, contest.controls)
    return {} if reason is None else {"why": reason}


def _first_wins(won: Sequence[Judged]) -> dict[str, Fact]:
    """
    How often the first to be released won, and how far behind it the winners were.

    The order of release is known; the order of arrival is only as certain as the gaps between the
    contenders are wide, so the winner's lag behind the first is told beside it.
    """
    lags_us: list[float] = []
    for one in won:
        sent = [(c.sent_ns, c.name) for c in one.round.contenders if c.sent_ns is not None]
        by_winner_ns = [sent_ns for sent_ns, name in sent if name == one.winner]
        if by_winner_ns:
            lags_us.append((min(by_winner_ns) - min(sent)[0]) / 1000)
    first_count = lags_us.count(0.0)
    low, high = interval(first_count, len(lags_us))
    return {
        "first released won": first_count,
        "first released wins, at least": low,
        "first released wins, at most": high,
        "winner_behind_first_p50_us": _quantile(lags_us, 0.50),
        "winner_behind_first_p99_us": _quantile(lags_us, 0.99),
    }


def _skew_us(contest: Contest, quantile: float) -> float | None:
    skews_us = [one.round.skew_us for one in contest.effective]
    return _quantile([skew_us for skew_us in skews_us if skew_us is not None], quantile)


def _quantile(values: Sequence[float], quantile: float) -> float | None:
    """Nearest rank; None without values."""
    return float(np.quantile(values, quantile, method="inverted_cdf")) if values else None
