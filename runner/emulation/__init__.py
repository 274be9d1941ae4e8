"""Emulated clouds: strict stand-ins for Lambda Cloud, RunPod and AWS on loopback, each machine real and metered."""
