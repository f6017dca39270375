"""Trying settings on a running release: one upgrade and one measurement each, and then the revision that was found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vmn.adapters.helm_release import HelmError
from vmn.adapters.leaders import read_leaders
from vmn.adapters.lease import HeldError, Lease, this_process
from vmn.adapters.programs import MissingError
from vmn.adapters.rollout import Groups
from vmn.adapters.signals import all_like_interrupt, deferred, undisturbed
from vmn.app import bench
from vmn.app.doctor import diagnose, read_release
from vmn.app.tune import Target, TuneError, TuneRequest, fragment_file, last_start_of
from vmn.core.bench.results import Measured
from vmn.core.cluster.release import Pod, Release
from vmn.core.doctor.finding import Severity
from vmn.core.reporting import Say
from vmn.core.tune.duration import start_limit, startup_budget
from vmn.core.tune.setting import TunedSetting
from vmn.core.tune.trial import Outcome, Trial, TuneResult

LEASE = "vmn-tune-"
SETTLED_SECONDS = 10.0
"""Seconds for which the groups must serve after they were put back."""
RETRY_SECONDS = 10.0
ATTEMPTS = 30
"""Attempts to put back what was found, five minutes in all: the API server may be away for a while."""


def tune(
    target: Target,
    request: TuneRequest,
    settings: Sequence[TunedSetting],
    expected: bench.Expectation | None,
    say: Say,
) -> TuneResult:
    """Measure what runs now and each setting, and put back what was found, however it ends.

    Args:
        target: the release.
        request: what to measure.
        settings: settings that the chart accepts.
        expected: what the plan says about what runs now, None without a prediction.
        say: takes lines about progress.

    Raises:
        TuneError: another process tunes the release.
        MissingError: the API server can't be reached before anything was changed, or a right is missing.
    """
    lease = Lease(target.client, target.namespace, f"{LEASE}{target.name}", this_process())
    try:
        with all_like_interrupt(), lease.held():
            return _Run(target, request, expected, _without_errors(say)).all(settings)
    except HeldError as error:
        raise TuneError(f"Release {target.name} is not tuned: {error}.") from error


def _without_errors(say: Say) -> Say:
    """Return a function that reports as long as someone listens: a closed terminal must not keep it from going back."""

    def said(line: str) -> None:
        try:
            say(line)
        except OSError:
            return

    return said


class _StopError(Exception):
    """No further setting is tried; the message says why."""


@dataclass
class _Run:
    """A run: what was measured so far, and which revisions are its own."""

    target: Target
    request: TuneRequest
    expected: bench.Expectation | None
    say: Say
    trials: list[Trial] = field(default_factory=list)
    own: set[int] = field(default_factory=set)

    @property
    def groups(self) -> Groups:
        """The groups of the release."""
        return Groups(self.target.client, self.target.namespace, self.target.name)

    @property
    def limit(self) -> float:
        """Seconds for a start, with the end of the pods before."""
        template = self.target.leaders.served.template
        grace = float(template["spec"].get("terminationGracePeriodSeconds", 30))
        if self.request.start_timeout is not None:
            return grace + self.request.start_timeout
        return start_limit(last_start_of(self.target), startup_budget(template), grace)

    def all(self, settings: Sequence[TunedSetting]) -> TuneResult:
        """Run all trials."""
        point = self.request.points[0]
        present = TunedSetting(predicted=self.expected.speed_of(point) if self.expected else None)
        now, again, problem = Trial(present, Outcome.NOT_TRIED), None, ""
        try:
            now = self._measured(present, None)
            self._check(now)
            for setting in settings:
                self.trials.append(self._trial(setting))
        except KeyboardInterrupt:
            problem = "interrupted"
        except (_StopError, MissingError, HelmError) as error:
            problem = str(error)
        finally:  # also after an error in this program
            not_back = self._put_back()
        if not problem and not not_back and self.own:
            try:
                again = self._measured(present, None)
            except (KeyboardInterrupt, MissingError) as error:
                problem = str(error) or "interrupted"
        tried = [trial.setting for trial in self.trials]
        rest = [Trial(setting, Outcome.NOT_TRIED) for setting in settings if setting not in tried]
        words = " ".join(word for word in (problem, not_back) if word)
        return TuneResult(self.request.goal, now, again, [*self.trials, *rest], not not_back, words)

    def _check(self, now: Trial) -> None:
        """Check the measurement of what runs now.

        Raises:
            _StopError: it failed, or the release serves other clients.
        """
        if now.outcome is not Outcome.MEASURED:
            raise _StopError(f"what runs now can't be measured: {now.why}")
        if now.others and not self.request.despite_others:
            raise _StopError(
                f"the release is serving other clients: {now.others} of their requests ended while what runs now was "
                "measured. Each setting would interrupt them. To tune it anyway, use --yes."
            )

    def _trial(self, setting: TunedSetting) -> Trial:
        """Upgrade the release to a setting, and measure it."""
        self._check_history()
        self.say(f"trying {setting.name}: helm upgrade")
        template = self.groups.read()[0]["spec"]["leaderWorkerTemplate"]
        begun = time.monotonic()
        try:
            with deferred():
                self._upgrade(setting)
        except HelmError as error:
            return self._ended(Trial(setting, Outcome.REFUSED, str(error).splitlines()[-1]))
        if self.groups.read()[0]["spec"]["leaderWorkerTemplate"] == template:
            return self._ended(Trial(setting, Outcome.REFUSED, "the pods would be the same as before"))
        waited = self.groups.wait(self.limit, self.say, give_up=True)
        if waited.why:
            return self._ended(Trial(setting, Outcome.NOT_STARTED, self._cause(waited.failed) or waited.why))
        return self._ended(self._measured(setting, time.monotonic() - begun))

    def _upgrade(self, setting: TunedSetting) -> None:
        """Upgrade the release, and note the revision, also of an upgrade that fails."""
        files = [self.target.values, fragment_file(self.target, setting)]
        number = self.target.helm.history()[-1].number + 1
        self.own.add(number)  # before it is there: an upgrade of which nothing is heard counts as made
        try:
            self.target.helm.upgrade(self.target.chart, files, setting.name)
        except HelmError:
            if self.target.helm.history()[-1].number < number:
                self.own.remove(number)
            raise

    def _ended(self, trial: Trial) -> Trial:
        """Say how a trial ended."""
        rate = f": {trial.mean('output_throughput'):,.0f} tokens/s" if trial.measured else ""
        self.say(f"{trial.setting.name}: {trial.outcome}{rate}{f': {trial.why}' if trial.why else ''}")
        return trial

    def _check_history(self) -> None:
        """Check that the release is as this run left it.

        Raises:
            _StopError: someone else changed it.
        """
        last = self.target.helm.history()[-1]
        if last.number not in {self.target.revision, *self.own}:
            raise _StopError(f"someone else made revision {last.number} ({last.description})")

    def _measured(self, setting: TunedSetting, started: float | None) -> Trial:
        """Measure what runs."""
        points, target = self.request.points, self.target
        try:
            leaders = read_leaders(target.client, target.namespace, target.name)
            found = bench.measure(target.client, leaders, points, self.request.timeout, self.say)
        except bench.BenchError as error:
            return Trial(setting, Outcome.FAILED, self._cause() or str(error), start_seconds=started)
        measured = [
            Measured(point, *found.results[point.index], predicted=setting.predicted, groups=leaders.served.groups)
            for point in points
        ]
        return Trial(setting, Outcome.MEASURED, measured=measured, start_seconds=started)

    def _cause(self, failed: Sequence[Pod] = ()) -> str:
        """Return what `vmn doctor` says is the cause, with the line that shows it; empty if it finds none.

        Args:
            failed: pods that had failed a moment ago. They can be gone, and their logs with them, but their statuses
                have the last words of their containers.
        """
        try:
            release = read_release(self.target.client, self.target.namespace, self.target.name)
        except MissingError:
            return ""
        return cause_of(release) or (cause_of(release.with_pods(failed)) if failed else "")

    def _put_back(self) -> str:
        """Put back the revision that was found, and return why that did not work, empty if it did."""
        try:
            with undisturbed():
                if problem := self._roll_back():
                    return problem
            if not self.own:
                return ""
            self.say(
                f"waiting until the groups of revision {self.target.revision} serve; Ctrl+C stops only the waiting"
            )
            why = self.groups.wait(self.limit, self.say, settled=SETTLED_SECONDS).why
        except KeyboardInterrupt:
            return f"Revision {self.target.revision} is put back, and its groups are still starting."
        return f"Revision {self.target.revision} is put back, but its groups are {why}." if why else ""

    def _roll_back(self) -> str:
        """Roll back to the revision that was found, and return why that did not work, empty if it did."""
        helm, revision, error = self.target.helm, self.target.revision, ""
        for attempt in range(ATTEMPTS if self.own else 1):
            try:
                last = helm.history()[-1]
                if last.number == revision or not self.own:
                    return ""
                if last.number not in self.own:
                    return f"Revision {last.number} ({last.description}) is someone else's, so it stays."
                self.say(f"putting back revision {revision}: helm rollback")
                helm.rollback(revision)
                return ""
            except (HelmError, MissingError) as failed:
                error = str(failed).splitlines()[-1]
                self.say(f"attempt {attempt + 1}: {error}")
                time.sleep(RETRY_SECONDS)
        command = f"helm rollback {helm.name} {revision} --namespace {helm.namespace}"
        return f"Revision {revision} could not be put back ({error}). Run `{command}`."


def cause_of(release: Release) -> str:
    """Return the first cause that the doctor finds, with the line that shows it; empty if it finds none."""
    causes = (one for group in diagnose(release).groups for one in group.findings if one.severity is Severity.CAUSE)
    return next((" ".join([one.text, *(shown.line for shown in one.evidence[:1])]) for one in causes), "")
