"""The lab: clouds on one machine, made of network namespaces and light machines that run the image's own systemd."""
