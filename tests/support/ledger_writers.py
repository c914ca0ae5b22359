"""Processes that write to one ledger at the same time and are killed at random moments."""

import multiprocessing
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from orchestration.registry.entry import Draft
from orchestration.registry.ledger import Ledger


def draft(note: str) -> Draft:
    """An event that only its note distinguishes from others."""
    return Draft("accepted", "ab" * 32, Path("bundle"), 3, "tiny", "tester", note=note)


def write(registry: str, name: str, count: int, done: Connection, environment: dict[str, str]) -> None:
    """Append events, and send the note of each once it is recorded."""
    os.environ.update(environment)  # the server that forks this process has that of an earlier test
    ledger = Ledger(registry)
    for number in range(count):
        note = f"{name}-{number}"
        ledger.append(draft(note))
        done.send(note)
    done.close()


def write_and_kill(registry: str, writers: int, kills: int, last: int, seed: int) -> tuple[list[str], int]:
    """Many processes at once; each is killed ``kills`` times and started again, then appends ``last`` events.

    Returns:
        The notes of all acknowledged events, and how many processes were killed while at work.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.ledger_writers"])

    def drive(writer: int) -> tuple[list[str], int]:
        moments, notes, killed = random.Random(f"{seed}-{writer}"), [], 0
        for start in range(kills + 1):
            receiving, sending = context.Pipe(duplex=False)
            count = last if start == kills else 1000
            process = context.Process(
                target=write, args=(registry, f"{writer}-{start}", count, sending, dict(os.environ))
            )
            process.start()
            sending.close()
            wanted = last if start == kills else moments.randint(1, 3)
            notes += [receiving.recv() for _ in range(wanted)]
            if start < kills:
                time.sleep(moments.uniform(0, 0.02))  # anywhere within the next append
                process.kill()
                process.join()
                killed += process.exitcode == -9
                notes += _rest(receiving)
            process.join()
        return notes, killed

    with ThreadPoolExecutor(writers) as pool:
        results = list(pool.map(drive, range(writers)))
    return [note for notes, _ in results for note in notes], sum(killed for _, killed in results)


def _rest(receiving: Connection) -> list[str]:
    """What a killed process had sent; the last message may be cut short."""
    notes = []
    try:
        while True:
            notes.append(receiving.recv())
    except (EOFError, OSError):
        return notes
