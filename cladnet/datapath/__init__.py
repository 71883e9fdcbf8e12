"""How packets are carried between the hosts of a CLADNet: one driver a file, behind one Protocol."""
