# Nothing here: the machine is there already, and its network is its owner's.
