"""What the job store should contain, computed from what was done: plain lists and dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field

LEASE_S, ATTEMPTS, KEEP_S, PICTURE_BYTES, CLIP_BYTES = 30.0, 3, 600.0, 10, 100
ACTIVE = ("queued", "in_progress")


@dataclass
class ModelJob:
    """A job as it should be."""

    id: str
    owner: str
    shape: int
    number: int
    state: str = "queued"
    attempt: int = 0
    lost: int = 0
    batch: tuple[str, ...] | None = None
    replica: str | None = None
    lease: float = 0.0
    started: float = 0.0
    expires: float = 0.0
    cancel: bool = False
    picture: bool = True
    clip: str | None = None

    @property
    def bytes(self) -> int:
        """Of its objects."""
        return PICTURE_BYTES * self.picture + CLIP_BYTES * (self.clip is not None)


@dataclass
class StoreModel:
    """All jobs, by id, in the order of their acceptance."""

    now: float
    jobs: dict[str, ModelJob] = field(default_factory=dict)

    def queue(self) -> list[ModelJob]:
        """Queued jobs in the order of claims: abandoned ones, then owners in turn."""
        queued = [job for job in self.jobs.values() if job.state == "queued"]

        def place(job: ModelJob) -> tuple[bool, int, float, int, int]:
            own = [each for each in queued if each.owner == job.owner]
            all_own = [each for each in self.jobs.values() if each.owner == job.owner]
            turn = own.index(job) + sum(each.state == "in_progress" for each in all_own)
            last = max(each.started for each in all_own)
            return job.batch is None, turn, last, own[0].number, job.number

        return sorted(queued, key=place)

    def claim(self, replica: str, most: int) -> list[str]:
        """The next batch, in the order of acceptance."""
        order = self.queue()
        if not order:
            return []
        head = order[0]
        if head.batch is not None:
            batch = [job for job in order if job.batch == head.batch]
        else:
            batch = [job for job in order if job.batch is None and job.shape == head.shape][:most]
        batch.sort(key=lambda job: job.number)
        name = head.batch or tuple(job.id for job in batch)
        for job in batch:
            job.state, job.replica, job.batch, job.started = "in_progress", replica, name, self.now
            job.attempt += 1
            job.lease = self.now + LEASE_S
        return [job.id for job in batch]

    def holds(self, job_id: str, replica: str, attempt: int) -> bool:
        """Whether what this replica reports of this attempt counts."""
        job = self.jobs.get(job_id)
        return (
            job is not None
            and (job.state, job.replica, job.attempt) == ("in_progress", replica, attempt)
        )  # fmt: skip

    def end(self, job: ModelJob, state: str) -> None:
        """A job ends."""
        job.state, job.expires = state, self.now + KEEP_S

    def requeue(self) -> int:
        """Abandoned batches go back, or end."""
        batches = {j.batch for j in self.jobs.values() if j.state == "in_progress" and j.lease < self.now}
        abandoned = [j for j in self.jobs.values() if j.state == "in_progress" and j.batch in batches]
        for job in abandoned:
            job.lost += 1
            if job.cancel:
                self.end(job, "cancelled")
            elif job.lost >= ATTEMPTS:
                self.end(job, "failed")
            else:
                job.state = "queued"
                if job.lost == ATTEMPTS - 1 and job.batch is not None:
                    job.batch = (*job.batch, job.id)
        return len(abandoned)

    def spend(self) -> list[str]:
        """Objects that nobody needs any more; rows whose time is over go."""
        spent = []
        for job in list(self.jobs.values()):
            if job.state in ACTIVE:
                continue
            if job.picture:
                spent.append(f"pictures/{job.number}")
                job.picture = False
            if job.expires >= self.now:
                continue
            if job.state == "completed":
                spent.append(str(job.clip))
                job.clip = None
                self.end(job, "expired")
            else:
                del self.jobs[job.id]
        return sorted(spent)
