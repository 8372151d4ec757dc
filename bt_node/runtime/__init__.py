"""Running processes: listener, worker, timetable, clock, logs. APScheduler lives here."""
