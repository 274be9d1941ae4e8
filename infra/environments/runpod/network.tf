# Nothing here: RunPod maps the pod's port 22 to a port of its host, and has no firewall that could be closed to others.
# sshd takes keys alone; ssh_ingress_cidrs is therefore not used.
