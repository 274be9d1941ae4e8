"""Rehearsal: emulated clouds that boot real machines, so that a run can be tried for nothing before it is paid for."""
