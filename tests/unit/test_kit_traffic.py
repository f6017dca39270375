"""What is made of the requests that a driver recorded, and the driver's own judgement."""

from __future__ import annotations

import json

from kit.traffic import Record, parsed, recovery, summary


def record(started: float, seconds: float = 1.0, result: str = "answered") -> Record:
    return parsed(json.dumps({"started": started, "seconds": seconds, "result": result, "why": result}))[0]


def test_log_is_parsed_in_the_order_of_sending_and_other_lines_are_left_out() -> None:
    lines = [{"ready": 1.0}, {"started": 9.0, "seconds": 1.0, "result": "refused", "why": "x"}]
    lines += [{"started": 2.0, "seconds": 8.0, "result": "answered", "why": ""}]
    log = "\n".join(["Traceback", *map(json.dumps, lines)])
    assert [item.started for item in parsed(log)] == [2.0, 9.0]


def test_only_what_was_in_flight_or_came_later_counts() -> None:
    found = summary([record(0.0), record(9.5, 1.0, "failed"), record(12.0)], since=10.0)
    assert (found.answered, found.lost, found.refused) == (1, 1, 0)
    assert found.reasons == ("failed",)


def test_refused_requests_are_not_lost() -> None:
    found = summary([record(11.0, 0.1, "refused"), record(12.0, 90.0, "hung"), record(103.0)], since=10.0)
    assert (found.refused, found.lost, found.dropped, found.longest_hang) == (1, 1, 1, 90.0)


def test_a_request_that_fails_at_once_was_lost_but_not_dropped() -> None:
    found = summary([record(11.0, 0.02, "failed"), record(12.0)], since=10.0)
    assert (found.lost, found.dropped) == (1, 0)


def test_outage_ends_with_the_first_request_after_the_last_bad_one_that_is_answered() -> None:
    records = [record(11.0, 0.1, "failed"), record(12.0), record(20.0, 0.1, "refused"), record(30.0, 2.0)]
    assert summary(records, since=10.0).outage == 19.0
    assert summary(records, since=11.05).outage == 18.95, "in flight when it happened"
    assert recovery(records[:3]) is None
    assert not summary(records, since=10.0).unanswered_at_the_end
    unended = summary(records[:3], since=10.0)
    assert (unended.outage, unended.unanswered_at_the_end) == (None, True)


def test_there_is_no_outage_when_all_is_answered() -> None:
    found = summary([record(11.0), record(12.0)], since=10.0)
    assert (found.outage, found.unanswered_at_the_end) == (None, False)


def test_driver_tells_refused_from_failed_and_hung() -> None:
    import httpx2  # here, as every worker of the offline tier would wait for it otherwise
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    from kit.traffic_driver import outcome

    request = httpx2.Request("POST", "http://vllm-leader:8080")
    refused, broken = APIConnectionError(request=request), APIConnectionError(request=request)
    refused.__cause__, broken.__cause__ = httpx2.ConnectError("refused"), httpx2.ReadError("reset")
    late, unreachable = APITimeoutError(request), APITimeoutError(request)
    late.__cause__, unreachable.__cause__ = httpx2.ReadTimeout("late"), httpx2.ConnectTimeout("no way")
    error = APIStatusError("500", response=httpx2.Response(500, request=request), body=None)
    away = APIStatusError("cannot schedule new futures after shutdown", response=error.response, body=None)
    said = [outcome(item, 1.0) for item in (refused, broken, late, unreachable, error, away)]
    assert said == ["refused", "failed", "hung", "refused", "failed", "refused"]
    gone = APIStatusError("EngineCore encountered an issue. See", response=error.response, body=None)
    assert [outcome(item, 1.0) for item in (gone, broken)] == ["failed"] * 2, "it died under the request"
    assert [outcome(item, 0.02) for item in (gone, broken)] == ["refused"] * 2, "it was about to close its port"
    assert outcome(error, 0.02) == "failed"


def test_driver_tells_an_answer_that_was_aborted_from_one_that_was_never_begun() -> None:
    from openai.types import Completion, CompletionUsage

    from kit.traffic_driver import unfinished

    def aborted(tokens: int) -> Completion:
        usage = {"completion_tokens": tokens, "prompt_tokens": 5, "total_tokens": 5 + tokens}
        return Completion.model_construct(usage=CompletionUsage.model_validate(usage))

    assert unfinished(aborted(0), 0.1) == "refused"
    assert unfinished(aborted(0), 60.0) == "failed", "it waited for its turn"
    assert unfinished(aborted(3), 0.1) == "failed"
