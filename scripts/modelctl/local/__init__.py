"""The embedded local stack: an AWS emulator on a loopback port, and functions that run as they do on Lambda."""
