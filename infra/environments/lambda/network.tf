# Nothing here: on Lambda the firewall belongs to the account, not to a machine, and its rules count for every machine in
# it. What a run must not change for others it leaves alone. Port 22 is open there at first, and sshd takes keys alone;
# ssh_ingress_cidrs is therefore not used.
