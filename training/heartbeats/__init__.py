"""What each process of a run does, recorded in the run folder: so that a hang is named, and ends."""

from training.heartbeats.folder import HeartbeatFolder
from training.heartbeats.record import End, Frame, Hang, Heartbeat, Report
from training.heartbeats.roll_call import RollCall, State, behind, call_roll, state_of

__all__ = [
    "End",
    "Frame",
    "Hang",
    "Heartbeat",
    "HeartbeatFolder",
    "Report",
    "RollCall",
    "State",
    "behind",
    "call_roll",
    "state_of",
]
