"""What `vmn tune` is going to try, and what came of it, as text, JSON, and a values file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from vmn.app.tune import Target, TuneRequest
from vmn.core.speed.workload import Speed
from vmn.core.tune.duration import Duration
from vmn.core.tune.setting import TunedSetting
from vmn.core.tune.trial import Outcome, Trial, TuneResult, Verdict, results_of
from vmn.report.plan import name
from vmn.report.plan_speed import number
from vmn.report.plan_speed_json import speed_json
from vmn.report.table import aligned

FORM = 1
"""Number of the form of the JSON."""
MS = 1000


def announcement(
    target: Target, request: TuneRequest, settings: Sequence[TunedSetting], now: Speed | None, takes: Duration
) -> str:
    """Return what is going to happen.

    Args:
        target: the release.
        request: what is measured.
        settings: what is tried.
        now: the predicted speed of a group as it runs now, None without a prediction.
        takes: about how long it takes.
    """
    groups = target.leaders.served.groups
    rows = [(TunedSetting().name, _rate(now, groups), "", ""), *(_announced(one, groups) for one in settings)]
    each = "each setting stops it" if groups == 1 else f"each setting stops its {groups} groups one after another"
    return "\n".join(
        [
            *_header(target, request),
            "",
            *aligned(("setting", "predicted tokens/s", "over now", "why"), rows, (0, 3)),
            "",
            takes.words,
            f"The release starts {takes.starts} times, and {each}. "
            f"At the end, revision {target.revision} is put back, also after Ctrl+C.",
        ]
    )


def _announced(setting: TunedSetting, groups: int) -> tuple[str, ...]:
    gain = f"{setting.gain:+.0%}" if setting.gain is not None else ""
    return setting.name, _rate(setting.predicted, groups), gain, setting.reason


def _rate(speed: Speed | None, groups: int) -> str:
    return number(speed.rate.expected * groups) if speed else ""


def _header(target: Target, request: TuneRequest) -> list[str]:
    served, point = target.leaders.served, request.points[0]
    where = f"{served.groups} x {name(served.layout)}" if served.groups > 1 else name(served.layout)
    return [
        f"{served.name} as release {target.helm.name}, revision {target.revision}, {where}, vLLM {served.version}",
        f"{point.prompt:,} prompt tokens and {point.answer:,} answer tokens per request, "
        f"{point.most:,} requests kept running, {point.requests:,} requests in each of "
        f"{len(request.points)} repeats",
    ]


def text(target: Target, request: TuneRequest, result: TuneResult) -> str:
    """Return a table of what was measured, and what to keep.

    Args:
        target: the release.
        request: what was measured.
        result: what came of it.
    """
    headings = ("setting", "predicted", "tokens/s", "first token, s", "per token, ms", "over now", "noise", "result")
    rows = [_row(result, trial) for trial in (result.now, *result.trials)]
    lines = [*_header(target, request), "", *aligned(headings, rows, (0, 7)), ""]
    lines += [f"{trial.setting.name}: {words}" for trial in (result.now, *result.trials) if (words := _note(trial))]
    lines += [*_keep(result), *_drift(result), *_end(target, result)]
    return "\n".join(lines)


def _row(result: TuneResult, trial: Trial) -> tuple[str, ...]:
    if trial.outcome is not Outcome.MEASURED:
        return trial.setting.name, "", "", "", "", "", "", trial.outcome.value
    groups = trial.measured[0].groups
    shown = trial.mean("output_throughput"), trial.mean("mean_ttft_ms") / MS, trial.mean("mean_tpot_ms")
    cells = (trial.setting.name, _rate(trial.setting.predicted, groups), *map(number, shown))
    verdict = None if trial is result.now else result.verdict(trial)
    if verdict is None:
        return *cells, "", "", ""
    noise = f"{verdict.noise:.1%}" if verdict.repeats > 1 else f"{verdict.noise:.0%} assumed"
    return *cells, f"{verdict.ratio - 1:+.1%}", noise, verdict.words


def _note(trial: Trial) -> str:
    """Return what a reader of a row should know."""
    words = [trial.why] if trial.why else []
    words += [f"{trial.failed_requests} requests failed"] if trial.failed_requests else []
    words += [f"{trial.others} requests from other clients ran at the same time"] if trial.others else []
    return "; ".join(words)


def _keep(result: TuneResult) -> list[str]:
    best, verdict = result.best, result.verdict(result.best) if result.best else None
    if best is None or verdict is None:
        measured = any(result.verdict(trial) for trial in result.trials)
        return ["Keep what runs now: no setting is better by 3 % and beyond noise."] if measured else []
    what = "tokens per second" if result.goal == "throughput" else "answers per second and request"
    return [
        f"Keep {best.setting.name}: {verdict.ratio:.2f} times the {what} of what runs now.",
        *(f"  {line}" for line in fragment(best.setting).splitlines()),
    ]


def _drift(result: TuneResult) -> list[str]:
    drift = result.drift
    if drift is None or not drift.is_real:
        return []
    change = f"{drift.ratio - 1:+.1%}"
    return [f"What runs now was measured again at the end, with {change}: smaller differences mean little."]


def _end(target: Target, result: TuneResult) -> list[str]:
    lines = [f"The run ended early: {result.problem}"] if result.problem else []
    return (
        [*lines, f"The release serves as before, with the values of revision {target.revision}."]
        if result.put_back
        else lines
    )


def fragment(setting: TunedSetting) -> str:
    """Return what a values file needs for a setting, as YAML."""
    return yaml.safe_dump(setting.values, sort_keys=False)


def values_file(target: Target, request: TuneRequest, result: TuneResult, best: Trial, date: str) -> str:
    """Return a values file for the setting to keep, with what was measured.

    Args:
        target: the release.
        request: what was measured.
        result: what came of it.
        best: the setting to keep.
        date: the date, as in ISO 8601.
    """
    verdict = result.verdict(best)
    ratio = f"{verdict.ratio:.2f} times as good as without, noise {verdict.noise:.1%}" if verdict else ""
    header = [
        f"# Measured by vmn tune on {date} for {result.goal}: {ratio}.",
        *(f"# {one}" for one in _header(target, request)),
    ]
    return "\n".join([*header, fragment(best.setting)])


def as_json(target: Target, request: TuneRequest, result: TuneResult, began: str) -> str:
    """Return the result for programs.

    Args:
        target: the release.
        request: what was measured.
        result: what came of it.
        began: when the run began, as in ISO 8601.
    """
    served, best = target.leaders.served, result.best
    content = {
        "form": FORM,
        "release": target.helm.name,
        "namespace": target.namespace,
        "model": served.name,
        "vllm_version": served.version,
        "groups": served.groups,
        "layout": asdict(served.layout),
        "began": began,
        "goal": result.goal,
        "point": asdict(request.points[0]),
        "revision": target.revision,
        "put_back": result.put_back,
        "problem": result.problem or None,
        "now": _trial(result, result.now),
        "now_again": _trial(result, result.again) if result.again else None,
        "drift": _verdict(result.drift),
        "settings": [_trial(result, trial) for trial in result.trials],
        "keep": best.setting.values if best else None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _trial(result: TuneResult, trial: Trial) -> dict[str, Any]:
    is_now = not trial.setting.values
    return {
        "name": trial.setting.name,
        "values": trial.setting.values,
        "reason": trial.setting.reason or None,
        "outcome": trial.outcome.value,
        "why": trial.why or None,
        "predicted": speed_json(trial.setting.predicted) if trial.setting.predicted else None,
        "predicted_gain": round(trial.setting.gain, 3) if trial.setting.gain is not None else None,
        "start_s": round(trial.start_seconds, 1) if trial.start_seconds is not None else None,
        "output_tokens_per_s": trial.mean("output_throughput") if trial.measured else None,
        "compared": None if is_now else _verdict(result.verdict(trial)),
        "requests_of_others": trial.others,
        "failed_requests": trial.failed_requests,
        "calls": results_of(trial),
    }


def _verdict(verdict: Verdict | None) -> Mapping[str, Any] | None:
    if verdict is None:
        return None
    numbers = {"ratio": round(verdict.ratio, 4), "noise": round(verdict.noise, 4)}
    return {**numbers, "repeats": verdict.repeats, "beyond_noise": verdict.is_real}
