"""The network: CLADNets, their hosts, addresses and rules; controller, agent and data path."""
