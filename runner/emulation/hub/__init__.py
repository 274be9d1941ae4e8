"""An emulated Hugging Face Hub, as the client of the locked version wants it; Xet storage is not emulated."""

from runner.emulation.hub.app import Hub, hub_of
from runner.emulation.hub.faults import HubFault
from runner.emulation.hub.library import Account, Library, read_library

__all__ = ["Account", "Hub", "HubFault", "Library", "hub_of", "read_library"]
