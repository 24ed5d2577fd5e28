"""Random kills, damage and input, from a fixed seed: more of them with PDISTILL_CAMPAIGN=1000. Run with `make campaign`."""
