"""An emulated EC2, with its meter; it imports nothing of the client.

It follows moto 5.2 (read 2026-11-21) for EC2 of 2016-11-15, STS, SSM, IAM, S3 and EventBridge Scheduler of 2021-06-30,
and, where moto stops, AWS's user guides as read in November 2026: states and reasons, pages, schedules that run.
"""
