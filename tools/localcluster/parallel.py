"""Steps that run side by side, each once what it needs is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from localcluster.host import HostError, allow_programs, stop_programs


@dataclass(frozen=True)
class Task:
    """A step, by name.

    Attributes:
        name: unique among the tasks that run together.
        run: does it.
        needs: names of tasks that must have ended before; one that is not among the tasks counts as ended.
    """

    name: str
    run: Callable[[], object]
    needs: Sequence[str] = ()


def run_all(tasks: Iterable[Task]) -> None:
    """Run tasks side by side.

    After an error or an interrupt no further task begins, and the programs of those that run are ended.

    Raises:
        HostError: a task's own error, the first one; or tasks need each other.
    """
    waiting = list(tasks)
    try:
        with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
            try:
                _run_all(waiting, pool)
            except BaseException:
                stop_programs()
                raise
    finally:
        allow_programs()


def _run_all(waiting: list[Task], pool: ThreadPoolExecutor) -> None:
    running: dict[Future[object], str] = {}
    while waiting or running:
        left = {task.name for task in waiting} | set(running.values())
        ready = [task for task in waiting if left.isdisjoint(task.needs)]
        if not ready and not running:
            raise HostError(f"these steps wait for each other: {', '.join(sorted(left))}")
        waiting = [task for task in waiting if task not in ready]
        running |= {pool.submit(task.run): task.name for task in ready}
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            del running[future]
            future.result()


def together(*steps: Callable[[], object]) -> None:
    """Run steps side by side and wait for all; see ``run_all``."""
    run_all(Task(str(number), step) for number, step in enumerate(steps))
