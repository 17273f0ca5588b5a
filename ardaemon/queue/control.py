"""What is wanted of a run, written down; the loops make it so."""

from ardaemon.core.model import Limit as Limit
