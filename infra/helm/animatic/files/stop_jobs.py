"""The preStop hook of heads: stop Ray's jobs before the pod ends, so that training writes a checkpoint.

Usage: stop_jobs.py SECONDS [URL]; SECONDS: how long it may take, URL: of Ray's job server.
"""

import sys
import time

from ray.job_submission import JobSubmissionClient


def main(seconds: float, url: str = "http://127.0.0.1:8265") -> None:
    """Ask every job to stop, which sends SIGTERM to its processes, and wait until they have ended."""
    deadline = time.monotonic() + seconds
    client = JobSubmissionClient(url)
    ids = [job.submission_id for job in client.list_jobs() if not job.status.is_terminal()]
    running = [job for job in ids if job is not None]
    for job in running:
        print(f"stopping {job}", flush=True)
        client.stop_job(job)
    while running and time.monotonic() < deadline:
        time.sleep(0.5)
        running = [job for job in running if not client.get_job_status(job).is_terminal()]
    if running:
        sys.exit(f"still running after {seconds:.0f} s: {', '.join(running)}")


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
