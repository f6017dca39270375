"""Alerts against made-up series, with Prometheus' own promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.render import yaml_of
from kit.schemas import Document
from localcluster.monitoring import prometheus

LIMIT = 60
"""Seconds; a run takes about one."""
INTERVAL = "30s"
"""Between two values of a series, and between two evaluations."""


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    command = [str(prometheus() / "promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


def severities(directory: Path, rule: Document, alert: str, series: Mapping[str, str], at: str) -> set[str]:
    """Return the severities with which an alert fires at a time, over series written as promtool has them.

    promtool only compares, so it is asked about each severity.

    Raises:
        AssertionError: promtool did not understand the rules or the series.
    """
    directory.joinpath("rules.yaml").write_text(yaml_of(rule["spec"]), encoding="utf-8")
    found = set()
    for severity in ("critical", "warning"):
        expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing",severity="{severity}"}}) > bool 0'
        for fires in (True, False):
            samples = [{"labels": "{}", "value": 1}] if fires else []
            test = {"expr": expression, "eval_time": at, "exp_samples": samples}
            if _passes(directory, series, {"promql_expr_test": [test]}):
                found |= {severity} if fires else set()
                break
        else:
            raise AssertionError(f"{alert} neither fires with {severity} nor is quiet")
    return found


def told(directory: Path, rule: Document, alert: str, series: Mapping[str, str], at: str, expected: Document) -> str:
    """Return nothing when an alert fires with just these labels and annotations, else what promtool says."""
    directory.joinpath("rules.yaml").write_text(yaml_of(rule["spec"]), encoding="utf-8")
    wanted = {"exp_labels": expected["labels"], "exp_annotations": expected["annotations"]}
    test = {"eval_time": at, "alertname": alert, "exp_alerts": [wanted]}
    done = _run(directory, series, {"alert_rule_test": [test]})
    return done.stdout + done.stderr if done.returncode else ""


def evaluated(
    directory: Path, expression: str, series: Mapping[str, str], at: str, expected: Mapping[str, float]
) -> str:
    """Return nothing when an expression has just these values, by their labels, else what promtool says."""
    directory.joinpath("rules.yaml").write_text(yaml_of({"groups": []}), encoding="utf-8")
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    done = _run(
        directory, series, {"promql_expr_test": [{"expr": expression, "eval_time": at, "exp_samples": samples}]}
    )
    return done.stdout + done.stderr if done.returncode else ""


def syntax_errors(directory: Path, expressions: Sequence[str]) -> str:
    """Return nothing when Prometheus can read all expressions, else what promtool says."""
    rules = [{"record": f"number:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = directory / "expressions.yaml"
    file.write_text(yaml_of({"groups": [{"name": "all", "rules": rules}]}), encoding="utf-8")
    done = promtool("check", "rules", file)
    return done.stdout + done.stderr if done.returncode else ""


def _passes(directory: Path, series: Mapping[str, str], test: Document) -> bool:
    done = _run(directory, series, test)
    assert "exp:" in done.stdout + done.stderr or not done.returncode, done.stdout + done.stderr
    return not done.returncode


def _run(directory: Path, series: Mapping[str, str], test: Document) -> subprocess.CompletedProcess[str]:
    given = [{"series": name, "values": values} for name, values in series.items()]
    tests = [{"interval": INTERVAL, "input_series": given, **test}]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": INTERVAL, "tests": tests}
    file = directory / "test.yaml"
    file.write_text(yaml_of(document), encoding="utf-8")
    return promtool("test", "rules", file)
