"""The version of ardaemon and arctl, named once."""

VERSION = "0.1.0"
