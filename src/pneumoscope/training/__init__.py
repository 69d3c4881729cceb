"""Recipe → trained network, on Lightning."""
