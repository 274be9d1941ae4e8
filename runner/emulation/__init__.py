"""The kit that emulated clouds are built from: strict stand-ins on loopback, each machine real and metered."""
