"""What the operator decides about jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """How jobs are run and how long they are remembered.

    Attributes:
        concurrent_jobs: jobs that one process runs at once in the background (`ConcurrentJobs`); 0 for one per
            processor. A synchronous call runs its job in the thread of its own request and is not counted.
        history_size: ended jobs that are remembered (`JobsHistorySize`).
        outputs_kept: files made by jobs that are kept (`MediaArchiveSize`).
        save_jobs: whether jobs outlive a clean stop (`SaveJobs`). A crash is outlived in any case.
        threads: threads of a single job, by kind (`JobsEngineThreadsCount`).
        maximum_pending: jobs that may wait for their turn.
        poll_s: how often the index is asked for what other processes may have changed.
        checkpoint_s: how often the progress of a running job is written down.
        lease_s: silence after which the jobs of a process on another machine are taken over.
        retry_first_s, retry_limit_s: wait before the second attempt; it doubles with each one up to the limit.
        maximum_takeovers: how often a job may be found orphaned without getting any further before it is failed.
    """

    concurrent_jobs: int = 2
    history_size: int = 10
    outputs_kept: int = 1
    save_jobs: bool = True
    threads: Mapping[str, int] = field(default_factory=dict)
    maximum_pending: int = 100_000
    poll_s: float = 1.0
    checkpoint_s: float = 0.5
    lease_s: float = 15.0
    retry_first_s: float = 5.0
    retry_limit_s: float = 300.0
    maximum_takeovers: int = 5

    @property
    def hands(self) -> int:
        """Jobs that run at once in the background."""
        return self.concurrent_jobs or os.cpu_count() or 1
