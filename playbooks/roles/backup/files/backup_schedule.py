"""Runs the backup of the day at its time, and at once where the last one was missed: run by supervisord.

What was done, the records of the backups say, so that neither a restart nor a deployment repeats or loses one. One that
fails is tried again after a while; its words are in the log of this program.

    backup_schedule.py TIME FOLDER COMMAND...       TIME of the day in UTC, as 02:30
"""

import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

RETRY_SECONDS = 900
LOOK_SECONDS = 60  # the clock may be set meanwhile, so nobody sleeps until the next day
REASON = "schedule"


def main(time_of_day, folder, command):
    hour, minute = map(int, time_of_day.split(":"))
    while True:
        now = datetime.datetime.now(datetime.UTC)
        if is_due(now, hour, minute, scheduled(Path(folder))):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
            print(f"{now:%Y-%m-%d %H:%M:%S} UTC: {'done' if done.returncode == 0 else 'FAILED'}", flush=True)
            time.sleep(LOOK_SECONDS if done.returncode == 0 else RETRY_SECONDS)
        else:
            time.sleep(LOOK_SECONDS)


def scheduled(folder):
    """When each backup began that was the schedule's."""
    records = [json.loads(path.read_text()) for path in folder.glob("*Z/backup.json")]
    return [datetime.datetime.fromisoformat(each["started_at"]) for each in records if each["reason"] == REASON]


def is_due(now, hour, minute, begun):
    """Whether none has begun since the time of the day was last reached."""
    last = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if last > now:
        last -= datetime.timedelta(days=1)
    return not any(each >= last for each in begun)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
