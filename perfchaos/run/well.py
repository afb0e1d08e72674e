"""Whether the baseline of the run under way is well in itself; asked of every experiment."""

from perfchaos.errors import PerfchaosError
from perfchaos.measure.baseline import WellLimits, ailments, no_yardstick, unanswered
from perfchaos.measure.lateness import late_phases
from perfchaos.phases import lived
from perfchaos.recording.reader import Samples
from perfchaos.run.run import Run
from perfchaos.run.settings import RaceSettings
from perfchaos.timeline import Phase


def require_well_baseline(run: Run) -> None:
    """
    Let nothing be harmed after a baseline that was not well.

    Where the generator itself was late, its own lateness is told when the run ends, and the target
    is not blamed for it.

    Raises:
        PerfchaosError: it was not, with all that ails it; the run knows it from then on.

    """
    baseline = run.samples(Phase.BASELINE)
    if not _generator_late(run):
        waiting = unanswered(run.recording, baseline, now_ns=run.now_ns)
        run.ailments = (*_ailments(run, baseline), *waiting)
    if run.ailments:
        raise PerfchaosError(
            f"the baseline is not well, and nothing was harmed: {'; '.join(run.ailments)}",
            next_step="see what ails the target, or allow for it with the workload's "
            "baseline_error_ratio and baseline_p99_ms",
        )


def ailments_of_baseline(run: Run) -> tuple[str, ...]:
    """What ailed the target in its baseline, in words, as far as is known by now."""
    if run.ailments:
        return run.ailments
    if Phase.BASELINE not in lived(run.spans()) or _generator_late(run):
        return ()
    baseline, recovered = run.samples(Phase.BASELINE), run.samples(Phase.RECOVERY)
    return (*_ailments(run, baseline), *no_yardstick(baseline, recovered))


def _ailments(run: Run, baseline: Samples) -> tuple[str, ...]:
    if isinstance(run.settings, RaceSettings):
        return ailments(baseline, limits=WellLimits(), count_refused=False)
    return ailments(baseline, limits=run.settings.well)


def _generator_late(run: Run) -> bool:
    spans = [span for span in run.spans() if span.phase is Phase.BASELINE]
    return bool(late_phases(run.recording, spans, now_ns=run.now_ns))
