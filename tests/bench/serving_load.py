"""Locust's users of the service: ``locust -f tests/bench/serving_load.py``. Each video is accepted once.

``BENCH_PLAN`` is a JSON file with ``jobs`` (the fields of each request) and ``pictures`` (their files);
``BENCH_OUT`` gets what happened.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import NoReturn

from locust import HttpUser, constant, events, task
from locust.exception import StopUser

PLAN = json.loads(Path(os.environ["BENCH_PLAN"]).read_text())
POLL_S = 0.5
# A service that stops answering ends the run.
LONGEST_S = 300.0
_numbers = iter(range(len(PLAN["jobs"])))
_done: list[dict[str, object]] = []
_refused: list[float] = []
_times = {"start": 0.0, "end": 0.0}


class Client(HttpUser):
    """Asks for a video, waits for it and fetches it; then for the next one."""

    wait_time = constant(0)

    @task
    def video(self) -> None:
        number = next(_numbers, None)
        if number is None:
            raise StopUser
        _times["start"] = _times["start"] or time.time()
        began = time.perf_counter()
        video = self._accepted(number, began)
        accepted = time.perf_counter()
        status = self._ended(video, accepted)
        fetching = time.perf_counter()
        content = self.client.get(f"/v1/videos/{video}/content", name="content").content
        _times["end"] = time.time()
        _done.append(
            {
                "number": number,
                "id": video,
                "status": status,
                "sha256": hashlib.sha256(content).hexdigest(),
                "accept_s": accepted - began,
                "content_s": time.perf_counter() - fetching,
            }
        )
        if len(_done) == len(PLAN["jobs"]):
            self.environment.runner.quit()

    def _accepted(self, number: int, began: float) -> str:
        picture = Path(PLAN["pictures"][number]).read_bytes()
        while time.perf_counter() - began < LONGEST_S:
            with self.client.post(
                "/v1/videos",
                data=PLAN["jobs"][number],
                files={"input_reference": ("picture.png", picture)},
                name="accept",
                catch_response=True,
            ) as answer:
                if answer.status_code == 202:
                    return str(answer.json()["id"])
                if answer.status_code not in (429, 503):
                    self._give_up(f"{answer.status_code}: {answer.text}")
                answer.success()
            pause_s = float(answer.headers["Retry-After"])
            if answer.status_code == 429:
                _refused.append(pause_s)
            time.sleep(pause_s)
        return self._give_up("never accepted")

    def _give_up(self, reason: str) -> NoReturn:
        """End the run: without this video it would wait for ever."""
        self.environment.runner.quit()
        raise StopUser(reason)

    def _ended(self, video: str, accepted: float) -> str:
        while time.perf_counter() - accepted < LONGEST_S:
            state = self.client.get(f"/v1/videos/{video}", name="state").json()
            if state["status"] not in ("queued", "in_progress"):
                return str(state["status"])
            time.sleep(POLL_S)
        return "lost"


@events.test_stop.add_listener
def _write(environment: object, **_: object) -> None:
    outcome = {"done": _done, "refused": _refused, "seconds": _times["end"] - _times["start"]}
    Path(os.environ["BENCH_OUT"]).write_text(json.dumps(outcome))
